/**
 * A message whose turn never ends holds the main thread, which then cannot count it. So the main
 * thread says in shared memory what it runs, and the writer, a thread of its own, looks on:
 *
 *   begin ── end, begin ── end, begin ──── ten seconds ────► record on disk, the process is killed
 *                                                             └─► the next start counts a try against it
 *
 * A machine that sleeps or a process that is stopped stops both threads alike: that is no stall.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import * as v from "valibot";
import { crashpoint } from "../runtime/crashpoint.ts";
import { syncFolder } from "./anchor.ts";

const HEAD = 3;
const WORDS_BYTES = 1_024;
const [TURN, RUNNING, LENGTH] = [0, 1, 2];
const POLL_MS = 1_000;

const record = v.strictObject({ epoch: v.number(), to: v.string(), msg: v.string() });
type Stall = v.InferOutput<typeof record>;

const file = (home: string) => join(home, "stall.json");

/** The main thread's side: two calls around every turn. */
export class Pulse {
  readonly memory = new SharedArrayBuffer(HEAD * 4 + WORDS_BYTES);
  readonly #head = new Int32Array(this.memory, 0, HEAD);
  /** `encodeInto` refuses shared memory, so it writes here first. */
  readonly #words = new Uint8Array(WORDS_BYTES);
  readonly #shared = new Uint8Array(this.memory, HEAD * 4);
  readonly #encoder = new TextEncoder();

  begin(to: string, msg: string): void {
    const { written } = this.#encoder.encodeInto(`${to}\n${msg}`, this.#words);
    this.#shared.set(this.#words.subarray(0, written));
    Atomics.store(this.#head, LENGTH, written);
    Atomics.add(this.#head, TURN, 1);
    Atomics.store(this.#head, RUNNING, 1);
  }

  end(): void {
    Atomics.store(this.#head, RUNNING, 0);
  }
}

/** The writer's side. Kills the process when one turn runs for `limitMs`. Returns how to stop. */
export function watch(
  memory: SharedArrayBuffer,
  { home, epoch, limitMs }: { home: string; epoch: number; limitMs: number },
): () => void {
  const head = new Int32Array(memory, 0, HEAD);
  let turn = -1;
  let since = performance.now();
  let last = since;
  const look = (): void => {
    const now = performance.now();
    // Whatever kept this thread from looking may have kept the other one as well.
    const blind = now - last > 3 * POLL_MS;
    last = now;
    const current = Atomics.load(head, TURN);
    if (blind || Atomics.load(head, RUNNING) === 0 || current !== turn) {
      turn = current;
      since = now;
      return;
    }
    if (now - since < limitMs) return;
    const words = Uint8Array.from(new Uint8Array(memory, HEAD * 4, Atomics.load(head, LENGTH)));
    const [to = "", msg = ""] = new TextDecoder().decode(words).split("\n");
    note(home, { epoch, to, msg });
    // The main thread would have to end it in order, and cannot.
    process.kill(process.pid, "SIGKILL");
  };
  const timer = setInterval(look, Math.min(POLL_MS, limitMs / 4));
  return () => clearInterval(timer);
}

function note(home: string, stall: Stall): void {
  crashpoint("st.write");
  const fd = openSync(`${file(home)}.new`, "w", 0o600);
  writeSync(fd, JSON.stringify(stall));
  fsyncSync(fd);
  closeSync(fd);
  renameSync(`${file(home)}.new`, file(home));
  syncFolder(home);
  crashpoint("st.synced");
}

/** What the process of this epoch hung on. An older record was counted already. */
export function stalled(home: string, epoch: number): Stall | undefined {
  if (!existsSync(file(home))) return undefined;
  try {
    const stall = v.parse(record, JSON.parse(readFileSync(file(home), "utf8")));
    return stall.epoch === epoch ? stall : undefined;
  } catch {
    return undefined; // Half a record: it says nothing, and the next stall writes a whole one.
  }
}

/** Once the try is counted, on disk. */
export const forget = (home: string): void => rmSync(file(home), { force: true });
