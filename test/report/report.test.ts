import { describe, expect, test } from "vitest";
import { figure, median, quantile } from "./report.ts";

describe("a figure", () => {
  test("is judged by its ratio where there is one, else by its value", () => {
    const goal = { op: ">=", value: 0.4 } as const;
    expect(figure("a", 50, { unit: "calls/s", baseline: 100, goal })).toMatchObject({
      ratio: 0.5,
      ok: true,
    });
    expect(figure("a", 30, { unit: "calls/s", baseline: 100, goal }).ok).toBe(false);
    expect(figure("a", 13, { unit: "ms", goal: { op: "<=", value: 12 } })).toMatchObject({
      ratio: null,
      ok: false,
    });
    expect(figure("a", 0, { unit: "lost", goal: { op: "==", value: 0 } }).ok).toBe(true);
  });

  test("without a goal is neither right nor wrong, and one that is no number is wrong", () => {
    expect(figure("a", 1, { unit: "ms" })).toEqual({
      name: "a",
      value: 1,
      unit: "ms",
      baseline: null,
      ratio: null,
      goal: null,
      ok: null,
    });
    expect(figure("a", Number.NaN, { unit: "ms", goal: { op: "<=", value: 1 } }).ok).toBe(false);
  });
});

test("quantiles are values that were measured", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(quantile([1, 2, 3, 4], 0.99)).toBe(4);
  expect(quantile([1, 2, 3, 4], 0)).toBe(1);
});
