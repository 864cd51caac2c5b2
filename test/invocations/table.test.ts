/** The table against docs/protocol.md "Calls" and runtime.md section 4, a finger on each. */
import { type Call, type CallState, ended } from "@kith/gateway/invocations/call";
import { type CallEvent, known, move } from "@kith/gateway/invocations/table";
import type { EffectClass } from "@kith/shared/protocol/call";
import { describe, expect, test } from "vitest";

const classes: readonly EffectClass[] = ["read", "idempotent", "once"];

const call = (
  state: CallState,
  effect: EffectClass = "idempotent",
  more: Partial<Call> = {},
): Call => ({
  ...{
    id: "CALL",
    state,
    device: "k",
    name: "laptop",
    cap: "camera.snap",
    v: 1,
    class: effect,
    args: {},
    planHash: "h",
  },
  ...{
    requester: "owner",
    by: "console:owner",
    revocation: 0,
    ttlMs: 1_000,
    createdAt: 0,
    deadlineAt: 1_000,
  },
  ...more,
});

const no = { code: "revoked", message: "no", effect: "none" } as const;
const sample: { readonly [T in CallEvent["type"]]: Extract<CallEvent, { type: T }> } = {
  "approval.approved": { type: "approval.approved", grant: "G", deadlineAt: 2_000 },
  "approval.refused": { type: "approval.refused", failure: { ...no, code: "denied-owner" } },
  permitted: { type: "permitted", out: { args: {} } },
  "slot.free": { type: "slot.free", n: 7, epoch: 3, ledger: "L", at: 50 },
  "node.answered": { type: "node.answered", out: { a: 1 }, streams: [] },
  "node.failed": { type: "node.failed", failure: { ...no, code: "driver" } },
  "link.ready": { type: "link.ready", epoch: 4, ledger: "L" },
  "ledger.read": {
    type: "ledger.read",
    found: "running",
    proves: true,
    grantHolds: true,
    epoch: 4,
    timeLeft: true,
  },
  "rights.revoked": { type: "rights.revoked", failure: no },
  "deadline.passed": { type: "deadline.passed" },
  "grace.passed": { type: "grace.passed" },
};
const all = Object.keys(sample) as CallEvent["type"][];
const states: readonly CallState[] = ["asked", "ready", "sent", "unknown", ...ended];

/** `state code effect steps…` of a move, with `-` where there is no failure. */
const told = (of: Call, event: CallEvent): string => {
  const [state, { failure }, ...steps] = move(of, event);
  return [state, failure?.code ?? "-", failure?.effect ?? "-", ...steps].join(" ");
};

describe("anything not listed is a defect and throws", () => {
  const listed: Partial<Record<CallState, readonly CallEvent["type"][]>> = {
    asked: [
      "approval.approved",
      "approval.refused",
      "permitted",
      "link.ready",
      "rights.revoked",
      "deadline.passed",
    ],
    ready: ["slot.free", "link.ready", "rights.revoked", "deadline.passed"],
    sent: [
      "node.answered",
      "node.failed",
      "link.ready",
      "ledger.read",
      "rights.revoked",
      "deadline.passed",
      "grace.passed",
    ],
    unknown: [
      "node.answered",
      "node.failed",
      "link.ready",
      "ledger.read",
      "rights.revoked",
      "deadline.passed",
      "grace.passed",
    ],
  };
  test.for(states)("%s", (state) => {
    expect([...known(state)].toSorted()).toEqual([...(listed[state] ?? [])].toSorted());
    for (const type of all.filter((one) => !listed[state]?.includes(one))) {
      expect(() => move(call(state), sample[type])).toThrow(`cannot take ${type}`);
    }
  });
});

test.for<[CallState, CallEvent["type"], string]>([
  ["asked", "approval.approved", "ready - -"],
  ["asked", "approval.refused", "denied denied-owner none"],
  ["asked", "rights.revoked", "denied revoked none"],
  ["asked", "deadline.passed", "expired owner-silent none"],
  ["asked", "link.ready", "asked - -"],
  ["ready", "slot.free", "sent - - invoke"],
  ["ready", "rights.revoked", "denied revoked none"],
  ["ready", "deadline.passed", "expired device-away none"],
  ["ready", "link.ready", "ready - -"],
  ["sent", "node.answered", "done - -"],
  ["sent", "node.failed", "failed driver none"],
  ["sent", "link.ready", "sent - - ledger-query"],
  ["sent", "deadline.passed", "sent - - cancel"],
  ["unknown", "node.answered", "done - -"],
  ["unknown", "node.failed", "failed driver none"],
  ["unknown", "link.ready", "unknown - - ledger-query"],
  ["unknown", "deadline.passed", "unknown - -"],
  ["unknown", "grace.passed", "unknown - -"],
  ["unknown", "rights.revoked", "unknown revoked unknown"],
])("%s and %s: %s", ([state, type, expected]) => {
  for (const effect of classes) expect(told(call(state, effect), sample[type])).toBe(expected);
});

test("a yes brings grant and deadline, a slot brings the numbers of the link", () => {
  expect(move(call("asked"), sample["approval.approved"])[1]).toEqual({
    grant: "G",
    deadlineAt: 2_000,
    rule: "grant G",
  });
  expect(move(call("ready"), sample["slot.free"])[1]).toEqual({
    n: 7,
    epoch: 3,
    ledger: "L",
    sentAt: 50,
  });
});

test("that was cancelled at the node ends as cancelled, one that waited behind others was not away", () => {
  expect(
    told(call("sent"), { ...sample["node.failed"], failure: { ...no, code: "cancelled" } }),
  ).toBe("cancelled cancelled none");
  expect(told(call("ready"), { type: "deadline.passed", away: false })).toBe("expired busy none");
});

describe("doubt is shown only where something may have happened", () => {
  test.for<[CallEvent["type"], EffectClass, string]>([
    ["grace.passed", "read", "failed timeout none"],
    ["grace.passed", "idempotent", "failed timeout unknown"],
    ["grace.passed", "once", "unknown unknown unknown"],
    ["rights.revoked", "read", "cancelled revoked none cancel-revoked"],
    ["rights.revoked", "idempotent", "cancelled revoked unknown cancel-revoked"],
    ["rights.revoked", "once", "unknown revoked unknown cancel-revoked"],
  ])("%s of a sent %s call: %s", ([type, effect, expected]) => {
    expect(told(call("sent", effect), sample[type])).toBe(expected);
  });

  test("what a revoked call brought is refused, that it ran is kept", () => {
    for (const code of ["revoked", "locked"] as const) {
      const [state, change] = move(
        call("unknown", "once", { failure: { ...no, code } }),
        sample["node.answered"],
      );
      expect([state, change]).toEqual([
        "failed",
        { failure: { code, message: expect.any(String), effect: "partial" } },
      ]);
    }
  });
});

/** [what the ledger says, read, idempotent, once], as docs/protocol.md has it. */
const reconciliation: [
  string,
  Partial<Extract<CallEvent, { type: "ledger.read" }>>,
  string,
  string,
  string,
][] = [
  [
    "absent, never arrived",
    { found: "absent" },
    "sent - - invoke",
    "sent - - invoke",
    "sent - - invoke",
  ],
  [
    "absent, no time left",
    { found: "absent", timeLeft: false },
    "expired expired none",
    "expired expired none",
    "expired expired none",
  ],
  [
    "absent, the grant is gone",
    { found: "absent", grantHolds: false },
    "cancelled revoked none",
    "cancelled revoked none",
    "cancelled revoked none",
  ],
  ["received", { found: "received" }, "sent - -", "sent - -", "sent - -"],
  ["asking", { found: "asking" }, "sent - -", "sent - -", "sent - -"],
  ["running", { found: "running" }, "sent - -", "sent - -", "sent - -"],
  ["done", { found: "done" }, "sent - -", "sent - -", "sent - -"],
  ["failed", { found: "failed" }, "sent - -", "sent - -", "sent - -"],
  ["cancelled", { found: "cancelled" }, "sent - -", "sent - -", "sent - -"],
  ["doubt", { found: "doubt" }, "sent - - again", "sent - - invoke", "unknown unknown unknown"],
  [
    "doubt, no time left",
    { found: "doubt", timeLeft: false },
    "failed interrupted none",
    "failed interrupted unknown",
    "unknown unknown unknown",
  ],
  [
    "another ledger",
    { found: "absent", proves: false },
    "sent - - again",
    "sent - - again",
    "unknown unknown unknown",
  ],
  [
    "another ledger, no time left",
    { found: "absent", proves: false, timeLeft: false },
    "failed interrupted none",
    "failed interrupted unknown",
    "unknown unknown unknown",
  ],
  [
    "another ledger, the grant is gone",
    { found: "absent", proves: false, grantHolds: false },
    "cancelled revoked unknown",
    "cancelled revoked unknown",
    "unknown unknown unknown",
  ],
  [
    "done, whatever else",
    { found: "done", proves: false, grantHolds: false, timeLeft: false },
    "sent - -",
    "sent - -",
    "sent - -",
  ],
];

test.for(reconciliation)("the ledger says: %s", ([, said, ...expected]) => {
  for (const [at, effect] of classes.entries()) {
    expect(`${effect}: ${told(call("sent", effect), { ...sample["ledger.read"], ...said })}`).toBe(
      `${effect}: ${expected[at]}`,
    );
  }
});

test("unknown is left by absence only where that proves something", () => {
  for (const [, said] of reconciliation) {
    const event = { ...sample["ledger.read"], ...said };
    const left = event.found === "absent" && event.proves;
    expect(told(call("unknown", "once"), event)).toBe(
      left ? "failed interrupted none" : "unknown - -",
    );
  }
});
