/**
 * shell.open: the login shell of whoever runs the agent, in a terminal that nothing confines.
 *
 *   probe: is the part for terminals there? ─ run ─► notice ─► shell ══ bytes both ways ══ tools.terminal
 *       over by itself, or stopped: SIGHUP to its whole session ─ 300 ms ─► SIGKILL
 */
import { writeSync } from "node:fs";
import { constants, homedir, userInfo } from "node:os";
import { basename } from "node:path";
import type { Duplex } from "node:stream";
import type { OutOf } from "@kith/shared/capabilities/capability";
import { shellOpen } from "@kith/shared/capabilities/shell";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { childEnvironment, endSession, loginShell } from "../../platform.ts";
import type { Driver } from "../driver.ts";

interface End {
  readonly exitCode: number;
  readonly signal?: number;
}

/** What `@lydell/node-pty` 1.1.0 gives, as far as it is used here; docs/discoveries/node-pty.md. */
interface Pty {
  readonly pid: number;
  /** With `encoding: null` these are bytes, whatever its types say. */
  readonly onData: (hear: (data: Uint8Array) => void) => unknown;
  readonly onExit: (hear: (end: End) => void) => unknown;
  /** The terminal's descriptor and its stream, both not in its types; on Windows there is no descriptor. */
  readonly fd?: number;
  readonly _socket?: Duplex;
  write(data: Buffer): void;
  resize(columns: number, rows: number): void;
  pause(): void;
  resume(): void;
}

export interface PtyModule {
  spawn(
    program: string,
    args: string[],
    options: {
      readonly name: string;
      readonly cols: number;
      readonly rows: number;
      readonly cwd: string;
      readonly env: Record<string, string>;
      readonly encoding: null;
    },
  ): Pty;
}

/** Time to tidy up: less than the agent waits for a stopped driver, and than it takes to stop. */
const HANGUP_MS = 300;
/** How soon a terminal that was full is looked at again. */
const FULL_MS = 20;
const MISSING = "the part for terminals is not installed: @lydell/node-pty";

export interface Terminals {
  /** Loads the part that not every device has. */
  readonly load?: () => Promise<PtyModule>;
  readonly shell?: { readonly program: string; readonly args: readonly string[] };
  readonly clock?: Clock;
}

export function terminals({
  load = async () => (await import("@lydell/node-pty")) as unknown as PtyModule,
  shell = loginShell(whoRuns().shell ?? undefined),
  clock = systemClock,
}: Terminals = {}): Driver<typeof shellOpen> {
  return {
    capability: shellOpen,
    parallel: 4,
    maxMs: shellOpen.ttlMs,
    probe: () =>
      load().then(
        () => ({ state: "ready" }),
        // Not there, or not for this system: for its user both are the same.
        () => ({ state: "unavailable", reason: MISSING }),
      ),
    async run({ columns, rows }, tools) {
      const { signal } = tools;
      const module = await load().catch((cause: unknown) => {
        throw new KithError("not-ready", MISSING, { cause });
      });
      await tools.notice(`terminal: ${basename(shell.program)}`);
      signal.throwIfAborted();
      const began = clock.mono();
      const pty = module.spawn(shell.program, [...shell.args], {
        ...{ name: "xterm-256color", cols: columns, rows, cwd: homedir(), encoding: null },
        env: { LANG: "C.UTF-8", ...childEnvironment(), SHELL: shell.program, ...nameOfUser() },
      });
      // It throws errors of its stream to nobody, which would be the agent's end; the exit tells.
      pty._socket?.on("error", () => {});
      const { promise, resolve } = Promise.withResolvers<End>();
      pty.onExit((end) => {
        // What it left running in its session ends with it.
        endSession(pty.pid, "SIGKILL");
        resolve(end);
      });
      const shown = tools.terminal({
        write: writer(pty, clock),
        resize: (width, height) => unlessOver(() => pty.resize(width, height)),
        pause: () => pty.pause(),
        resume: () => pty.resume(),
      });
      pty.onData((data) => shown.write(data));
      let cancel = () => {};
      const stop = () => {
        endSession(pty.pid, "SIGHUP");
        cancel = clock.after(HANGUP_MS, () => endSession(pty.pid, "SIGKILL"));
      };
      signal.addEventListener("abort", stop, { once: true });
      try {
        const end = await promise;
        signal.throwIfAborted();
        const output_bytes = await shown.finish();
        return { ...endOf(end), ms: Math.max(0, Math.round(clock.mono() - began)), output_bytes };
      } finally {
        cancel();
        signal.removeEventListener("abort", stop);
      }
    },
  };
}

/**
 * Writes one after the other; each resolves when the terminal has taken it. Not by its stream: that blocks
 * the whole process while the program does not read.
 */
function writer(pty: Pty, clock: Clock): (bytes: Uint8Array) => Promise<void> {
  let last = Promise.resolve();
  return (bytes) => (last = last.then(() => put(pty, bytes, clock)));
}

/** Never rejects. */
async function put(pty: Pty, bytes: Uint8Array, clock: Clock): Promise<void> {
  const { fd, _socket } = pty;
  if (fd === undefined || !_socket) return pty.write(Buffer.from(bytes));
  // Once the stream is destroyed, the number may be another file's.
  for (let at = 0; at < bytes.length && !_socket.destroyed;) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) return; // it is over
      await new Promise<void>((resolve) => clock.after(FULL_MS, resolve));
    }
  }
}

/** A terminal whose shell has just ended cannot be asked for anything, and the end is on its way. */
function unlessOver(what: () => void): void {
  try {
    what();
  } catch {
    // EBADF: its descriptor is closed.
  }
}

/** Nobody knows the user of some containers. */
function whoRuns(): { readonly username?: string; readonly shell?: string | null } {
  try {
    return userInfo({ encoding: "utf8" });
  } catch {
    return {};
  }
}

function nameOfUser(): Record<string, string> {
  const { username } = whoRuns();
  return username === undefined ? {} : { USER: username, LOGNAME: username };
}

const signals = new Map(Object.entries(constants.signals).map(([name, code]) => [code, name]));

function endOf({
  exitCode,
  signal = 0,
}: End): Pick<OutOf<typeof shellOpen>, "end" | "exit_code" | "signal"> {
  const name = signals.get(signal);
  return name === undefined
    ? { end: "exit", exit_code: Math.min(255, Math.max(0, exitCode)) }
    : { end: "signal", signal: name };
}
