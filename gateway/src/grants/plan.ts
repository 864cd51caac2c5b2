/**
 * The plan is what gets approved: one unambiguous encoding of everything that matters, and its
 * hash. The frame that reaches the device is built from the approved plan, never again from
 * the words of the chat.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { hex } from "@kith/shared/ids";

export type Value =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [key: string]: Value };

export interface Plan {
  readonly gateway: string;
  readonly device: string;
  readonly cap: string;
  readonly v: number;
  readonly args: { readonly [key: string]: Value };
  readonly requester: string;
  /** The call it was made for: an approval never fits another one. */
  readonly call: string;
  readonly revocation: number;
}

/**
 * Tag, 4-byte length, bytes: two different values never give the same bytes. JSON and msgpack
 * maps are not unambiguous; this is.
 * @throws TypeError for unsafe integers, fractions and lone surrogates, which would collide
 */
export function canonical(value: Value): Uint8Array {
  end = 0;
  put(value);
  return scratch.slice(0, end);
}

/** Encodes in place: every call is encoded three times, and a copy a field was a third of its cost. */
let scratch = new Uint8Array(4_096);
let end = 0;
const utf8 = new TextEncoder();

function put(value: Value): void {
  if (typeof value === "number" && !Number.isSafeInteger(value))
    throw new TypeError("not a safe integer");
  if (typeof value === "string" && !value.isWellFormed()) throw new TypeError("a lone surrogate");
  const from = end;
  room(5);
  end += 5;
  let tag: string;
  if (value === null) tag = "0";
  else if (value instanceof Uint8Array) {
    tag = "x";
    room(value.length);
    scratch.set(value, end);
    end += value.length;
  } else if (Array.isArray(value)) {
    tag = "l";
    for (const entry of value) put(entry);
  } else if (typeof value === "object") {
    tag = "m";
    for (const [key, entry] of Object.entries(value).sort(byEncoding)) {
      put(key);
      put(entry);
    }
  } else {
    tag = (typeof value).charAt(0);
    const text = String(value);
    room(text.length * 3);
    end += utf8.encodeInto(text, scratch.subarray(end)).written;
  }
  scratch[from] = tag.charCodeAt(0);
  new DataView(scratch.buffer).setUint32(from + 1, end - from - 5);
}

function room(bytes: number): void {
  if (end + bytes <= scratch.length) return;
  const wider = new Uint8Array(2 * (end + bytes));
  wider.set(scratch.subarray(0, end));
  scratch = wider;
}

/** Field names are few and come again with every plan. */
const names = new Map<string, Uint8Array>();
const MOST_NAMES = 1_024;

function encoded(name: string): Uint8Array {
  const known = names.get(name);
  if (known) return known;
  const bytes = utf8.encode(name);
  if (names.size >= MOST_NAMES) names.clear();
  names.set(name, bytes);
  return bytes;
}

/** As the encoded keys compare: their length comes before their bytes. */
function byEncoding([a]: [string, Value], [b]: [string, Value]): number {
  const [left, right] = [encoded(a), encoded(b)];
  let differs = left.length - right.length;
  for (let at = 0; differs === 0 && at < left.length; at++)
    differs = (left[at] ?? 0) - (right[at] ?? 0);
  return differs;
}

/** What an approval is bound to, as hex. */
export function planHash(plan: Plan): string {
  const value: Value = { ...plan };
  return hex(sha256(concatBytes(utf8ToBytes("kith-approval-v1"), canonical(value))));
}
