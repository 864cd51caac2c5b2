/**
 * Streams: bytes of a call, under credit, resumable, checked by hash.
 *
 *   sender ── stream.open ──────► receiver
 *   sender ◄──── stream.credit ── receiver   (the first one says where to start)
 *   sender ── chunks ───────────► receiver   (never beyond the credit)
 *   sender ── stream.end ───────► receiver   (size and SHA-256 of the whole content)
 *   sender ◄────── stream.done ── receiver   (the bytes are durable)
 *
 * The same `stream` on a new link resumes where the first credit says. Live streams have no hash, no
 * `stream.done` and no resume: protocol/terminal.ts.
 * In full: docs/protocol.md, "Streams".
 */
import * as v from "valibot";
import { bin, id26, int, mediaType, name, u53 } from "./words.ts";

const ch = int(1, 2 ** 32 - 1);

export const streamOpen = v.strictObject({
  t: v.literal("stream.open"),
  stream: id26,
  /** Odd from the node, even from the gateway, never reused on a link. */
  ch,
  call: id26,
  role: name(32),
  type: mediaType,
  /** All of it, where that is known; of a live one what there was so far. */
  size: v.optional(u53),
  live: v.boolean(),
});

export const streamCredit = v.strictObject({
  t: v.literal("stream.credit"),
  ch,
  /** Absolute offset the sender may reach; a lower one is ignored, so repeats are harmless. */
  upto: u53,
  /** Only in the first credit of a channel: where to start. */
  from: v.optional(u53),
});

export const streamEnd = v.strictObject({
  t: v.literal("stream.end"),
  ch,
  size: u53,
  /** Absent where the stream is live: nobody has all of it. */
  sha256: v.optional(bin(32)),
});

export const streamDone = v.strictObject({ t: v.literal("stream.done"), ch, size: u53 });

export type StreamOpen = v.InferOutput<typeof streamOpen>;
