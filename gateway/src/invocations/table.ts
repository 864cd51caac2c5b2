/**
 * What happens to a call, one line per state and event. Anything not listed is a defect and
 * fails loudly; after the end, events are only counted.
 *
 *   asked ─► ready ─► sent ─► done | failed | cancelled | unknown
 *     └───────┴─► denied | expired
 */
import type { Failure } from "@kith/shared/errors";
import type { LedgerState } from "@kith/shared/protocol/call";
import type { Call, CallState } from "./call.ts";
import type { StoredStream } from "./content.ts";

/** What a transition owes besides the new row. */
export type Step = "invoke" | "cancel" | "cancel-revoked" | "ledger-query" | "again";

export type CallEvent =
  | { readonly type: "approval.approved"; readonly grant: string; readonly deadlineAt: number }
  | { readonly type: "approval.refused"; readonly failure: Failure }
  /** Of no device: the owner's yes was all that was wanted. */
  | { readonly type: "permitted"; readonly out: Readonly<Record<string, unknown>> }
  | {
      readonly type: "slot.free";
      readonly n: number;
      readonly epoch: number;
      readonly ledger: string;
      readonly at: number;
    }
  | {
      readonly type: "node.answered";
      readonly out: Readonly<Record<string, unknown>>;
      readonly streams: readonly StoredStream[];
    }
  | { readonly type: "node.failed"; readonly failure: Failure }
  | { readonly type: "link.ready"; readonly epoch: number; readonly ledger: string }
  | {
      readonly type: "ledger.read";
      readonly found: LedgerState;
      readonly proves: boolean;
      readonly grantHolds: boolean;
      readonly epoch: number;
      readonly timeLeft: boolean;
    }
  | { readonly type: "rights.revoked"; readonly failure: Failure }
  /** `away`: the device is not connected; else the call waited for its turn there. */
  | { readonly type: "deadline.passed"; readonly away?: boolean }
  | { readonly type: "grace.passed" };

export type Move = readonly [state: CallState, change: Partial<Call>, ...steps: Step[]];
type Rule<T extends CallEvent["type"]> = (
  call: Call,
  event: Extract<CallEvent, { type: T }>,
) => Move;
type Row = { readonly [T in CallEvent["type"]]?: Rule<T> };

const failure = (code: Failure["code"], message: string, effect: Failure["effect"]): Failure => ({
  code,
  message,
  effect,
});

/** Started and gone: `once` may have happened, so it is unknown and shown; others simply failed. */
const lost = (call: Call, code: Failure["code"], message: string): Move =>
  call.class === "once"
    ? ["unknown", { failure: failure("unknown", message, "unknown") }]
    : ["failed", { failure: failure(code, message, call.class === "read" ? "none" : "unknown") }];

const answered: Rule<"node.answered"> = (_, { out, streams }) => ["done", { out, streams }];
/** Its rights ended while nobody knew: that it ran is evidence and counts, what it brought is refused. */
const answeredLate: Rule<"node.answered"> = (call, event) => {
  const code = call.failure?.code;
  if (code !== "revoked" && code !== "locked") return answered(call, event);
  return [
    "failed",
    {
      failure: failure(
        code,
        "it was done, but its permission had ended: the result was refused",
        "partial",
      ),
    },
  ];
};
const failedAtNode: Rule<"node.failed"> = (_, { failure: told }) => [
  told.code === "cancelled" ? "cancelled" : "failed",
  { failure: told },
];

/** What the node's ledger says about a call whose link broke. See docs/protocol.md "Calls". */
const reconcile: Rule<"ledger.read"> = (call, { found, proves, grantHolds, epoch, timeLeft }) => {
  // The stored terminal frame follows; until then there is nothing to decide.
  if (found !== "absent" && found !== "doubt") return ["sent", { epoch }];
  if (!proves || found === "doubt") {
    if (call.class === "once")
      return lost(call, "interrupted", "the device cannot tell whether it ran");
    if (!grantHolds)
      return [
        "cancelled",
        { failure: failure("revoked", "its permission ended while the link was down", "unknown") },
      ];
    if (!timeLeft) return lost(call, "interrupted", "the device stopped in the middle");
    // A read gets a new attempt; an idempotent one may run again under its own id.
    return found === "doubt" && call.class === "idempotent"
      ? ["sent", { epoch }, "invoke"]
      : ["sent", { epoch }, "again"];
  }
  if (!grantHolds)
    return [
      "cancelled",
      { failure: failure("revoked", "its permission ended before it began", "none") },
    ];
  if (!timeLeft)
    return ["expired", { failure: failure("expired", "the device was away for too long", "none") }];
  return ["sent", { epoch }, "invoke"];
};

const table: Readonly<Partial<Record<CallState, Row>>> = {
  asked: {
    "approval.approved": (_, { grant, deadlineAt }) => [
      "ready",
      { grant, deadlineAt, rule: `grant ${grant}` },
    ],
    "approval.refused": (_, { failure: why }) => ["denied", { failure: why }],
    permitted: (_, { out }) => ["done", { out, rule: "owner-word" }],
    "link.ready": () => ["asked", {}],
    "rights.revoked": (_, { failure: why }) => ["denied", { failure: why }],
    "deadline.passed": () => [
      "expired",
      { failure: failure("owner-silent", "nobody answered in time", "none") },
    ],
  },
  ready: {
    "slot.free": (_, { n, epoch, ledger, at }) => [
      "sent",
      { n, epoch, ledger, sentAt: at },
      "invoke",
    ],
    "link.ready": () => ["ready", {}],
    "rights.revoked": (_, { failure: why }) => ["denied", { failure: why }],
    "deadline.passed": (call, { away = true }) => [
      "expired",
      {
        failure: away
          ? failure("device-away", `${call.name} is not connected`, "none")
          : failure("busy", `${call.name} was busy for too long`, "none"),
      },
    ],
  },
  sent: {
    "node.answered": answered,
    "node.failed": failedAtNode,
    "link.ready": () => ["sent", {}, "ledger-query"],
    "ledger.read": reconcile,
    "rights.revoked": (call, { failure: why }) => [
      call.class === "once" ? "unknown" : "cancelled",
      { failure: { ...why, effect: call.class === "read" ? "none" : "unknown" } },
      "cancel-revoked",
    ],
    "deadline.passed": () => ["sent", {}, "cancel"],
    "grace.passed": (call) => lost(call, "timeout", `${call.name} did not finish in time`),
  },
  unknown: {
    "node.answered": answeredLate,
    "node.failed": failedAtNode,
    "link.ready": () => ["unknown", {}, "ledger-query"],
    // Absence proves that it never arrived only where ledger and numbers are the ones it was sent to.
    "ledger.read": (_, { found, proves }) =>
      found === "absent" && proves
        ? ["failed", { failure: failure("interrupted", "it never reached the device", "none") }]
        : ["unknown", {}],
    "rights.revoked": (_, { failure: why }) => [
      "unknown",
      { failure: { ...why, effect: "unknown" } },
    ],
    "deadline.passed": () => ["unknown", {}],
    "grace.passed": () => ["unknown", {}],
  },
};

/** @throws Error for an event that its state does not know: a defect, never guessed around */
export function move(call: Call, event: CallEvent): Move {
  const rule = table[call.state]?.[event.type] as Rule<CallEvent["type"]> | undefined;
  if (!rule) throw new Error(`a ${call.state} call cannot take ${event.type}`);
  return rule(call, event);
}

/** For the test that reads the table against the protocol. */
export const known = (state: CallState): readonly string[] => Object.keys(table[state] ?? {});
