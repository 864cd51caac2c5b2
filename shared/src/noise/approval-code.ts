/**
 * The codes of pairing B, by which two people's eyes join two ends that never met.
 *
 *   node ── commitment(h, nN) ──► gateway      the node can no longer choose nN
 *   node ◄── nG ───────────────── gateway      a slot is spent
 *   node ── nN ─────────────────► gateway      both can work out the two codes
 *
 * The device shows the code, and it is typed at the gateway (40 bits, one try each);
 * the gateway shows the return code, and it is typed at the device. Somebody in between
 * has two handshakes with two hashes `h`, so the codes of the two ends differ.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { KithError } from "../errors.ts";
import { crockford, readCrockford } from "../ids.ts";

const CODE_CHARS = 9;
/** Nobody types more than that for nine characters, hyphens and spaces included. */
const MAX_TYPED_CHARS = 64;

/** What the node sends before it sees the gateway's nonce: 32 bytes. `h`: 32 bytes, `nN`: 16. */
export function commitment(h: Uint8Array, nN: Uint8Array): Uint8Array<ArrayBuffer> {
  return sha256(concatBytes(utf8ToBytes("kith-commit-v1"), h, nN));
}

/** `code`: 9 characters without hyphens, the last a checksum. `returnCode`: 4 digits. Nonces: 16 bytes. */
export function approvalCode(
  h: Uint8Array,
  nN: Uint8Array,
  nG: Uint8Array,
): { code: string; returnCode: string } {
  const digest = hmac(sha256, h, concatBytes(utf8ToBytes("kith-sas-v1"), nN, nG));
  const secret = crockford(digest, 8); // 40 bits
  const code = secret + letter(checksum(readCrockford(secret) ?? []));
  const number = new DataView(digest.buffer, digest.byteOffset).getUint32(5) % 10_000;
  return { code, returnCode: String(number).padStart(4, "0") };
}

/** As people read it: `E8Z-PKG-EJH`. */
export function formatCode(code: string): string {
  return `${code.slice(0, 3)}-${code.slice(3, 6)}-${code.slice(6)}`;
}

/**
 * Reads a code that somebody typed, forgiving as `readCrockford`. Returns its 9 characters.
 * @throws KithError code-mistyped, for every single wrong character and every swap of two: not counted as a try
 */
export function readCode(typed: string): string {
  const values = typed.length > MAX_TYPED_CHARS ? undefined : readCrockford(typed);
  if (!values) throw new KithError("code-mistyped", "the code has a character that no code has");
  if (values.length !== CODE_CHARS)
    throw new KithError("code-mistyped", "the code has 9 characters");
  if (values.at(-1) !== checksum(values.slice(0, -1)))
    throw new KithError("code-mistyped", "the last character of the code does not fit the others");
  return values.map(letter).join("");
}

/** The character of one 5-bit value. */
const letter = (value: number) => crockford(Uint8Array.of(value << 3), 1);

/**
 * The code as a polynomial over GF(32), modulus x^5 + x^2 + 1: every place has a factor
 * of its own, so one wrong character or two exchanged ones cannot cancel out.
 */
function checksum(values: readonly number[]): number {
  const timesX = (s: number) => (s > 15 ? (2 * s) ^ 0x25 : 2 * s);
  return timesX(values.reduce((s, value) => timesX(s) ^ value, 0));
}

/** Equal? Takes as long for a near miss as for a far one; only the lengths show. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= (a[at] ?? 0) ^ (b[at] ?? 0);
  return difference === 0;
}

/** `sameBytes` for codes and return codes. */
export function sameText(a: string, b: string): boolean {
  return sameBytes(utf8ToBytes(a), utf8ToBytes(b));
}
