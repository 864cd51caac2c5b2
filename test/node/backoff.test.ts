import type { Rng } from "@kith/shared/clock";
import { Backoff, type Ending } from "@kith/node-agent/backoff";
import { describe, expect, test } from "vitest";
import { FakeClock } from "./world.ts";

function start(float = 0.999_999) {
  const clock = new FakeClock();
  const rng: Rng = { float: () => float, bytes: (n) => new Uint8Array(n) };
  return { clock, backoff: new Backoff(clock, rng) };
}
const lost: Ending = { how: "lost", why: "" };

test("waits between nothing and twice as long as before, at most thirty seconds", () => {
  const { backoff } = start();
  const waits = Array.from({ length: 10 }, () => backoff.next(lost).waitMs);
  expect(waits).toEqual([249, 499, 999, 1_999, 3_999, 7_999, 15_999, 29_999, 29_999, 29_999]);
  const lucky = start(0).backoff;
  expect(Array.from({ length: 10 }, () => lucky.next(lost).waitMs)).toEqual(Array(10).fill(0));
});

test("waits at most five seconds for a gateway that it was never paired with", () => {
  const { backoff } = start();
  const waits = Array.from(
    { length: 8 },
    () => backoff.next({ how: "unreachable", why: "", unpaired: true }).waitMs,
  );
  expect(waits).toEqual([249, 499, 999, 1_999, 3_999, 4_999, 4_999, 4_999]);
});

test("starts from the beginning after thirty seconds of stable link, not before", () => {
  const { backoff } = start();
  for (let at = 0; at < 5; at++) backoff.next(lost);
  expect(backoff.next({ ...lost, livedMs: 29_999 }).waitMs).toBe(7_999);
  expect(backoff.next({ ...lost, livedMs: 30_000 }).waitMs).toBe(249);
});

test.each(["slept", "rollover"] as const)("comes back at once after %s", (how) => {
  expect(start().backoff.next({ how, why: "", livedMs: 5 }).waitMs).toBe(0);
});

test.each([
  ["a refused handshake", { how: "refused" }, 3_000],
  ["close 4401", { how: "lost", close: 4401 }, 3_000],
  ["close 4403 without an authenticated bye", { how: "lost", close: 4403 }, 3_000],
  ["superseded", { how: "superseded" }, 30_000],
  ["close 4409", { how: "lost", close: 4409 }, 30_000],
  ["fenced", { how: "fenced" }, 30_000],
  ["duplicate", { how: "duplicate" }, 30_000],
  ["another version", { how: "version" }, 3_600_000],
  ["close 4426", { how: "lost", close: 4426 }, 3_600_000],
  ["rate", { how: "rate" }, 10_000],
  ["close 4429", { how: "lost", close: 4429 }, 10_000],
  ["rate with a time", { how: "rate", retryMs: 4_000 }, 4_000],
  ["overload with a time", { how: "overload", retryMs: 60_000 }, 60_000],
  ["shutdown with a time", { how: "shutdown", retryMs: 1_000 }, 1_000],
] as const)("after %s waits at least so long", (_, ending, least) => {
  expect(start(0).backoff.next({ why: "", ...ending }).waitMs).toBe(least);
});

test("stops for good at an authenticated revoked, and says so", () => {
  expect(start().backoff.next({ how: "revoked", why: "", livedMs: 1 })).toMatchObject({
    stop: true,
    report: { code: "revoked" },
  });
});

describe("reports", () => {
  test("a broken rule at the third time in ten minutes, and waits five", () => {
    const { clock, backoff } = start(0);
    const broken: Ending = { how: "protocol", why: "" };
    expect(backoff.next(broken)).toEqual({ waitMs: 0 });
    expect(backoff.next(broken)).toEqual({ waitMs: 0 });
    clock.pass(10 * 60_000);
    expect(backoff.next(broken)).toEqual({ waitMs: 0 });
    expect(backoff.next(broken)).toEqual({ waitMs: 0 });
    expect(backoff.next(broken)).toMatchObject({ waitMs: 300_000, report: { code: "schema" } });
  });

  test("once, after an hour of refusals, that the gateway does not know us", () => {
    const { clock, backoff } = start(0);
    const refused: Ending = { how: "refused", why: "", close: 4401 };
    expect(backoff.next(refused).report).toBeUndefined();
    clock.pass(3_599_999);
    expect(backoff.next(refused).report).toBeUndefined();
    clock.pass(1);
    expect(backoff.next(refused).report).toMatchObject({ code: "not-accepted" });
    expect(backoff.next(refused)).toEqual({ waitMs: 3_000 });
  });

  test("nothing of refusals before a link that came up", () => {
    const { clock, backoff } = start(0);
    backoff.next({ how: "refused", why: "" });
    clock.pass(3_600_000);
    backoff.next({ ...lost, livedMs: 1 });
    expect(backoff.next({ how: "refused", why: "" }).report).toBeUndefined();
  });
});
