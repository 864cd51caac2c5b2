/**
 * shell.run: one program in the sandbox `workspace`, with arguments that no shell reads.
 *
 *   args ─► shared folder ─► sandbox ─► process ─► first part as text, all of it as streams
 *
 * It fails closed: without a sandbox nothing runs, and `probe` has really started one.
 */
import { constants } from "node:os";
import { shellRun } from "@kith/shared/capabilities/shell";
import type { OutOf } from "@kith/shared/capabilities/capability";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { tame, tameLines } from "@kith/shared/protocol/words";
import type { Driver, Probe, Tools } from "../driver.ts";
import { namesOf, rootOf } from "../files/read.ts";
import { type Closed, type Folder, workFolder } from "./folder.ts";
import { type Kept, type Ran, runCommand } from "./process.ts";
import type { Job, Sandbox } from "./sandbox.ts";
import { sandboxHere } from "./workspace.ts";

/** What was found is believed for this long: a probe starts a process. */
const BELIEVED_MS = 60_000;
const PROBE_MS = 3_000;
const STREAM_BYTES = 8 * 1_048_576; // of each; as in the capability

export interface Shell {
  /** Shared folders: name to path. */
  readonly roots: ReadonlyMap<string, string>;
  readonly closed: Closed;
  /** The reason, where there is none. */
  readonly sandbox?: Sandbox | string;
  readonly clock?: Clock;
}

export function shell({
  roots,
  closed,
  sandbox = sandboxHere(),
  clock = systemClock,
}: Shell): Driver<typeof shellRun> {
  let found:
    | { readonly at: number; readonly of: string; readonly probe: Promise<Probe> }
    | undefined;

  /** @throws KithError not-ready and gone, with nothing run; interrupted; what `signal` says */
  async function start(
    { path, as }: Folder,
    job: Omit<Job, "folder">,
    signal: AbortSignal,
    options: { readonly stdin?: string; readonly timeoutMs: number },
  ): Promise<Ran> {
    if (typeof sandbox === "string") throw new KithError("not-ready", sandbox);
    const command = sandbox.command({ ...job, folder: path });
    const ran = await runCommand(command, signal, {
      ...{ ...options, as, clock, mostBytes: STREAM_BYTES },
      missing: sandbox.missing,
    });
    if (ran.code !== undefined || ran.timedOut) return ran;
    if (ran.killed)
      throw new KithError("interrupted", "something on the device ended the sandbox in the middle");
    throw sandbox.failure(Buffer.from(ran.stderr.bytes).toString());
  }

  /** Starts `true` in each folder; those where it ran will do. */
  async function look(): Promise<Probe> {
    if (roots.size === 0)
      return { state: "unavailable", reason: "no folder shared yet (--root NAME=PATH)" };
    const devices: { id: string; label: string }[] = [];
    let reason = "";
    for (const [name, root] of [...roots].slice(0, 16)) {
      try {
        const folder = await workFolder(root, roots, closed);
        const quick = { timeoutMs: PROBE_MS };
        const job = { argv: ["true"], env: {}, names: [] };
        const { code } = await start(folder, job, new AbortController().signal, quick);
        if (code !== 0) throw new KithError("not-ready", "the sandbox cannot run anything");
        devices.push({ id: tame(name, 64), label: tame(name, 64) });
      } catch (thrown) {
        reason ||= thrown instanceof KithError ? thrown.message : "the sandbox cannot be started";
      }
    }
    return devices.length > 0 ? { state: "ready", devices } : { state: "unavailable", reason };
  }

  return {
    capability: shellRun,
    parallel: 2,
    maxMs: 600_000,
    probe() {
      const now = clock.mono();
      const of = JSON.stringify([...roots]);
      if (!found || found.of !== of || now - found.at > BELIEVED_MS)
        found = { at: now, of, probe: look() };
      return found.probe;
    },
    async run({ argv, cwd, env, stdin, timeout_s }, tools) {
      const names = cwd.path === undefined ? [] : namesOf(cwd.path);
      const folder = await workFolder(rootOf(roots, cwd.root), roots, closed);
      const added = Object.fromEntries(env.map(({ name, value }) => [name, value]));
      const options = { stdin, timeoutMs: timeout_s * 1_000 };
      const ran = await start(folder, { argv, env: added, names }, tools.signal, options);
      const [stdout, stderr] = [shown(ran.stdout, 24_576), shown(ran.stderr, 8_192)];
      const lost = { stdout: ran.stdout.lost, stderr: ran.stderr.lost };
      for (const role of ["stdout", "stderr"] as const)
        if (ran[role].total > 0 && !hand(tools, role, ran[role])) lost[role] = ran[role].total;
      return {
        sandbox: "workspace",
        ...endOf(ran),
        ms: ran.ms,
        stdout: stdout.text,
        stderr: stderr.text,
        stdout_bytes: ran.stdout.total,
        stderr_bytes: ran.stderr.total,
        stdout_truncated: stdout.truncated,
        stderr_truncated: stderr.truncated,
        stdout_lost: lost.stdout,
        stderr_lost: lost.stderr,
      };
    },
  };
}

/** False when the call allows less than was written: it ran, so that is no reason to say nothing of it. */
function hand(tools: Tools, role: string, { bytes }: Kept): boolean {
  try {
    tools.stream(role, "application/octet-stream", { bytes });
    return true;
  } catch (thrown) {
    if (thrown instanceof KithError && thrown.code === "too-big") return false;
    throw thrown;
  }
}

const signals = new Map(Object.entries(constants.signals).map(([name, code]) => [code, name]));

function endOf({
  code,
  timedOut,
}: Ran): Pick<OutOf<typeof shellRun>, "end" | "exit_code" | "signal"> {
  if (timedOut || code === undefined) return { end: "timeout" };
  const signal = signals.get(code - 128);
  return signal === undefined
    ? { end: "exit", exit_code: code }
    : { end: "signal", exit_code: code, signal };
}

/** The first part as text; `most` bytes, as in the capability. */
function shown({ bytes, total }: Kept, most: number): { text: string; truncated: boolean } {
  // A character that the cut went through is left out; what is no UTF-8 becomes U+FFFD.
  const text = new TextDecoder().decode(bytes.subarray(0, most), { stream: total > most });
  const tamed = tameLines(text, most);
  return { text: tamed, truncated: total > most || !text.startsWith(tamed) };
}
