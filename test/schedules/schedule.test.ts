/** A reminder through time: told once for each time that counts, whatever happens to the gateway or its clock. */
import {
  type Missed,
  type Schedule,
  type ScheduleEvent,
  scheduleMachine,
} from "@kith/gateway/schedules/schedule.machine";
import { expect, describe, test } from "vitest";
import { BIRTH_AT, type Driven, drive } from "../support/drive.ts";

type Owed = ReturnType<Driven<typeof scheduleMachine>["owed"]>;
const HOUR = 3_600_000;
const schedule = (change: Partial<Schedule> = {}): Schedule => ({
  ...{ text: "tea", run: false, model: false, words: "every hour", zone: "UTC", missed: "once" },
  when: { kind: "every", ms: HOUR, since: BIRTH_AT },
  ...{ session: "session/S", chat: "console", by: "console:owner", owner: true, labels: [] },
  ...change,
});
const made = (change: Partial<Schedule> = {}) =>
  drive(
    scheduleMachine,
    { type: "schedule.made", schedule: schedule(change) } as never,
    "schedule/X",
  );
const told = (owed: Owed) =>
  owed.flatMap((effect) => (effect.kind === "tell" ? [[effect.to, effect.event]] : []));
const rows = (owed: Owed) =>
  owed.flatMap((effect) =>
    effect.kind === "put" ? [[effect.open, (effect.body as { next?: number }).next]] : [],
  );

test("it is a row, and told at its time, again and again", () => {
  const one = made();
  expect(rows(one.owed())).toEqual([[true, BIRTH_AT + HOUR]]);
  one.pass(HOUR - 1);
  expect(one.owed()).toEqual([]);
  one.pass(1);
  const owed = one.owed();
  expect(told(owed)).toEqual([
    ["session/S", { type: "message.given", text: "Reminder: tea", labels: [] }],
  ]);
  expect(rows(owed)).toEqual([[true, BIRTH_AT + 2 * HOUR]]);
  one.pass(3 * HOUR);
  expect(told(one.owed())).toHaveLength(3);
});

test("one that comes once is over then", () => {
  const one = made({ when: { kind: "at", at: BIRTH_AT + HOUR } });
  one.owed();
  one.pass(HOUR);
  expect(rows(one.owed())).toEqual([[false, undefined]]);
  expect([one.ended(), one.timers()]).toEqual([true, {}]);
});

test("cancelled, it is over, and its timer gone", () => {
  const one = made();
  one.send({ type: "schedule.cancelled", by: "console:owner" } as never);
  expect([one.ended(), one.timers()]).toEqual([true, {}]);
});

describe("what is said by itself", () => {
  const first = (change: Partial<Schedule>) => {
    const one = made({ run: true, ...change });
    one.owed();
    one.pass(HOUR);
    return told(one.owed())[0]?.[1];
  };

  test("is said as by whoever made it, for its own budget", () => {
    expect(first({})).toEqual({
      ...{ type: "chat.said", chat: "console", text: "tea", by: "console:owner", owner: true },
      job: "schedule/X",
    });
  });

  test("keeps the labels of where it was made, and a model's words are no command", () => {
    expect(first({ model: true, labels: ["untrusted"] })).toMatchObject({
      ...{ labels: ["untrusted"], direct: true },
    });
  });
});

describe("while the gateway was away, ten times went by", () => {
  const late = (missed: Missed, ms = 10 * HOUR + 5 * 60_000): number => {
    const one = made({ missed });
    one.owed();
    one.send({ type: "timer.due", at: BIRTH_AT + ms } as never);
    expect(one.timers()).toEqual({ due: expect.any(Number) });
    return told(one.owed()).length;
  };

  test("skip tells none of them, and one that is hardly late", () => {
    expect(late("skip")).toBe(0);
    expect(late("skip", 10 * HOUR + 30_000)).toBe(1);
  });
  test("once tells the last", () => expect(late("once")).toBe(1));
  test("all tells each, ten at most", () => {
    expect(late("all")).toBe(10);
    expect(late("all", 500 * HOUR)).toBe(10);
  });
});

test("a clock that was set back tells nothing twice", () => {
  const one = made();
  one.owed();
  one.pass(HOUR);
  expect(told(one.owed())).toHaveLength(1);
  one.send({ type: "timer.due", at: BIRTH_AT + 10 } as never);
  expect(told(one.owed())).toEqual([]);
  one.send({ type: "timer.due", at: BIRTH_AT + HOUR } as never);
  expect(told(one.owed())).toEqual([]);
});

test("it handles exactly the events of its type", () => {
  const all: Record<ScheduleEvent["type"], true> = {
    ...{ "schedule.made": true, "timer.due": true, "schedule.cancelled": true },
  };
  expect([...scheduleMachine.events].toSorted()).toEqual(Object.keys(all).toSorted());
});
