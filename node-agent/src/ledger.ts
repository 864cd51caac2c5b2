/**
 * What became of every call: the node's memory over crashes and broken links.
 *
 *   received ─► running ─► done | failed | cancelled      each arrow is a record in ledger.log
 *      │           └─ (crash) ─► doubt                    read: failed, interrupted
 *      └─ (crash) ─► forgotten: nothing was started, the same call may come again
 *
 * A `once` call never runs twice: a row in doubt is answered, never started. Rows are kept for
 * 7 days and for the newest 10,000 calls; `floor` is the highest number that was pruned.
 */
import { copyFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock, Rng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import type { ErrorFrame, Invoke, StreamRef } from "@kith/shared/protocol/call";
import { pack } from "@kith/shared/protocol/codec";
import { syncFolder } from "./disk.ts";
import {
  type EndState,
  prune,
  replay,
  type Replayed,
  type Row,
  type Stored,
  type TerminalFrame,
  unpack,
} from "./ledger-rows.ts";
import { Log, readLog } from "./log.ts";

const KEEP_MS = 7 * 86_400_000;
const KEEP_ROWS = 10_000;
/** At least so long, and at least so many. */
interface Keep {
  readonly ms: number;
  readonly rows: number;
}
/** Longest call (24 h) and what its content is kept for afterwards. */
const STREAMS_MS = 25 * 3_600_000;

export class Ledger {
  /** Made with the file: another id tells the gateway that what it knows of us is gone. */
  readonly id: string;
  readonly #path: string;
  readonly #keep: Keep;
  readonly #clock: Clock;
  #log: Log;
  #floor: number;
  /** While a smaller file is written, whatever is to be stored waits. */
  #pruning: Promise<void> | undefined;
  readonly #rows: Map<string, Row>;
  readonly #grants = new Map<string, string>();

  private constructor(
    { id, path, keep, clock }: Pick<Ledger, "id"> & { path: string; keep: Keep; clock: Clock },
    floor: number,
    log: Log,
    rows: Map<string, Row>,
  ) {
    this.id = id;
    this.#path = path;
    this.#keep = keep;
    this.#clock = clock;
    this.#floor = floor;
    this.#log = log;
    this.#rows = rows;
    for (const row of rows.values()) this.#grants.set(row.grant, row.call);
  }

  /** `keep`: how much is kept at least; smaller in tests. @throws when the file cannot be used */
  static async open(
    path: string,
    clock: Clock,
    rng: Rng,
    keep: Keep = { ms: KEEP_MS, rows: KEEP_ROWS },
  ): Promise<Ledger> {
    const content = await readLog(path);
    const read = replay(content?.records ?? []);
    // What this file does not know any more may have run: a new id says so.
    if (content?.damaged) await copyFile(path, `${path}.damaged`);
    // An earlier agent could not read the new form: its file stays as the way back.
    else if (content?.old) await copyFile(path, `${path}.old`);
    const known = content?.damaged ? undefined : read.id;
    const id = known ?? newId(clock, rng);
    const floor = prune(read, clock.now(), keep);
    const asItIs = known !== undefined && floor === read.floor && !content?.old;
    const log =
      content && asItIs
        ? await Log.open(path, content)
        : await rewrite(path, { ...read, id, floor });
    const rows = new Map([...read.rows].map(([call, { row }]) => [call, row]));
    const ledger = new Ledger({ id, path, keep, clock }, floor, log, rows);
    await ledger.#settle();
    return ledger;
  }

  /** The highest number that was pruned. */
  get floor(): number {
    return this.#floor;
  }

  get(call: string): Row | undefined {
    return this.#rows.get(call);
  }

  /** Newest last. */
  rows(): IterableIterator<Row> {
    return this.#rows.values();
  }

  /** Streams of results that were promised in the last hours: what a spool may still hold. */
  *streams(): Generator<StreamRef & { readonly call: string }> {
    for (const row of this.#rows.values()) {
      if (row.state !== "done" || this.#clock.now() - row.at > STREAMS_MS) continue;
      const frame = this.terminal(row);
      if (frame?.t === "result") for (const ref of frame.streams) yield { ...ref, call: row.call };
    }
  }

  /** The call that used up this grant. */
  burnedBy(grant: string): string | undefined {
    return this.#grants.get(grant);
  }

  /**
   * Takes a call in, with its grant, and `starting` with the start of its driver. From this moment on
   * a repeat finds the row; the promise resolves when it is on disk (`read`: written) and rejects
   * with disk-full; then there is no row.
   */
  receive(
    { call, n, cap, effect, grant }: Pick<Invoke, "call" | "n" | "cap" | "effect" | "grant">,
    digest: string,
    starting = false,
  ): [Row, Promise<void>] {
    if (this.#rows.has(call)) throw new RangeError("the call is known already");
    const at = this.#clock.now();
    const row: Row = { call, n, digest, cap, effect, grant, at, state: "received", starts: 0 };
    this.#rows.set(call, row);
    this.#grants.set(grant, call);
    const bodies = [pack({ k: "in", call, n, digest, cap, effect, grant, at } satisfies Stored)];
    if (starting) bodies.push(this.#start(row));
    const stored = this.#append(bodies, effect !== "read", (offset) => {
      if (offset === undefined) this.#forget(row);
    });
    return [row, stored];
  }

  /** Before each start of a driver. Resolves when the start is on disk (`read`: written). */
  async run(row: Row): Promise<void> {
    await this.#append([this.#start(row)], row.effect !== "read");
  }

  /** Stores how it ended. Only when it resolves may the frame be sent. */
  end(row: Row, state: EndState, frame: TerminalFrame): Promise<void> {
    const body = pack({ k: "end", call: row.call, state, frame } satisfies Stored);
    return this.#append([body], row.effect !== "read", (offset) => {
      if (offset === undefined) return;
      row.frame = { offset, length: body.length };
      row.state = state;
    });
  }

  /** The stored terminal frame, once there is one. */
  terminal(row: Row): TerminalFrame | undefined {
    if (!row.frame) return undefined;
    const stored = unpack(this.#log.read(row.frame.offset, row.frame.length));
    return stored.k === "end" && stored.call === row.call ? stored.frame : undefined;
  }

  /**
   * Forgets what need not be kept any more, for an agent that runs for months; the start does the
   * same. Rejects when the smaller file cannot be written; then everything is as it was.
   */
  prune(): Promise<void> {
    return (this.#pruning ??= this.#prune().finally(() => (this.#pruning = undefined)));
  }

  async close(): Promise<void> {
    await this.#pruning?.catch(() => {}); // whoever asked for it was told
    await this.#log.close();
  }

  async #prune(): Promise<void> {
    const known = [...this.#rows.values()]; // what comes from here on is in no file yet
    await this.#log.written();
    const content = await readLog(this.#path);
    // The next start says what is wrong, and keeps a copy.
    if (!content || content.damaged) return;
    const read = replay(content.records);
    const floor = prune(read, this.#clock.now(), this.#keep);
    if (floor === this.#floor) return;
    const next = await rewrite(this.#path, { ...read, floor });
    for (const row of known) {
      const kept = read.rows.get(row.call);
      if (!kept) this.#forget(row);
      else if (kept.row.frame) row.frame = kept.row.frame;
    }
    this.#floor = floor;
    const last = this.#log;
    this.#log = next;
    await last.close();
  }

  /** Nothing was started for it: it never came. */
  #forget(row: Row): void {
    this.#rows.delete(row.call);
    if (this.#grants.get(row.grant) === row.call) this.#grants.delete(row.grant);
  }

  /** @throws RangeError for a `once` call that was started before */
  #start(row: Row): Uint8Array {
    if (row.effect === "once" && row.starts > 0) throw new RangeError("a once call runs once");
    row.state = "running";
    row.starts++;
    return pack({ k: "run", call: row.call, starts: row.starts } satisfies Stored);
  }

  #append(...what: Parameters<Log["append"]>): Promise<void> {
    if (!this.#pruning) return this.#log.append(...what);
    const go = () => this.#log.append(...what);
    return this.#pruning.then(go, go); // whoever asked for it was told
  }

  /** After a crash: what ran is in doubt, except for what may simply be asked again. */
  async #settle(): Promise<void> {
    for (const row of [...this.#rows.values()]) {
      if (row.state === "received") this.#forget(row);
      else if (row.state === "running" && row.effect === "read") {
        await this.end(row, "failed", interrupted(row.call, "none"));
      } else if (row.state === "running") row.state = "doubt";
    }
  }
}

/** Puts a new file in place of the old one, as a whole or not at all; the rows then know their place in it. */
async function rewrite(path: string, { id, floor, rows }: Replayed): Promise<Log> {
  const draft = `${path}.new`;
  const next = await Log.create(draft);
  try {
    await fill(next, { id, floor, rows });
    await rename(draft, path);
    await syncFolder(dirname(path));
    return next;
  } catch (error) {
    await next.close().catch(() => {}); // the first failure is told
    throw error;
  }
}

async function fill(next: Log, { id, floor, rows }: Replayed): Promise<void> {
  const header = { k: "file", v: 1, ledger: id ?? "", floor } satisfies Stored;
  const written = [next.append([pack(header)], true)];
  for (const { row, bodies } of rows.values())
    written.push(
      next.append(bodies, true, (offset) => {
        if (row.frame && offset !== undefined) row.frame = { offset, length: row.frame.length };
      }),
    );
  await Promise.all(written);
}

/** The answer for a call that this program cannot tell the end of. */
export function interrupted(call: string, effect: "none" | "unknown"): ErrorFrame {
  const text =
    effect === "none"
      ? "the agent ended in the middle; nothing was kept"
      : "the agent ended in the middle; it may have happened";
  return { t: "error", call, code: "interrupted", effect, text, retry: "later" };
}
