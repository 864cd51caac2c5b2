/**
 * Bytes of a peer to plain data, in one strict pass: what is outside the subset of docs/protocol.md
 * "Encoding" is refused before anything is made of it. Common libraries are no substitute: they
 * build live objects from extensions, keep the last of two equal keys and mend bad UTF-8.
 */
import { KithError } from "../errors.ts";
import { limits } from "./limits.ts";

export const bad = (why: string) => new KithError("schema", `malformed frame: ${why}`);

const FORBIDDEN_KEYS = new Set(["__proto__", "constructor", "prototype"]);
// A byte order mark is a character like any other: whoever reads the text refuses it.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Up to here a loop is faster than the decoder. */
const SHORT = 8;

let bytes = new Uint8Array();
let at = 0;
let values = 0;

/** One value and nothing behind it; bytes in it are views of `message`. @throws KithError schema */
export function decode(message: Uint8Array): unknown {
  bytes = message as Uint8Array<ArrayBuffer>;
  at = 0;
  values = 0;
  const value = next(1);
  if (at !== bytes.length) throw bad("trailing bytes");
  return value;
}

function next(depth: number): unknown {
  if (depth > limits.msgpackDepth) throw bad("too deep");
  if (++values > limits.msgpackValues) throw bad("too many values");
  const head = bytes[need(1)] as number;
  if (head <= 0x7f) return head;
  if (head >= 0xe0) return head - 0x100;
  if (head <= 0x8f) return map(head - 0x80, depth);
  if (head <= 0x9f) return array(head - 0x90, depth);
  if (head <= 0xbf) return text(head - 0xa0);
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return binary(uint(1));
    case 0xc5:
      return binary(uint(2));
    case 0xc6:
      return binary(uint(4));
    case 0xcb: {
      const value = view(8).getFloat64(0);
      if (!Number.isFinite(value)) throw bad("a number that is not finite");
      return value;
    }
    case 0xcc:
      return uint(1);
    case 0xcd:
      return uint(2);
    case 0xce:
      return uint(4);
    case 0xcf:
      return safe(uint(4), uint(4));
    case 0xd0:
      return (uint(1) << 24) >> 24;
    case 0xd1:
      return (uint(2) << 16) >> 16;
    case 0xd2:
      return uint(4) | 0;
    case 0xd3:
      return safe(uint(4) | 0, uint(4));
    case 0xd9:
      return text(uint(1));
    case 0xda:
      return text(uint(2));
    case 0xdb:
      return text(uint(4));
    case 0xdc:
      return array(uint(2), depth);
    case 0xdd:
      return array(uint(4), depth);
    case 0xde:
      return map(uint(2), depth);
    case 0xdf:
      return map(uint(4), depth);
    default:
      // 0xc1, float32, every extension.
      throw bad("a type outside the subset");
  }
}

/** Where the next `n` bytes begin. */
function need(n: number): number {
  const from = at;
  if (n > bytes.length - from) throw bad("cut short");
  at = from + n;
  return from;
}

function uint(size: 1 | 2 | 4): number {
  const from = need(size);
  let value = 0;
  for (let i = from; i < from + size; i++) value = value * 256 + (bytes[i] as number);
  return value;
}

function safe(high: number, low: number): number {
  const value = high * 2 ** 32 + low;
  if (!Number.isSafeInteger(value)) throw bad("an integer too large");
  return value;
}

const view = (n: number) => new DataView(bytes.buffer, bytes.byteOffset + need(n), n);

function binary(n: number): Uint8Array {
  const from = need(n);
  return bytes.subarray(from, from + n);
}

function text(n: number): string {
  const from = need(n);
  if (n <= SHORT) {
    let plain = "";
    let i = from;
    for (; i < at && (bytes[i] as number) < 0x80; i++)
      plain += String.fromCharCode(bytes[i] as number);
    if (i === at) return plain;
  }
  try {
    return utf8.decode(bytes.subarray(from, at));
  } catch {
    throw bad("invalid UTF-8");
  }
}

function array(n: number, depth: number): unknown[] {
  if (n > limits.msgpackValues) throw bad("too many values");
  const list: unknown[] = [];
  for (let i = 0; i < n; i++) list.push(next(depth + 1));
  return list;
}

function map(n: number, depth: number): Record<string, unknown> {
  if (n > limits.msgpackValues) throw bad("too many values");
  const out: Record<string, unknown> = {};
  for (let i = 0; i < n; i++) out[key()] = next(depth + 1);
  if (Object.keys(out).length !== n) throw bad("a key twice");
  return out;
}

/**
 * Keys that came before, by a number made of some of their bytes. There are few, they come with
 * every frame, and a string of them that is made anew has to be looked up by the engine.
 */
const known: (Known | undefined)[] = Array.from({ length: 256 }, () => undefined);
interface Known {
  readonly bytes: Uint8Array;
  readonly text: string;
}

function key(): string {
  const head = bytes[need(1)] as number;
  const size = head >= 0xa0 && head <= 0xbf ? head - 0xa0 : head === 0xd9 ? uint(1) : -1;
  if (size < 0) throw bad("a key that is no short string");
  if (size > limits.keyBytes) throw bad("a key too long");
  const from = at;
  if (size > bytes.length - from) throw bad("cut short");
  const first = bytes[from] ?? 0;
  const place = (size + 7 * first + 31 * (bytes[from + size - 1] ?? 0)) & 255;
  const found = known[place];
  if (found && same(found.bytes, from, size)) {
    at += size;
    return found.text;
  }
  const made = text(size);
  if (FORBIDDEN_KEYS.has(made)) throw bad("a forbidden key");
  known[place] = { bytes: bytes.slice(from, at), text: made };
  return made;
}

function same(one: Uint8Array, from: number, size: number): boolean {
  if (one.length !== size) return false;
  for (let i = 0; i < size; i++) if (one[i] !== bytes[from + i]) return false;
  return true;
}
