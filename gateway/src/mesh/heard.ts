/** What a paired node may say, what ends its link at once, and how links end. */
import { type ToGateway, toGateway } from "@kith/shared/protocol/frames";
import type { ByeCode } from "@kith/shared/protocol/session";
import * as v from "valibot";

/** Known words that a node must not say on a paired link; they close it instead of counting as unknown. */
const FORBIDDEN = [
  "invoke",
  "pair.begin",
  "pair.nonce",
  "pair.reveal",
  "pair.approved",
  "pair.confirm",
  "pair.accepted",
  "pair.refused",
] as const;
export const heard = v.variant("t", [toGateway, v.looseObject({ t: v.picklist(FORBIDDEN) })]);
export type Heard = v.InferOutput<typeof heard>;

const forbidden: ReadonlySet<string> = new Set(FORBIDDEN);

export const isAllowed = (frame: Heard): frame is ToGateway => !forbidden.has(frame.t);

/** How each goodbye closes the socket: docs/protocol.md, "Error codes and close codes". */
export const closeCodes: Readonly<Record<ByeCode, number>> = {
  done: 1000,
  slept: 1000,
  shutdown: 1000,
  rollover: 1000,
  protocol: 4400,
  revoked: 4403,
  superseded: 4409,
  duplicate: 4409,
  fenced: 4409,
  version: 4426,
  rate: 4429,
  "slow-peer": 4429,
  overload: 4503,
  starting: 4503,
};
