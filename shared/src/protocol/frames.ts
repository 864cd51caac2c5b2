/** Which frames each side may receive, by stage of the link. Any other is an error `schema`. */
import * as v from "valibot";
import * as call from "./call.ts";
import * as pairing from "./pairing.ts";
import * as session from "./session.ts";
import * as stream from "./stream.ts";

const streams = [
  stream.streamOpen,
  stream.streamCredit,
  stream.streamEnd,
  stream.streamDone,
] as const;
const either = [session.ping, session.pong, session.bye] as const;

/** What a paired node may receive. */
export const toNode = v.variant("t", [
  session.welcome,
  session.grantsChanged,
  call.invoke,
  call.cancel,
  call.ledgerQuery,
  call.error,
  call.event,
  ...streams,
  ...either,
]);

/** What the gateway may receive from a paired node. */
export const toGateway = v.variant("t", [
  session.hello,
  session.advertise,
  call.accept,
  call.progress,
  call.result,
  call.error,
  call.ledgerAnswer,
  call.event,
  ...streams,
  ...either,
]);

/** What a node may receive while it pairs. */
export const toNodePairing = v.variant("t", [
  pairing.pairNonce,
  pairing.pairApproved,
  pairing.pairAccepted,
  pairing.pairRefused,
  ...either,
]);

/** What the gateway may receive from a stranger inside a window that its owner opened. */
export const toGatewayPairing = v.variant("t", [
  pairing.pairBegin,
  pairing.pairReveal,
  pairing.pairConfirm,
  pairing.pairRefused,
  ...either,
]);

export type ToNode = v.InferOutput<typeof toNode>;
export type ToGateway = v.InferOutput<typeof toGateway>;
export type ToNodePairing = v.InferOutput<typeof toNodePairing>;
export type ToGatewayPairing = v.InferOutput<typeof toGatewayPairing>;
export type Frame = ToNode | ToGateway | ToNodePairing | ToGatewayPairing;
