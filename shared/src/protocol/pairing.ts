/**
 * Pairing. By approval code, with nothing to carry to the device:
 *
 *   node ── pair.begin {commit} ──► gateway      (inside a window the owner opened)
 *   node ◄───── pair.nonce ──────── gateway      (a slot is spent, durably)
 *   node ── pair.reveal ──────────► gateway      both now know the code
 *   the owner types the code at the gateway
 *   node ◄───── pair.approved ───── gateway
 *   the person at the device types the return code
 *   node ── pair.confirm ─────────► gateway
 *   node ◄───── pair.accepted ───── gateway      then `hello`
 *
 * By ticket, which the handshake has proved already, it is short:
 *
 *   node ── pair.begin ───────────► gateway      (how: ticket)
 *   node ◄───── pair.accepted ───── gateway      then `hello`
 *
 * `pair.refused` from either side ends the attempt. In full: docs/protocol.md, "Pairing".
 */
import * as v from "valibot";
import { about } from "./session.ts";
import { bin, key16, list, ms, name } from "./words.ts";

const codeBegin = v.strictObject({
  t: v.literal("pair.begin"),
  how: v.literal("code"),
  ...about,
  caps: list(name(48), 64),
  commit: bin(32),
});
const ticketBegin = v.strictObject({
  t: v.literal("pair.begin"),
  how: v.literal("ticket"),
  ...about,
});
export const pairBegin = v.variant("how", [codeBegin, ticketBegin]);
export const pairNonce = v.strictObject({
  t: v.literal("pair.nonce"),
  nonce: bin(16),
  left_ms: ms,
});
export const pairReveal = v.strictObject({ t: v.literal("pair.reveal"), nonce: bin(16) });
export const pairApproved = v.strictObject({ t: v.literal("pair.approved") });
export const pairConfirm = v.strictObject({ t: v.literal("pair.confirm") });
export const pairAccepted = v.strictObject({
  t: v.literal("pair.accepted"),
  device: key16,
  gateway: key16,
  name: name(64),
  ceiling: list(name(48), 64),
});
export const pairRefused = v.strictObject({ t: v.literal("pair.refused"), why: name(32) });

export type PairBegin = v.InferOutput<typeof codeBegin>;
export type TicketBegin = v.InferOutput<typeof ticketBegin>;
