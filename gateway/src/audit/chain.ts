/**
 * The audit trail: rows that nobody can change, reorder or cut unseen.
 *
 *   hash(n) = SHA-256( hash(n-1) · JSON[seq, at, what] · "\n" · data )
 *
 * Each row's hash covers the row before, so the newest hash (the head) covers all. The head
 * also stands in the anchor file: a chain alone would not show that its end was cut off.
 */
import { hash as digest } from "node:crypto";

/** The end of a chain: how many rows, and the hash of the last. */
export interface Head {
  readonly seq: number;
  /** 32 bytes; zeros before the first row. */
  readonly hash: Uint8Array;
}

/** A row as it lies on disk: hashes as 32 bytes, data as the very text that was hashed. */
export interface Link {
  readonly seq: number;
  readonly at: number;
  readonly what: string;
  readonly data: string;
  readonly prev: Uint8Array;
  readonly hash: Uint8Array;
}

export const genesis: Head = { seq: 0, hash: new Uint8Array(32) };

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** JSON with sorted keys: equal data has equal text, so any reader can hash it again. */
export function canonical(data: Readonly<Record<string, unknown>>): string {
  let text = "";
  for (const key of sorted(Object.keys(data))) {
    const value = data[key];
    if (value !== undefined) text += `${text === "" ? "" : ","}${quoted(key)}:${json(value)}`;
  }
  return `{${text}}`;
}

function sorted(keys: string[]): string[] {
  for (let at = 1; at < keys.length; at++)
    if ((keys[at - 1] ?? "") > (keys[at] ?? "")) return keys.sort();
  return keys;
}

const json = (value: unknown): string =>
  typeof value === "string"
    ? quoted(value)
    : JSON.stringify(value, (_, inner: unknown) =>
        typeof inner === "object" && inner !== null && !Array.isArray(inner)
          ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
          : inner,
      );

/** Nearly all text of the audit trail: what JSON writes as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;
const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text));

/** The row that follows `head`. `data` is canonical text. */
export function append(head: Head, at: number, what: string, data: string): Link {
  const seq = head.seq + 1;
  return { seq, at, what, data, prev: head.hash, hash: hashOf(head.hash, seq, at, what, data) };
}

function hashOf(prev: Uint8Array, seq: number, at: number, what: string, data: string): Uint8Array {
  // JSON holds no raw newline, so no two rows share one encoding.
  const row = Buffer.from(`${JSON.stringify([seq, at, what])}\n${data}`);
  return digest("sha256", Buffer.concat([prev, row]), "buffer");
}

/** Whether a row is what its own hash says, whatever stands around it. */
export const intact = (row: Link): boolean =>
  sameBytes(row.hash, hashOf(row.prev, row.seq, row.at, row.what, row.data));

/**
 * Recomputes a chain from its beginning, or from where an earlier look at it ended. `anchor` is what was on disk as the head at some
 * earlier moment: the row with that number must still exist and still have that hash.
 */
export function verify(
  rows: Iterable<Link>,
  anchor: Head,
  from: Head = genesis,
): { head: Head; problem?: string } {
  let head = from;
  let anchored = anchor.seq === 0;
  for (const row of rows) {
    if (row.seq !== head.seq + 1) {
      return { head, problem: `after row ${head.seq} comes row ${row.seq}` };
    }
    if (!sameBytes(row.prev, head.hash)) {
      return { head, problem: `row ${row.seq} does not follow the row before it` };
    }
    if (!intact(row)) return { head, problem: `row ${row.seq} was changed` };
    head = row;
    if (row.seq === anchor.seq) {
      if (!sameBytes(row.hash, anchor.hash)) {
        return { head, problem: `row ${row.seq} is not the one that the anchor names` };
      }
      anchored = true;
    }
  }
  if (anchored) return { head };
  return { head, problem: `rows ${head.seq + 1} to ${anchor.seq} of the anchor are missing` };
}
