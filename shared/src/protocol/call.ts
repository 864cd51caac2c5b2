/**
 * Calls: the gateway asks a paired node to run one capability.
 *
 *   gateway ── invoke ──────────────────────► node
 *   gateway ◄────────────────────── accept ── node   (its ledger row is on disk)
 *   gateway ◄── chunks, then result | error ── node   (exactly one of the two)
 *   gateway ── cancel ──────────────────────► node   (best effort)
 *   gateway ── ledger.query ──► node ── ledger.answer ──► gateway   (after a broken link)
 *
 * `call` is the gateway's and outlives the connection. The same call again is
 * answered from the ledger, and a `once` call never runs twice; with other
 * content it is refused with `conflict`. In full: docs/protocol.md, "Calls".
 */
import * as v from "valibot";
import { bin, id26, int, list, mediaType, ms, name, str, u32, u53 } from "./words.ts";

export const effectClass = v.picklist(["read", "idempotent", "once"]);
/** A promise about repeats: free, with the same id, or never. */
export type EffectClass = v.InferOutput<typeof effectClass>;

const args = v.record(v.pipe(v.string(), v.maxLength(31)), v.unknown());

export const invoke = v.strictObject({
  t: v.literal("invoke"),
  call: id26,
  /** Grows per device. At or below the floor of the node's ledger: refused with `replay`. */
  n: int(1, Number.MAX_SAFE_INTEGER),
  /** Of this link; any other is refused with `fenced`. */
  epoch: u53,
  cap: name(48),
  v: u32,
  /** Bounded by the frame here, by the capability's own schema at the node. */
  args,
  effect: effectClass,
  /** Counts from receipt: relative, so the two clocks need not agree. */
  ttl_ms: int(1, 86_400_000),
  /** Number of the node's latest ping that was answered. Too long ago: refused with `deadline`. */
  seen: u32,
  /** The decision this rests on; a one-use approval is burned with the ledger row. */
  grant: id26,
  why: v.strictObject({ origin: v.picklist(["owner", "automation", "other"]), text: str(160) }),
  max_bytes: u53,
});

export const accept = v.strictObject({
  t: v.literal("accept"),
  call: id26,
  state: v.picklist(["running", "asking"]),
  left_ms: ms,
});

export const progress = v.strictObject({
  t: v.literal("progress"),
  call: id26,
  n: u32,
  pct: v.optional(int(0, 100)),
  note: v.optional(str(160)),
});

/** One stream of a result: what it is, how big, and the hash of the whole content. */
export const streamRef = v.strictObject({
  stream: id26,
  role: name(32),
  type: mediaType,
  size: u53,
  sha256: bin(32),
});

export const result = v.strictObject({
  t: v.literal("result"),
  call: id26,
  out: args,
  streams: list(streamRef, 8),
  ran_ms: ms,
});

/** With `call`: a call ended so (from the node), terminal. With `stream` or `re`: about that. */
export const error = v.strictObject({
  t: v.literal("error"),
  call: v.optional(id26),
  stream: v.optional(id26),
  re: v.optional(u32),
  code: name(32),
  effect: v.optional(v.picklist(["none", "partial", "unknown"])),
  text: str(200),
  retry: v.optional(v.picklist(["no", "later", "after-action"])),
  after_ms: v.optional(ms),
});

export const cancel = v.strictObject({
  t: v.literal("cancel"),
  call: id26,
  why: v.picklist(["owner", "deadline", "revoked", "superseded", "shutdown"]),
});

export const ledgerQuery = v.strictObject({
  t: v.literal("ledger.query"),
  q: u32,
  calls: list(v.strictObject({ call: id26, n: u53 }), 64),
});

export const ledgerStates = [
  "absent",
  "received",
  "asking",
  "running",
  "done",
  "failed",
  "cancelled",
  "doubt",
] as const;
export type LedgerState = (typeof ledgerStates)[number];

export const ledgerAnswer = v.strictObject({
  t: v.literal("ledger.answer"),
  q: u32,
  ledger: id26,
  /** Highest pruned `n`. */
  floor: u53,
  items: list(v.strictObject({ call: id26, state: v.picklist(ledgerStates) }), 64),
});

/** At most once, newest wins: presence, battery, consent. What must not be lost is a call. */
export const event = v.strictObject({
  t: v.literal("event"),
  seq: u53,
  name: name(48),
  data: args,
});

export type Invoke = v.InferOutput<typeof invoke>;
export type Result = v.InferOutput<typeof result>;
export type StreamRef = v.InferOutput<typeof streamRef>;
export type ErrorFrame = v.InferOutput<typeof error>;
