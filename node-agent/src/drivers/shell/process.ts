/**
 * One confined command from start to end, however it ends.
 *
 *   start ─► feeds, stdin ─► output, bounded ─► end of all processes ─► what it came to
 *              signal or time: SIGTERM inside ─ 500 ms ─► SIGKILL ─ 400 ms ─► nobody waits longer
 */
import type { Readable, Writable } from "node:stream";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { endGroup, startPiped, terminate } from "../../platform.ts";
import type { Owner } from "./folder.ts";
import type { Command } from "./sandbox.ts";

/** Time to tidy up. Together with the next, less than the agent waits for a stopped driver (1 s). */
const TERM_MS = 500;
/** A process stuck inside the kernel survives even SIGKILL. */
const KILL_MS = 400;
/** No such program, or none that can be run. */
const MISSING: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "EACCES"]);
/** Two short lines. */
const STATUS_CHARS = 4_096;

export interface Options {
  /** Of stdout and of stderr, each. */
  readonly mostBytes: number;
  readonly timeoutMs: number;
  readonly stdin?: string;
  readonly as?: Owner | undefined;
  /** What to say when the program is not there. */
  readonly missing: string;
  readonly clock?: Clock;
}

/** Output as far as it was kept. */
export class Kept {
  readonly #most: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  /** Bytes in all, also those that were dropped. */
  total = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(chunk: Buffer): void {
    this.total += chunk.length;
    const part = chunk.subarray(0, this.#most - this.#size);
    if (part.length === 0) return;
    this.#size += part.length;
    this.#chunks.push(part);
  }

  get lost(): number {
    return this.total - this.#size;
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }
}

export interface Ran {
  /** Undefined: the sandbox did not start, or was ended before the program was. */
  readonly code: number | undefined;
  readonly timedOut: boolean;
  /** Somebody else ended the sandbox: what ran inside is ended too, wherever it was. */
  readonly killed: boolean;
  readonly ms: number;
  readonly stdout: Kept;
  readonly stderr: Kept;
}

/**
 * When this settles, the program and all it started are gone.
 * @throws KithError what `signal` says; not-ready when the sandbox's program cannot be started
 */
export async function runCommand(
  { program, args, feeds }: Command,
  signal: AbortSignal,
  { mostBytes, timeoutMs, stdin = "", as, missing, clock = systemClock }: Options,
): Promise<Ran> {
  if (signal.aborted) throw stopped(signal);
  const began = clock.mono();
  const child = startPiped(program, args, { extra: feeds.length + 1, ...as });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const [stdout, stderr] = [new Kept(mostBytes), new Kept(mostBytes)];
  let status = "";
  let why: KithError | "timeout" | undefined;
  let cancel = () => {};

  const stop = (reason: KithError | "timeout") => {
    if (why) return;
    why = reason;
    // The process group of all that runs inside; its first member ignores it.
    const inside = /"child-pid": (\d+)/.exec(status)?.[1];
    if (inside !== undefined) terminate(child, Number(inside));
    cancel = clock.after(inside === undefined ? 0 : TERM_MS, () => {
      endGroup(child);
      cancel = clock.after(KILL_MS, () => {
        for (const pipe of child.stdio) pipe?.destroy();
        child.unref();
        resolve();
      });
    });
  };
  const abort = () => stop(stopped(signal));
  signal.addEventListener("abort", abort, { once: true });
  const late = clock.after(timeoutMs, () => stop("timeout"));

  child.stdout?.on("data", (chunk: Buffer) => stdout.add(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.add(chunk));
  const [, , , report, ...rest] = child.stdio;
  (report as Readable | undefined)
    ?.setEncoding("utf8")
    .on("data", (words: string) => (status = (status + words).slice(0, STATUS_CHARS)))
    .on("error", () => {}); // closed by its other end: then there is nothing more to be told
  for (const [at, bytes] of feeds.entries()) feed(rest[at] as Writable | undefined, bytes);
  feed(child.stdin ?? undefined, stdin);
  child.on("error", reject);
  child.on("exit", () => endGroup(child));
  child.on("close", () => resolve());

  try {
    await promise;
  } catch (cause) {
    const absent = cause instanceof Error && "code" in cause && MISSING.has(cause.code);
    const message = absent ? missing : "the sandbox's program cannot be started";
    throw new KithError("not-ready", message, { cause });
  } finally {
    cancel();
    late();
    signal.removeEventListener("abort", abort);
  }
  if (why instanceof KithError) throw why;
  const code = /"exit-code": (\d+)/.exec(status)?.[1];
  return {
    code: code === undefined ? undefined : Number(code),
    timedOut: why === "timeout",
    killed: why === undefined && child.signalCode !== null,
    ms: Math.max(0, Math.round(clock.mono() - began)),
    stdout,
    stderr,
  };
}

/** Whoever reads may end before it has read all; that is no failure of ours. */
function feed(pipe: Writable | undefined, bytes: Uint8Array | string): void {
  pipe?.on("error", () => {});
  pipe?.end(bytes);
}

/** The agent says why it stops; a plain abort is a wish. */
function stopped(signal: AbortSignal): KithError {
  if (signal.reason instanceof KithError) return signal.reason;
  return new KithError("cancelled", "stopped on request");
}
