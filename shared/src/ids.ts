/**
 * Ids and the alphabet they are written in.
 *
 * `id26`: 128-bit ids in ULID form (48 bits of milliseconds, 80 bits of chance).
 * `key16`: the name of a key holder, so that an id cannot be claimed without the key.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type { Clock, Rng } from "./clock.ts";

/** Crockford base32: no I, L, O, U. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** A call, stream, session, approval or boot: 26 upper-case Crockford characters. */
export type Id = string & { readonly id26?: never };
/** A gateway or device: 16 lower-case Crockford characters. */
export type KeyId = string & { readonly key16?: never };

/** Writes the first `chars` × 5 bits of `bytes`, most significant first. */
export function crockford(bytes: Uint8Array, chars = Math.floor((bytes.length * 8) / 5)): string {
  let text = "";
  for (let at = 0; at < chars; at++) {
    const byte = (at * 5) >> 3;
    const pair = ((bytes[byte] ?? 0) << 8) | (bytes[byte + 1] ?? 0);
    text += ALPHABET[(pair >> (11 - ((at * 5) & 7))) & 31];
  }
  return text;
}

/**
 * Reads what a person typed: case, hyphens and spaces do not matter, I and L are 1, O is 0.
 * Returns the 5-bit values, or `undefined` where a character is not of the alphabet.
 */
export function readCrockford(text: string): number[] | undefined {
  const values: number[] = [];
  for (const char of text.toUpperCase().replaceAll(/[-\s]/g, "")) {
    const value = ALPHABET.indexOf(char === "O" ? "0" : char === "I" || char === "L" ? "1" : char);
    if (value < 0) return undefined;
    values.push(value);
  }
  return values;
}

/** The characters of the id that is being made; the first ten are the time. */
const codes = Array.from({ length: 26 }, () => 0);
let timeOfCodes = -1;

/** A new id26. Ordered by time to the millisecond; unique across processes by 80 random bits. */
export function newId(clock: Clock, rng: Rng): Id {
  const now = clock.now();
  if (now !== timeOfCodes) {
    timeOfCodes = now;
    let time = now;
    for (let at = 9; at >= 0; at--) {
      codes[at] = ALPHABET.charCodeAt(time % 32);
      time = Math.floor(time / 32);
    }
  }
  const bytes = rng.bytes(10);
  for (let at = 0; at < 16; at++) {
    const byte = (at * 5) >> 3;
    const pair = ((bytes[byte] ?? 0) << 8) | (bytes[byte + 1] ?? 0);
    codes[at + 10] = ALPHABET.charCodeAt((pair >> (11 - ((at * 5) & 7))) & 31);
  }
  // At once, not piece by piece: every id is a key somewhere, and a string in pieces is put together first.
  return String.fromCharCode(...codes);
}

/** The id of the `n`th of several things that come into being together, where chance gave but one id. */
export function siblingId(id: Id, n: number): Id {
  return id.slice(0, 10) + crockford(sha256(utf8ToBytes(`${id}/${n}`)), 16);
}

/** The id of whoever holds this static public key (32 bytes). */
export function keyId(publicKey: Uint8Array): KeyId {
  return crockford(sha256(publicKey), 16).toLowerCase();
}

const PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Lower-case hex, for hashes that people and file names see. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += PAIRS[byte];
  return text;
}

/** @throws RangeError when `text` is not an even number of hex digits. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) throw new RangeError("not hex");
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++)
    bytes[at] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}
