/** The records of ledger.log and what they add up to: one row for each call. */
import { Unpackr } from "msgpackr";
import { KithError } from "@kith/shared/errors";
import type { EffectClass, ErrorFrame, LedgerState, Result } from "@kith/shared/protocol/call";
import { type Found, readLog } from "./log.ts";

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

export type Stored =
  | { k: "file"; v: 1; ledger: string; floor: number }
  | {
      k: "in";
      call: string;
      n: number;
      digest: string;
      cap: string;
      effect: EffectClass;
      grant: string;
      at: number;
    }
  | { k: "run"; call: string; starts: number }
  | { k: "end"; call: string; state: EndState; frame: TerminalFrame };

const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
/** Written by us and covered by a CRC, so its shape is not checked again. */
export const unpack = (body: Uint8Array) => unpackr.unpack(body) as Stored;

export interface Replayed {
  readonly id: string | undefined;
  readonly floor: number;
  readonly rows: Map<string, { readonly row: Row; readonly bodies: Uint8Array[] }>;
}

export function replay(records: readonly Found[]): Replayed {
  const rows: Replayed["rows"] = new Map();
  let id: string | undefined;
  let floor = 0;
  for (const { offset, body } of records) {
    const record = unpack(body);
    if (record.k === "file") {
      if (record.v !== 1)
        throw new KithError("store-newer", "the ledger was written by a newer agent");
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
export function prune(
  { floor, rows }: Replayed,
  now: number,
  keep: { readonly ms: number; readonly rows: number },
): number {
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
  const { id, rows } = replay((await readLog(path))?.records ?? []);
  return { id, rows: [...rows.values()].map(({ row }) => row) };
}
