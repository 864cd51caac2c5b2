/**
 * Programs that do a driver's work.
 *
 *   need ─► path ─► runProgram ─► one process group, no shell ─► exit code, bounded output
 *                                  └── signal: all of it is ended
 */
import { basename } from "node:path";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import {
  type Desktop,
  endGroup,
  findProgram,
  installLine,
  type Package,
  startGroup,
} from "../platform.ts";
import type { Probe } from "./driver.ts";

/** Characters of stderr that are kept, the last ones: room for any list of devices. */
const STDERR_CHARS = 65_536;
/** A process stuck inside the kernel survives even SIGKILL; nobody waits longer for it. */
const GRACE_MS = 2_000;

/** No such program, or none that can be run. */
const MISSING: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "EACCES"]);

export interface Run {
  /** Ends the program and all it started. */
  readonly signal: AbortSignal;
  /** Bytes of stdout; with one more the program is ended. */
  readonly most: number;
  /** What it reads on stdin; without, it has none. */
  readonly input?: string | Uint8Array;
  /** All it knows of our environment; by default a fixed list, speaking English. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * What it leaves running after a good end belongs to the person: a browser, the holder of a
   * clipboard. Nothing of what it says is kept then.
   */
  readonly leaves?: boolean;
  /** With `leaves`: it may go on itself after that many ms, which counts as a good end. */
  readonly leftAfterMs?: number;
  readonly clock?: Clock;
}

export interface Ran {
  /** Exit code; null when a signal ended it, or when it was left running. */
  readonly code: number | null;
  readonly stdout: Uint8Array;
  /** The end of it, when it was long. */
  readonly stderr: string;
  /** It runs on; see `leftAfterMs`. */
  readonly left: boolean;
}

/**
 * Runs a program to its end, however it ends. When this settles, the process and all it started
 * are gone, but for what `leaves` allows.
 * @throws KithError not-ready (no such program), too-big (stdout), timeout or cancelled (signal), driver
 */
export async function runProgram(program: string, args: readonly string[], run: Run): Promise<Ran> {
  const { signal, most, input, env, leaves = false, leftAfterMs, clock = systemClock } = run;
  const name = basename(program);
  if (signal.aborted) throw stopped(signal, name);
  const child = startGroup(program, args, {
    ...{ input: input !== undefined, unheard: leaves },
    ...(env && { env }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const chunks: Buffer[] = [];
  let [size, stderr] = [0, ""];
  let failure: KithError | undefined;
  let [giveUp, leave] = [() => {}, () => {}];

  const letGo = () => {
    for (const stream of child.stdio) stream?.destroy();
    child.unref();
  };
  const end = (why: KithError) => {
    if (failure) return;
    failure = why;
    endGroup(child);
    giveUp = clock.after(GRACE_MS, () => {
      letGo();
      reject(why);
    });
  };
  const abort = () => end(stopped(signal, name));
  signal.addEventListener("abort", abort, { once: true });

  child.stdout?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > most) end(new KithError("too-big", `${name} gave more than ${bytes(most)}`));
    else chunks.push(chunk);
  });
  child.stderr
    ?.setEncoding("utf8")
    .on("data", (words: string) => (stderr = (stderr + words).slice(-STDERR_CHARS)));
  // A program that does not read to the end says by its exit code what that means.
  child.stdin?.on("error", () => {}).end(input);
  child.on("error", reject);
  child.on("exit", (code) => {
    // Whatever it left running would keep the pipes open.
    if (!leaves || code !== 0) endGroup(child);
  });
  child.on("close", (code) =>
    failure
      ? reject(failure)
      : resolve({ code, stdout: Buffer.concat(chunks), stderr, left: false }),
  );
  if (leftAfterMs !== undefined)
    leave = clock.after(leftAfterMs, () => {
      if (failure) return;
      letGo();
      resolve({ code: null, stdout: Buffer.alloc(0), stderr, left: true });
    });

  try {
    return await promise;
  } catch (thrown) {
    if (thrown instanceof KithError) throw thrown;
    const cause = { cause: thrown };
    if (!(thrown instanceof Error && "code" in thrown && MISSING.has(thrown.code)))
      throw new KithError("driver", `${name} could not be started`, cause);
    throw new KithError("not-ready", `${name} was not found`, cause);
  } finally {
    giveUp();
    leave();
    signal.removeEventListener("abort", abort);
  }
}

const bytes = (most: number): string =>
  most % 1_048_576 === 0 ? `${most / 1_048_576} MiB` : `${Math.floor(most / 1_024)} KiB`;

/** The agent may say why it stops; a plain abort is a wish, a timeout is one too. */
function stopped(signal: AbortSignal, name: string): KithError {
  if (signal.reason instanceof KithError) return signal.reason;
  const late = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  return late
    ? new KithError("timeout", `${name} did not answer in time`)
    : new KithError("cancelled", "stopped on request");
}

/** The path of a program of the desktop. @throws KithError not-ready, with the line that installs it */
export async function need(desktop: Desktop, name: string, what?: Package): Promise<string> {
  const path = await findProgram(name, desktop.env);
  if (path !== undefined) return path;
  const remedy = what === undefined ? "" : `; ${await installLine(what)}`;
  throw new KithError("not-ready", `${name} was not found${remedy}`);
}

/** A probe out of the look that a run begins with as well, so that the two never differ. */
export const probeOf = (look: () => Promise<unknown>): Promise<Probe> =>
  look().then(
    () => ({ state: "ready" }),
    (thrown: unknown) => ({ state: "unavailable", reason: whyNot(thrown) }),
  );

/** Why a look failed: only our own words pass. */
export const whyNot = (thrown: unknown): string =>
  tame(thrown instanceof KithError ? thrown.message : "it cannot be looked at", 160);
