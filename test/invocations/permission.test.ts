/** The owner's yes to what the gateway itself would do: a call of no device. */
import { describe, expect, test } from "vitest";
import { Desk } from "./desk.ts";

const session = "session/S" as const;
const request = { cap: "send_message", args: { to: "anna" }, own: "send “hello” to anna", session };

function asking(change: object = {}): Desk {
  const desk = new Desk();
  desk.request("C", { ...request, ...change });
  return desk;
}
const yes = (desk: Desk, change: object = {}) =>
  desk.tell("C", {
    ...{ type: "approval.approved", for: "1h", by: "console:owner" },
    ...{ planHash: desk.call("C").planHash, ...change },
  });
const outcome = (desk: Desk) =>
  desk.tells().find(({ event }) => "outcome" in event)?.event as unknown as
    | { outcome: { state: string; out?: unknown; failure?: { code: string } } }
    | undefined;

test("it is asked about in words, and with the yes it has ended: its result is what was permitted", () => {
  const desk = asking();
  expect(desk.tells()).toMatchObject([
    {
      to: "approval/C",
      event: { name: "the gateway", args: { what: "send “hello” to anna", args: '{"to":"anna"}' } },
    },
  ]);
  yes(desk);
  expect(outcome(desk)?.outcome).toMatchObject({ state: "done", out: { args: { to: "anna" } } });
  expect(desk.steps()).toEqual([]);
});

test("it is for this once: nothing stands of it, and a second yes changes nothing", () => {
  const desk = asking();
  yes(desk);
  expect(desk.documents.list("grant")).toEqual([]);
  const after = desk.tell("C", { type: "approval.approved", planHash: "x", for: "once", by: "" });
  expect(after).toEqual([]);
  desk.request("D", request);
  expect(desk.state("D")).toBe("asked");
});

describe("it does not happen", () => {
  test("with a yes to another plan", () => {
    const desk = asking();
    yes(desk, { planHash: "of another" });
    expect(outcome(desk)?.outcome).toMatchObject({ state: "denied", failure: { code: "revoked" } });
  });

  test("while everything is off", () => {
    const desk = new Desk();
    desk.put("setting", "lock", { locked: true });
    desk.request("C", request);
    expect(outcome(desk)?.outcome).toMatchObject({ state: "denied", failure: { code: "locked" } });
  });

  test("once everything was turned off while it was asked about", () => {
    const desk = asking();
    desk.tell("*", { type: "lock.set", locked: true, by: "console:owner" });
    expect(outcome(desk)?.outcome).toMatchObject({ state: "denied" });
  });

  test("when the owner stops it", () => {
    const desk = asking();
    desk.tell("C", { type: "owner.stopped", by: "console:owner" });
    expect(outcome(desk)?.outcome).toMatchObject({ failure: { code: "cancelled" } });
  });
});

describe("what is stopped", () => {
  test("is cancelled at its device when it has begun, and its end is told once", () => {
    const desk = new Desk();
    desk.sent("C", { allow: "once", session });
    desk.tell("C", { type: "owner.stopped", by: "console:owner" });
    expect(desk.steps()).toEqual(["cancel-revoked C"]);
    expect(desk.state("C")).toBe("cancelled cancelled unknown");
    expect(desk.tell("C", { type: "owner.stopped", by: "console:owner" })).toEqual([]);
  });
});
