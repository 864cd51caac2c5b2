import {
  type ApprovalEvent,
  PATIENCE_MS,
  approvalMachine,
} from "@kith/gateway/grants/approval.machine";
import { describe, expect, test, vi } from "vitest";
import { drive } from "../support/drive.ts";

/** A question that the owner has just been asked. */
function start(more: { session?: `session/${string}` } = {}) {
  const approval = drive(approvalMachine, {
    ...{
      type: "approval.requested",
      call: "CALL",
      device: "key",
      name: "laptop",
      cap: "files.read",
    },
    ...{ args: { path: "a.txt" }, planHash: "ab", ...more },
  });
  expect(approval.state()).toBe("asking");
  return approval;
}

const yes = { type: "owner.approved", for: "15m", by: "console:owner" } as const;
const no = { type: "owner.denied", by: "console:owner" } as const;
const call = "invocation/CALL";

test("it asks in the chat that the request came from, with all that a yes would permit", () => {
  expect(start({ session: "session/S" }).owed()).toEqual([
    {
      kind: "audit",
      what: "approval.asked",
      data: { call: "CALL", device: "key", cap: "files.read", plan: "ab" },
    },
    {
      kind: "tell",
      to: "session/S",
      event: {
        type: "approval.asked",
        call: "CALL",
        device: "key",
        name: "laptop",
        cap: "files.read",
        args: { path: "a.txt" },
      },
    },
  ]);
  expect(start().owed()[1]).toMatchObject({
    kind: "tell",
    to: call,
    event: { type: "approval.asked" },
  });
});

describe("every answer", () => {
  test("yes goes to the call with plan, duration and speaker, and ends it", () => {
    const approval = start();
    approval.owed();
    approval.send(yes);
    expect(approval.owed()).toEqual([
      {
        kind: "audit",
        what: "approval.approved",
        data: {
          call: "CALL",
          device: "key",
          cap: "files.read",
          plan: "ab",
          by: "console:owner",
          for: "15m",
        },
      },
      {
        kind: "tell",
        to: call,
        event: {
          type: "approval.approved",
          call: "CALL",
          planHash: "ab",
          for: "15m",
          by: "console:owner",
        },
      },
      { kind: "reply", value: { taken: true } },
    ]);
    expect([approval.ended(), approval.timers()]).toEqual([true, {}]);
  });

  test("no is a refusal in which nothing happened", () => {
    const approval = start();
    approval.owed();
    approval.send(no);
    expect(approval.owed()).toMatchObject([
      { what: "approval.denied", data: { by: "console:owner" } },
      {
        to: call,
        event: { type: "approval.refused", failure: { code: "denied-owner", effect: "none" } },
      },
      { kind: "reply" },
    ]);
    expect(approval.ended()).toBe(true);
  });

  test("fifteen minutes of silence are a no, and not a millisecond less", () => {
    const approval = start();
    approval.owed();
    approval.pass(15 * 60_000 - 1);
    expect(approval.ended()).toBe(false);
    approval.pass(1);
    expect(PATIENCE_MS).toBe(900_000);
    expect(approval.owed()).toMatchObject([
      { what: "approval.expired" },
      { to: call, event: { type: "approval.refused", failure: { code: "owner-silent" } } },
    ]);
    expect(approval.ended()).toBe(true);
  });

  test("the end of its call withdraws it without a word to anybody", () => {
    const approval = start();
    approval.owed();
    approval.send({ type: "call.ended" });
    expect(approval.owed()).toMatchObject([{ kind: "audit", what: "approval.withdrawn" }]);
    expect(approval.ended()).toBe(true);
  });
});

test.for([yes, no, { type: "call.ended" }] as const)(
  "after %j a second answer changes nothing",
  (first) => {
    for (const second of [yes, no, { type: "call.ended" }, { type: "timer.patience" }] as const) {
      const approval = start();
      approval.send(first);
      // XState warns of an event to an ended actor; that nothing comes of it is the point.
      vi.spyOn(console, "warn").mockReturnValue();
      const state = approval.state();
      approval.owed();
      approval.send(second);
      approval.pass(PATIENCE_MS);
      expect([approval.state(), approval.owed()]).toEqual([state, []]);
    }
  },
);

test("the request again asks nothing again", () => {
  const approval = start();
  approval.owed();
  approval.send({
    type: "approval.requested",
    call: "CALL",
    device: "key",
    name: "laptop",
    cap: "files.read",
    planHash: "other",
  });
  expect([approval.owed(), approval.context().planHash]).toEqual([[], "ab"]);
});

test("it handles exactly the events of its type", () => {
  /** False: taken without a word, which XState does not list. */
  const all: Record<ApprovalEvent["type"], boolean> = {
    ...{ "approval.requested": false, "owner.approved": true, "owner.denied": true },
    ...{ "call.ended": true, "timer.patience": true },
  };
  expect([...approvalMachine.events].toSorted()).toEqual(
    Object.keys(all)
      .filter((type) => all[type as keyof typeof all])
      .toSorted(),
  );
});
