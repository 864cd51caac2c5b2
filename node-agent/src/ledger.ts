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
import { createHash } from "node:crypto";
import { copyFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Unpackr } from "msgpackr";
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { hex, newId } from "@kith/shared/ids";
import type { EffectClass, ErrorFrame, Invoke, LedgerState, Result, StreamRef } from "@kith/shared/protocol/call";
import { pack } from "@kith/shared/protocol/codec";
import { syncFolder } from "./disk.ts";
import { Log, readLog } from "./log.ts";

export type TerminalFrame = Result | ErrorFrame;
export type EndState = "done" | "failed" | "cancelled";

export interface Row {
  readonly call: string;
  readonly n: number;
  /** SHA-256 over capability, version and arguments, in hex. */
  readonly digest: string;
  readonly cap: string;
  readonly effect: EffectClass;
  /** The decision it rested on; never good for another call when it was for one use. */
  readonly grant: string;
  /** Unix ms. */
  readonly at: number;
  state: Exclude<LedgerState, "absent">;
  /** How often a driver was started for it; written before each start. */
  starts: number;
  /** Where the stored terminal frame stands in the file. */
  frame?: { readonly offset: number; readonly length: number };
}

type Stored =
  | { k: "file"; v: 1; ledger: string; floor: number }
  | { k: "in"; call: string; n: number; digest: string; cap: string; effect: EffectClass; grant: string; at: number }
  | { k: "run"; call: string; starts: number }
  | { k: "end"; call: string; state: EndState; frame: TerminalFrame };

const KEEP_MS = 7 * 86_400_000;
const KEEP_ROWS = 10_000;
/** Longest call (24 h) and what its content is kept for afterwards. */
const STREAMS_MS = 25 * 3_600_000;

const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
/** Written by us and covered by a CRC, so its shape is not checked again. */
const unpack = (body: Uint8Array) => unpackr.unpack(body) as Stored;

export class Ledger {
  /** Made with the file: another id tells the gateway that what it knows of us is gone. */
  readonly id: string;
  readonly floor: number;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #rows: Map<string, Row>;
  readonly #grants = new Map<string, string>();

  private constructor(id: string, floor: number, log: Log, clock: Clock, rows: Map<string, Row>) {
    this.id = id;
    this.floor = floor;
    this.#log = log;
    this.#clock = clock;
    this.#rows = rows;
    for (const row of rows.values()) this.#grants.set(row.grant, row.call);
  }

  /** `keep`: how much is kept at least; smaller in tests. @throws when the file cannot be used */
  static async open(path: string, clock: Clock, rng: Rng, keep = { ms: KEEP_MS, rows: KEEP_ROWS }): Promise<Ledger> {
    const content = await readLog(path);
    const read = replay(content.records.map(({ offset, body }) => ({ offset, body, record: unpack(body) })));
    // Sound rows behind damage are lost, so what this file does not know may have run: a new id says so.
    if (content.damaged) await copyFile(path, `${path}.damaged`);
    const id = read.id === undefined || content.damaged ? newId(clock, rng) : read.id;
    const floor = prune(read, clock.now(), keep);
    let log: Log;
    if (read.id === id && floor === read.floor) log = await Log.open(path, content.good);
    else {
      const draft = `${path}.new`;
      await rm(draft, { force: true });
      const next = await Log.open(draft, 0);
      await next.append(pack({ k: "file", v: 1, ledger: id, floor } satisfies Stored), true);
      const kept: Promise<unknown>[] = [];
      for (const { row, bodies } of read.rows.values())
        for (const body of bodies) {
          const placed = next.append(body, true);
          if (body === bodies.at(-1) && row.frame) kept.push(placed.then((offset) => (row.frame = { offset, length: body.length })));
          else kept.push(placed);
        }
      await Promise.all(kept);
      await rename(draft, path);
      await syncFolder(dirname(path));
      log = next;
    }
    const rows = new Map([...read.rows].map(([call, { row }]) => [call, row]));
    const ledger = new Ledger(id, floor, log, clock, rows);
    await ledger.#settle();
    return ledger;
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

  /** fdatasync calls so far. */
  get syncs(): number {
    return this.#log.syncs;
  }

  /**
   * Takes a call in, with its grant. From this moment on a repeat finds the row; the promise
   * resolves when it is on disk (`read`: written) and rejects with disk-full; then there is no row.
   */
  receive(invoke: Pick<Invoke, "call" | "n" | "cap" | "effect" | "grant">, digest: string): [Row, Promise<void>] {
    const { call, n, cap, effect, grant } = invoke;
    if (this.#rows.has(call)) throw new RangeError("the call is known already");
    const fields = { call, n, digest, cap, effect, grant, at: this.#clock.now() };
    const row: Row = { ...fields, state: "received", starts: 0 };
    this.#rows.set(call, row);
    this.#grants.set(grant, call);
    const stored = this.#append({ k: "in", ...fields }, effect !== "read").then(
      () => {},
      (error: unknown) => {
        this.#forget(row);
        throw error;
      },
    );
    return [row, stored];
  }

  /** Before each start of a driver. Resolves when the start is on disk (`read`: written). */
  async run(row: Row): Promise<void> {
    if (row.effect === "once" && row.starts > 0) throw new RangeError("a once call runs once");
    row.state = "running";
    row.starts++;
    await this.#append({ k: "run", call: row.call, starts: row.starts }, row.effect !== "read");
  }

  /** Stores how it ended. Only then may the frame be sent. */
  async end(row: Row, state: EndState, frame: TerminalFrame): Promise<void> {
    const { offset, length } = await this.#append({ k: "end", call: row.call, state, frame }, row.effect !== "read");
    row.frame = { offset, length };
    row.state = state;
  }

  /** The stored terminal frame, once there is one. */
  terminal(row: Row): TerminalFrame | undefined {
    if (!row.frame) return undefined;
    const stored = unpack(this.#log.read(row.frame.offset, row.frame.length));
    return stored.k === "end" && stored.call === row.call ? stored.frame : undefined;
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  /** Nothing was started for it: it never came. */
  #forget(row: Row): void {
    this.#rows.delete(row.call);
    if (this.#grants.get(row.grant) === row.call) this.#grants.delete(row.grant);
  }

  async #append(stored: Stored, durable: boolean): Promise<{ offset: number; length: number }> {
    const body = pack(stored);
    return { offset: await this.#log.append(body, durable), length: body.length };
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

/** The answer for a call that this program cannot tell the end of. */
export function interrupted(call: string, effect: "none" | "unknown"): ErrorFrame {
  const text = effect === "none" ? "the agent ended in the middle; nothing was kept" : "the agent ended in the middle; it may have happened";
  return { t: "error", call, code: "interrupted", effect, text, retry: "later" };
}

/** The same content gives the same digest, whatever the order of its keys. */
export function digestOf({ cap, v, args }: Pick<Invoke, "cap" | "v" | "args">): string {
  return createHash("sha256").update(canonical([cap, v, args])).digest("hex");
}

/** Type tags and lengths keep different values from giving the same text. */
function canonical(value: unknown): string {
  if (value instanceof Uint8Array) return `x${hex(value)};`;
  if (Array.isArray(value)) return `l${value.length}:${value.map(canonical).join("")}`;
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `m${pairs.length}:${pairs.map(([key, entry]) => canonical(key) + canonical(entry)).join("")}`;
  }
  const text = String(value);
  return `${typeof value}${text.length}:${text}`;
}

interface Replayed {
  readonly id: string | undefined;
  readonly floor: number;
  readonly rows: Map<string, { readonly row: Row; readonly bodies: Uint8Array[] }>;
}

function replay(records: readonly { offset: number; body: Uint8Array; record: Stored }[]): Replayed {
  const rows: Replayed["rows"] = new Map();
  let id: string | undefined;
  let floor = 0;
  for (const { offset, body, record } of records) {
    if (record.k === "file") {
      if (record.v !== 1) throw new KithError("store-newer", "the ledger was written by a newer agent");
      id = record.ledger;
      floor = record.floor;
    } else if (record.k === "in") {
      const { k: _, ...fields } = record;
      rows.set(record.call, { row: { ...fields, state: "received", starts: 0 }, bodies: [body] });
    } else {
      const known = rows.get(record.call);
      if (!known) continue;
      known.bodies.push(body);
      if (record.k === "run") {
        known.row.state = "running";
        known.row.starts = record.starts;
      } else {
        known.row.state = record.state;
        known.row.frame = { offset, length: body.length };
      }
    }
  }
  return { id, floor, rows };
}

/** Forgets the oldest numbers, as far as both bounds allow. Returns the new floor. */
function prune({ floor, rows }: Replayed, now: number, keep: { readonly ms: number; readonly rows: number }): number {
  const byNumber = [...rows.values()].map(({ row }) => row).sort((a, b) => a.n - b.n);
  let highest = floor;
  for (const row of byNumber.slice(0, Math.max(0, byNumber.length - keep.rows))) {
    // In order of n, so that everything at or below the floor really is gone.
    if (now - row.at < keep.ms) break;
    rows.delete(row.call);
    highest = row.n;
  }
  return highest;
}

/** The rows of a ledger that a running agent may hold open; newest last. Changes nothing. */
export async function readLedger(path: string): Promise<{ id: string | undefined; rows: Row[] }> {
  const { records } = await readLog(path);
  const { id, rows } = replay(records.map(({ offset, body }) => ({ offset, body, record: unpack(body) })));
  return { id, rows: [...rows.values()].map(({ row }) => row) };
}
