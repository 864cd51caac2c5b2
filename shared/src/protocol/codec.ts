/**
 * Control frames to bytes and back.
 *
 * Receiving is strict in this order: length, scan of the bytes, unpack, schema. The scan is
 * needed because decoding is not validation: msgpackr builds live objects from extensions,
 * honours inline record definitions, keeps the last of two equal keys and mends bad UTF-8.
 */
import { Packr, Unpackr } from "msgpackr";
import * as v from "valibot";
import { KithError } from "../errors.ts";
import { limits } from "./limits.ts";

// `skipValues` is real but missing from msgpackr's types: without it an absent optional field
// that is spelt `undefined` would leave as an extension, which no peer accepts.
const packOptions = { useRecords: false, skipValues: [undefined] };
const packr = new Packr(packOptions);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Packs plain data. The result is the caller's: it never aliases the packer's own buffer. */
export function pack(value: unknown): Uint8Array {
  return packr.pack(value);
}

const bad = (why: string) => new KithError("schema", `malformed frame: ${why}`);

const FORBIDDEN_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Walks the bytes of one msgpack value and refuses everything outside the subset of
 * docs/protocol.md "Encoding". @throws KithError schema
 */
export function scan(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let values = 0;

  const need = (n: number): number => {
    if (at + n > bytes.length) throw bad("cut short");
    const from = at;
    at += n;
    return from;
  };
  const length = (size: 1 | 2 | 4): number => {
    const from = need(size);
    return size === 1
      ? view.getUint8(from)
      : size === 2
        ? view.getUint16(from)
        : view.getUint32(from);
  };
  const text = (n: number): string => {
    const from = need(n);
    // Most strings are short and ASCII; the decoder is only asked about the others.
    let plain = n <= limits.keyBytes;
    let out = "";
    for (let i = from; plain && i < from + n; i++) {
      const code = bytes[i] ?? 0;
      if (code > 0x7e || code < 0x20) plain = false;
      else out += String.fromCharCode(code);
    }
    if (plain) return out;
    try {
      return utf8.decode(bytes.subarray(from, from + n));
    } catch {
      throw bad("invalid UTF-8");
    }
  };
  const map = (n: number, depth: number): void => {
    if (n > limits.msgpackValues) throw bad("too many values");
    const keys = new Set<string>();
    for (let i = 0; i < n; i++) {
      const head = view.getUint8(need(1));
      const size = head >= 0xa0 && head <= 0xbf ? head - 0xa0 : head === 0xd9 ? length(1) : -1;
      if (size < 0) throw bad("a key that is no short string");
      if (size > limits.keyBytes) throw bad("a key too long");
      const key = text(size);
      if (FORBIDDEN_KEYS.has(key)) throw bad("a forbidden key");
      if (keys.has(key)) throw bad("a key twice");
      keys.add(key);
      value(depth + 1);
    }
  };
  const array = (n: number, depth: number): void => {
    if (n > limits.msgpackValues) throw bad("too many values");
    for (let i = 0; i < n; i++) value(depth + 1);
  };
  function value(depth: number): void {
    if (depth > limits.msgpackDepth) throw bad("too deep");
    if (++values > limits.msgpackValues) throw bad("too many values");
    const head = view.getUint8(need(1));
    if (head <= 0x7f || head >= 0xe0) return;
    if (head <= 0x8f) return map(head - 0x80, depth);
    if (head <= 0x9f) return array(head - 0x90, depth);
    if (head <= 0xbf) return void text(head - 0xa0);
    switch (head) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xc4:
        return void need(length(1));
      case 0xc5:
        return void need(length(2));
      case 0xc6:
        return void need(length(4));
      case 0xcb: {
        if (!Number.isFinite(view.getFloat64(need(8)))) throw bad("a number that is not finite");
        return;
      }
      case 0xcc:
      case 0xd0:
        return void need(1);
      case 0xcd:
      case 0xd1:
        return void need(2);
      case 0xce:
      case 0xd2:
        return void need(4);
      case 0xcf: {
        if (view.getBigUint64(need(8)) > BigInt(Number.MAX_SAFE_INTEGER))
          throw bad("an integer too large");
        return;
      }
      case 0xd3: {
        const big = view.getBigInt64(need(8));
        const most = BigInt(Number.MAX_SAFE_INTEGER);
        if (big > most || big < -most) throw bad("an integer too large");
        return;
      }
      case 0xd9:
        return void text(length(1));
      case 0xda:
        return void text(length(2));
      case 0xdb:
        return void text(length(4));
      case 0xdc:
        return array(length(2), depth);
      case 0xdd:
        return array(length(4), depth);
      case 0xde:
        return map(length(2), depth);
      case 0xdf:
        return map(length(4), depth);
      default:
        // 0xc1, float32, every extension.
        throw bad("a type outside the subset");
    }
  }

  value(1);
  if (at !== bytes.length) throw bad("trailing bytes");
}

/** Reads control frames of one connection and one direction. Keep one per connection. */
export function frameReader<S extends v.GenericSchema>(
  schema: S,
): (bytes: Uint8Array) => v.InferOutput<S> {
  const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
  return (bytes) => {
    scan(bytes);
    const checked = v.safeParse(schema, unpackr.unpack(bytes), { abortEarly: true });
    if (!checked.success) {
      const where = v.getDotPath(checked.issues[0]) ?? "t";
      throw bad(`field ${where.slice(0, 60)}`);
    }
    return checked.output;
  };
}

/** Splits the plaintext of a control message into its frames. @throws KithError schema */
export function* splitControl(plaintext: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  if (plaintext.length > limits.controlBytes) throw bad("a control message too large");
  let at = 0;
  let frames = 0;
  while (at < plaintext.length) {
    if (++frames > limits.controlFrames) throw bad("too many frames in a message");
    if (at + 4 > plaintext.length) throw bad("cut short");
    const size = view.getUint32(at);
    at += 4;
    if (size === 0 || size > plaintext.length - at) throw bad("cut short");
    yield plaintext.subarray(at, at + size);
    at += size;
  }
  if (frames === 0) throw bad("an empty control message");
}

/** Joins packed frames into as few control plaintexts as the limits allow, in order. */
export function joinControl(frames: readonly Uint8Array[]): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let from = 0;
  while (from < frames.length) {
    let bytes = 0;
    let to = from;
    while (to < frames.length && to - from < limits.controlFrames) {
      const size = 4 + (frames[to]?.length ?? 0);
      if (to > from && bytes + size > limits.controlBytes) break;
      bytes += size;
      to++;
    }
    const message = new Uint8Array(bytes);
    const view = new DataView(message.buffer);
    let at = 0;
    for (const frame of frames.slice(from, to)) {
      view.setUint32(at, frame.length);
      message.set(frame, at + 4);
      at += 4 + frame.length;
    }
    messages.push(message);
    from = to;
  }
  return messages;
}
