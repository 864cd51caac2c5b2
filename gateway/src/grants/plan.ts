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
  if (typeof value === "number" && !Number.isSafeInteger(value))
    throw new TypeError("not a safe integer");
  if (typeof value === "string" && !value.isWellFormed()) throw new TypeError("a lone surrogate");
  if (value === null) return field("0", new Uint8Array());
  if (value instanceof Uint8Array) return field("x", value);
  if (Array.isArray(value)) return field("l", concatBytes(...value.map(canonical)));
  if (typeof value !== "object") return field((typeof value).charAt(0), utf8ToBytes(String(value)));
  const pairs = Object.entries(value).map(
    ([key, entry]) => [canonical(key), canonical(entry)] as const,
  );
  pairs.sort(([a], [b]) => (hex(a) < hex(b) ? -1 : 1));
  return field("m", concatBytes(...pairs.flat()));
}

function field(tag: string, body: Uint8Array): Uint8Array {
  const head = new Uint8Array(5);
  head[0] = tag.charCodeAt(0);
  new DataView(head.buffer).setUint32(1, body.length);
  return concatBytes(head, body);
}

/** What an approval is bound to, as hex. */
export function planHash(plan: Plan): string {
  const value: Value = { ...plan };
  return hex(sha256(concatBytes(utf8ToBytes("kith-approval-v1"), canonical(value))));
}
