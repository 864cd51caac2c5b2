/**
 * The small words of the wire: bounded strings, integers and ids as valibot schemas.
 * Everything a peer may send is built from these, so nothing is unbounded.
 */
import * as v from "valibot";

/** C0/C1 controls, bidi controls, zero-width and line separators: never in a peer's text. */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- finding control characters is its job
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/u;

/** Nearly all text is this, a byte a character: it is not encoded to be measured. */
const PLAIN = /^[\x20-\x7e]*$/;

const encoder = new TextEncoder();
const byteLength = (text: string) => (PLAIN.test(text) ? text.length : encoder.encode(text).length);
const isSafe = (text: string) => PLAIN.test(text) || (!UNSAFE.test(text) && text.isWellFormed());

/** UTF-8 text of at most `bytes` bytes without control or bidi characters. */
export const str = (bytes: number) =>
  v.pipe(
    v.string(),
    v.maxLength(bytes),
    v.check((text) => byteLength(text) <= bytes, `at most ${bytes} bytes`),
    v.check(isSafe, "no control characters"),
  );

/** As `str`, with line feeds and tabs: what a person wrote, of several lines. */
export const text = (bytes: number) =>
  v.pipe(
    v.string(),
    v.maxLength(bytes),
    v.check((value) => byteLength(value) <= bytes, `at most ${bytes} bytes`),
    v.check((value) => isSafe(value.replaceAll(/[\n\t]/g, " ")), "no control characters"),
  );

/** A name a person reads: as `str`, and not empty. */
export const name = (bytes: number) => v.pipe(str(bytes), v.minLength(1));

export const int = (min: number, max: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(min), v.maxValue(max));

export const u32 = int(0, 2 ** 32 - 1);
export const u53 = int(0, Number.MAX_SAFE_INTEGER);
/** Milliseconds. */
export const ms = int(0, 2 ** 32 - 1);

/** Exactly `n` bytes. */
export const bin = (n: number) =>
  v.pipe(
    v.custom<Uint8Array>((value) => value instanceof Uint8Array),
    v.check((bytes) => bytes.length === n, `exactly ${n} bytes`),
  );

export const list = <T extends v.GenericSchema>(item: T, most: number) =>
  v.pipe(v.array(item), v.maxLength(most));

export const id26 = v.pipe(v.string(), v.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));
export const key16 = v.pipe(v.string(), v.regex(/^[0-9a-hjkmnp-tv-z]{16}$/));

/** A media type such as `image/jpeg`. */
export const mediaType = v.pipe(
  v.string(),
  v.maxLength(64),
  v.regex(/^[a-z0-9.+-]+\/[a-z0-9.+-]+$/),
);

/** Drops what `str` refuses and cuts to `bytes`, for text that we send ourselves. */
export function tame(text: string, bytes: number): string {
  let out = "";
  let room = bytes;
  for (const char of text.toWellFormed()) {
    if (UNSAFE.test(char)) continue;
    room -= byteLength(char);
    if (room < 0) break;
    out += char;
  }
  return out;
}
