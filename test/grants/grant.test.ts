import { expiry } from "@kith/gateway/grants/grant";
import { latestTime } from "@kith/gateway/grants/latest";
import { expect, test } from "vitest";

const NOON = new Date(2026, 5, 15, 12).getTime();
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const free = { longestGrantMs: Number.POSITIVE_INFINITY };

test("once has no end, the others end when they say", () => {
  expect(expiry("once", NOON, free)).toBeUndefined();
  expect(expiry("15m", NOON, free)).toBe(NOON + 15 * MINUTE_MS);
  expect(expiry("1h", NOON, free)).toBe(NOON + 60 * MINUTE_MS);
  expect(expiry("today", NOON, free)).toBe(new Date(2026, 5, 16).getTime());
});

test("none is longer than the capability allows", () => {
  for (const longestGrantMs of [1, MINUTE_MS, 15 * MINUTE_MS, DAY_MS]) {
    for (const wish of ["15m", "1h", "today"] as const) {
      expect(expiry(wish, NOON, { longestGrantMs })).toBeLessThanOrEqual(NOON + longestGrantMs);
    }
  }
});

test("today ends at the coming midnight at any hour, and a minute before it still lasts a minute", () => {
  for (let hour = 0; hour < 24 * 366; hour++) {
    const now = NOON + hour * 3_600_000;
    const left = (expiry("today", now, free) ?? 0) - now;
    expect(left).toBeGreaterThanOrEqual(MINUTE_MS);
    expect(left).toBeLessThanOrEqual(25 * 3_600_000);
  }
  const late = new Date(2026, 5, 15, 23, 59, 59, 999).getTime();
  expect(expiry("today", late, free)).toBe(late + MINUTE_MS);
});

test("a clock that was set back neither revives a grant nor lets it live longer", () => {
  let mono = 5;
  const latest = latestTime({ mono: () => mono }, 1_000);
  expect(latest(900)).toBe(1_000);
  expect(latest(2_000)).toBe(2_000);
  mono += 500;
  // Two hours back: the time that passed still counts.
  expect(latest(-7_198_000)).toBe(2_500);
  mono += 500;
  expect(latest(9_000)).toBe(9_000);
});
