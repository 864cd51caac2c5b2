/**
 * What the audit keeps instead of arguments and results: a keyed hash, from which small values
 * cannot be guessed. HMAC-SHA-256 of the canonical encoding, the first 16 bytes as hex.
 */
import { hash } from "node:crypto";
import { type Value, canonical } from "../grants/plan.ts";

const BLOCK_BYTES = 64;

/** `key`: at most 64 bytes. The object that node makes for each HMAC costs four times as much as its two hashes. */
export function fingerprinter(key: Uint8Array): (value: unknown) => string {
  if (key.length > BLOCK_BYTES) throw new RangeError("a key longer than a block");
  const padded = (mask: number, room: number): Buffer => {
    const bytes = Buffer.alloc(BLOCK_BYTES + room);
    for (let at = 0; at < BLOCK_BYTES; at++) bytes[at] = (key[at] ?? 0) ^ mask;
    return bytes;
  };
  const outer = padded(0x5c, 32);
  let inner = padded(0x36, 1_024);
  return (value) => {
    const bytes = canonical(plain(value));
    const end = BLOCK_BYTES + bytes.length;
    if (end > inner.length) inner = padded(0x36, 2 * bytes.length);
    inner.set(bytes, BLOCK_BYTES);
    outer.write(hash("sha256", inner.subarray(0, end), "latin1"), BLOCK_BYTES, "latin1");
    return hash("sha256", outer, "hex").slice(0, 32);
  };
}

/** Plain data as the canonical encoding takes it: fractions as text, absent fields left out. */
function plain(value: unknown): Value {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : String(value);
  if (value === undefined || value === null) return null;
  if (value instanceof Uint8Array || typeof value === "string" || typeof value === "boolean")
    return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>)
      .filter(([, entry]) => entry !== undefined)
      .map(([key, entry]) => [key, plain(entry)]),
  );
}
