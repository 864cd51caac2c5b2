/** A call that may wait for a device that is away: how long, on whose word, and how it ends. */
import { MOST_DELIVER_MS } from "@kith/gateway/invocations/make";
import { describe, expect, test } from "vitest";
import { Desk } from "./desk.ts";

const HOUR_MS = 3_600_000;
const session = "session/S" as const;

/** A photo that waits for the laptop, which is away. */
function waiting(change: object = {}): Desk {
  const desk = new Desk();
  desk.links.clear();
  desk.request("C", { deliverMs: HOUR_MS, allow: "once", session, ...change });
  return desk;
}
const back = (desk: Desk) => {
  desk.links.set("laptop", 2);
  desk.tell("*", { type: "link.ready", device: "laptop", epoch: 2, ledger: "LEDGER" });
};

test("it waits, says so, and leaves once when the device is back, with all of its own time", () => {
  const desk = waiting();
  expect([desk.state("C"), desk.call("C").deadlineAt]).toEqual(["ready", desk.now + HOUR_MS]);
  expect(desk.tells()).toMatchObject([
    { to: session, event: { type: "call.waits", name: "laptop", until: desk.now + HOUR_MS } },
  ]);
  desk.now += HOUR_MS - 1;
  back(desk);
  expect([desk.state("C"), desk.steps()]).toEqual(["sent", ["invoke C"]]);
  expect(desk.call("C").deadlineAt).toBeGreaterThan(desk.now + desk.call("C").ttlMs);
  back(desk);
  expect(desk.steps()).toEqual(["ledger-query C"]);
});

test.for([
  ["careful", "a line written since then", [{ word: "deny", what: "camera.*", chat: "office" }]],
  ["locked", "a preset chosen since then", []],
] as const)("%s: it does not leave past %s", ([preset, , rules]) => {
  const desk = waiting({ chat: "office", model: true });
  desk.boundaries = { preset, rules };
  desk.restart();
  back(desk);
  const denied = preset === "careful";
  expect(desk.steps()).toEqual(denied ? [] : ["invoke C"]);
  expect(desk.state("C")).toBe(denied ? "denied revoked none" : "sent");
});

test("a line of another chat or assistant does not hold it", () => {
  const desk = waiting({ chat: "office", agent: "work" });
  const what = "camera.snap";
  const word = "deny";
  desk.boundaries = {
    preset: "careful",
    rules: [
      { word, what, chat: "home" },
      { word, what, agent: "main" },
    ],
  };
  desk.restart();
  back(desk);
  expect(desk.state("C")).toBe("sent");
});

test("it outlives a restart", () => {
  const desk = waiting();
  desk.restart();
  back(desk);
  expect(desk.steps()).toEqual(["invoke C"]);
});

test("a device that does not come back in time: nothing was done", () => {
  const desk = waiting();
  desk.now += HOUR_MS;
  desk.tell("C", { type: "deadline.passed" });
  expect(desk.state("C")).toBe("expired device-away none");
  back(desk);
  expect(desk.steps()).toEqual([]);
});

test("a gateway that slept past the wait sends nothing when the device is back before the alarm", () => {
  const late = waiting();
  late.now += HOUR_MS;
  back(late);
  expect([late.state("C"), late.steps()]).toEqual(["expired device-away none", []]);
  // The permission was for less, and the clock was set back afterwards.
  const ended = waiting({ allow: "15m" });
  ended.now += 900_000;
  ended.request("D", { device: "nobody" });
  ended.now -= 600_000;
  back(ended);
  expect([ended.state("C"), ended.steps()]).toEqual(["expired device-away none", []]);
});

test("so many wait for one device, and for one requester, and no more", () => {
  const desk = new Desk();
  desk.links.clear();
  for (let n = 0; n < 32; n++)
    desk.request(`C${n}`, { deliverMs: HOUR_MS, allow: "once", session });
  expect(desk.request("D", { deliverMs: HOUR_MS, allow: "once", session })).toMatchObject({
    state: "denied",
    failure: { code: "too-many", effect: "none" },
  });
  // What ends makes room.
  desk.tell("C0", { type: "owner.cancelled", by: "console:owner" });
  expect(desk.request("E", { deliverMs: HOUR_MS, allow: "once", session }).state).toBe("ready");
  back(desk);
  expect(desk.state("C1")).toBe("sent");
});

test("a device that is there does not wait, and nobody is told so", () => {
  const desk = new Desk();
  desk.request("C", { deliverMs: HOUR_MS, allow: "once", session });
  expect([desk.state("C"), desk.tells()]).toEqual(["sent", []]);
});

test("a wait is bounded", () => {
  const longest = waiting({ deliverMs: Number.POSITIVE_INFINITY });
  expect(longest.call("C").deadlineAt).toBe(longest.now + MOST_DELIVER_MS);
  const none = waiting({ deliverMs: -1 });
  expect(none.call("C").deadlineAt).toBe(none.now + none.call("C").ttlMs);
});

describe("the owner's word", () => {
  test("names the wait, which is part of the plan; the wait begins with the yes", () => {
    const desk = waiting({ allow: undefined });
    expect(desk.tells()).toMatchObject([{ to: "approval/C", event: { deliverMs: HOUR_MS } }]);
    const other = waiting({ allow: undefined, deliverMs: 2 * HOUR_MS });
    expect(other.call("C").planHash).not.toBe(desk.call("C").planHash);
    desk.now += 600_000;
    desk.allow("C");
    expect([desk.state("C"), desk.call("C").deadlineAt]).toEqual(["ready", desk.now + HOUR_MS]);
    expect(desk.tells()).toMatchObject([{ event: { type: "call.waits" } }]);
  });

  test("for 15 minutes is no word for an hour: the wait ends with it", () => {
    const desk = waiting({ allow: "15m" });
    expect(desk.call("C").deadlineAt).toBe(desk.now + 900_000);
    // Another call that rests on what is left of it.
    desk.now += 600_000;
    desk.request("D", { deliverMs: HOUR_MS, session });
    expect(desk.call("D").deadlineAt).toBe(desk.now + 300_000);
    const asked = waiting({ allow: undefined });
    asked.allow("C", "15m");
    expect(asked.call("C").deadlineAt).toBe(asked.now + 900_000);
  });

  test("taken back before it left ends it, and only then", () => {
    const desk = waiting();
    desk.tell("C", { type: "owner.cancelled", by: "console:owner" });
    expect(desk.effects).toContainEqual({ kind: "reply", value: { cancelled: true } });
    expect([desk.state("C"), desk.audit()[0]]).toEqual(["denied cancelled none", "call.withdrawn"]);
    back(desk);
    expect(desk.steps()).toEqual([]);
    const sent = new Desk();
    sent.sent("C");
    sent.tell("C", { type: "owner.cancelled", by: "console:owner" });
    expect(sent.effects).toEqual([{ kind: "reply", value: { cancelled: false } }]);
    expect(sent.state("C")).toBe("sent");
  });

  test("ends with the permission that it rests on, with the device's rights, and by the lock", () => {
    const revoked = waiting();
    revoked.tell("*", { type: "grant.revoked", grant: revoked.call("C").grant ?? "", by: "o" });
    const gone = waiting();
    gone.device("laptop", { state: "revoked" });
    gone.tell("*", { type: "device.revoked", device: "laptop" });
    const locked = waiting();
    locked.tell("*", { type: "lock.set", locked: true, by: "o" });
    for (const desk of [gone, locked]) {
      back(desk);
      expect([desk.call("C").state, desk.steps()]).toEqual(["denied", []]);
    }
  });
});
