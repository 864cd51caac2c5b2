/**
 * Control frames to bytes and back.
 *
 * Receiving is strict in this order: length, decoding (decode.ts), schema.
 */
import { Packr } from "msgpackr";
import * as v from "valibot";
import { bad, decode } from "./decode.ts";
import { limits } from "./limits.ts";

// `skipValues` is real but missing from msgpackr's types: without it an absent optional field
// that is spelt `undefined` would leave as an extension, which no peer accepts.
const packOptions = { useRecords: false, skipValues: [undefined] };
const packr = new Packr(packOptions);

/** Packs plain data. The result is the caller's: it never aliases the packer's own buffer. */
export function pack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Whether packing it takes more than so many bytes; it is packed only where an estimate cannot tell. */
export const isLarger = (value: unknown, bytes: number): boolean =>
  mostBytes(value) > bytes && pack(value).length > bytes;

/** No less than what packing makes of it. */
function mostBytes(value: unknown): number {
  if (typeof value === "string") return 5 + value.length * 3;
  if (value instanceof Uint8Array) return 5 + value.length;
  if (typeof value !== "object" || value === null) return 9;
  let most = 5;
  for (const [key, entry] of Object.entries(value)) most += 5 + key.length * 3 + mostBytes(entry);
  return most;
}

/** Reads control frames of one stage of a link: checks each by the schema that its `t` names. */
export function frameReader<S extends v.GenericSchema>(
  schema: S,
): (bytes: Uint8Array) => v.InferOutput<S> {
  const kinds = new Map(byTag(schema));
  return (bytes) => {
    const frame = decode(bytes);
    const tag = (frame as { readonly t?: unknown } | null)?.t;
    const kind = typeof tag === "string" ? kinds.get(tag) : undefined;
    const checked = v.safeParse(kind ?? schema, frame, { abortEarly: true });
    if (!checked.success) {
      const where = v.getDotPath(checked.issues[0]) ?? "t";
      throw bad(`field ${where.slice(0, 60)}`);
    }
    return checked.output;
  };
}

/**
 * The options of a `variant` over `t`, also of nested ones, which valibot would search one by one.
 * A variant over another field is one kind of frame: its options have one `t`.
 */
function* byTag(schema: v.GenericSchema): Generator<[string, v.GenericSchema]> {
  const { type, key, options, entries } = schema as {
    type: string;
    key?: string;
    options?: readonly v.GenericSchema[];
    entries?: { t?: { literal?: unknown } };
  };
  if (type === "variant" && key === "t") for (const option of options ?? []) yield* byTag(option);
  else if (type === "variant")
    for (const [tag] of (options ?? []).flatMap((option) => [...byTag(option)]))
      yield [tag, schema];
  else if (typeof entries?.t?.literal === "string") yield [entries.t.literal, schema];
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
