/**
 * The plan is what gets approved: one unambiguous encoding of everything that matters, and its
 * hash. The frame that reaches the device is built from the approved plan, never again from
 * the words of the chat.
 */
import { sha256Hex } from "@kith/shared/sha256";

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
  /** Ms that it may wait for its device; absent where it does not. */
  readonly deliver_ms?: number;
  /** It also waits until its device is unlocked. */
  readonly unlocked?: true;
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

/** Encodes in place, since every call is encoded three times; nearly all of it is short ASCII. */
let scratch = new Uint8Array(4_096);
let end = 0;
const utf8 = new TextEncoder();

function put(value: Value): void {
  if (typeof value === "string") return text("s", value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new TypeError("not a safe integer");
    return text("n", String(value));
  }
  // Also a field that is there without a value, which the type does not know.
  if (typeof value !== "object") return text((typeof value).charAt(0), String(value));
  const from = end;
  room(HEAD_BYTES);
  end += HEAD_BYTES;
  if (value === null) return head("0", from);
  if (value instanceof Uint8Array) {
    room(value.length);
    scratch.set(value, end);
    end += value.length;
    return head("x", from);
  }
  if (Array.isArray(value)) {
    for (const entry of value) put(entry);
    return head("l", from);
  }
  const map = value as Readonly<Record<string, Value>>;
  for (const key of sorted(Object.keys(map))) {
    text("s", key);
    put(map[key] as Value);
  }
  return head("m", from);
}

const HEAD_BYTES = 5;

/** The tag of what stands behind `from`, and how long that is. */
function head(tag: string, from: number): void {
  const length = end - from - HEAD_BYTES;
  scratch[from] = tag.charCodeAt(0);
  scratch[from + 1] = length >>> 24;
  scratch[from + 2] = length >>> 16;
  scratch[from + 3] = length >>> 8;
  scratch[from + 4] = length;
}

function text(tag: string, value: string): void {
  const from = end;
  room(HEAD_BYTES + value.length * 3);
  end += HEAD_BYTES;
  const into = scratch;
  let to = end;
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code > 0x7f) {
      if (!value.isWellFormed()) throw new TypeError("a lone surrogate");
      to = end + utf8.encodeInto(value, into.subarray(end)).written;
      break;
    }
    into[to++] = code;
  }
  end = to;
  head(tag, from);
}

function room(bytes: number): void {
  if (end + bytes <= scratch.length) return;
  const wider = new Uint8Array(2 * (end + bytes));
  wider.set(scratch.subarray(0, end));
  scratch = wider;
}

/** In the order of the encoded keys: their length comes before their bytes. */
function sorted(keys: string[]): string[] {
  for (let at = 1; at < keys.length; at++)
    if (byEncoding(keys[at - 1] ?? "", keys[at] ?? "") > 0) return keys.sort(byEncoding);
  return keys;
}

/** Nearly every key is ASCII, whose characters compare as its bytes do. */
function byEncoding(a: string, b: string): number {
  if (isAscii(a) && isAscii(b)) return a.length - b.length || (a < b ? -1 : Number(a > b));
  const [left, right] = [utf8.encode(a), utf8.encode(b)];
  let differs = left.length - right.length;
  for (let at = 0; differs === 0 && at < left.length; at++)
    differs = (left[at] ?? 0) - (right[at] ?? 0);
  return differs;
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

const APPROVAL = utf8.encode("kith-approval-v1");

/** What an approval is bound to, as hex. */
export function planHash({
  v,
  cap,
  args,
  call,
  device,
  gateway,
  requester,
  unlocked,
  deliver_ms,
  revocation,
}: Plan): string {
  scratch.set(APPROVAL);
  end = APPROVAL.length;
  // In the order of the encoding, so that nothing has to be sorted.
  const waits = deliver_ms === undefined ? {} : { deliver_ms };
  const lock = unlocked === undefined ? {} : { unlocked };
  put({ v, cap, args, call, device, gateway, ...lock, requester, ...waits, revocation });
  return sha256Hex(scratch.subarray(0, end));
}
