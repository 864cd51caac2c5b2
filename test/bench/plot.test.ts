import { expect, test } from "vitest";
import { figure } from "../report/report.ts";
import { plot } from "./plot.ts";

/** Class and width of every bar. */
const bars = (svg: string) =>
  [...svg.matchAll(/<rect class="(value|missed|beside)"[^>]* width="([\d.]+)"/g)].map(
    ([, kind, width]) => `${kind} ${Number(width)}`,
  );

test("a value and what stands beside it share a scale, and the words are text", () => {
  const svg = plot("a < b & c", [
    figure("transfer.4mib", 30, { unit: "ms", baseline: 60, goal: { op: "<=", value: 0.75 } }),
    figure("transfer.bare", 90, { unit: "ms", baseline: 30, goal: { op: "<=", value: 2 } }),
    figure("memory", 12, { unit: "MiB" }),
  ]);
  expect(bars(svg)).toEqual(["value 150", "beside 300", "missed 300", "beside 100", "value 300"]);
  expect(svg).toContain("<title>a &lt; b &amp; c</title>");
  expect(svg).toContain(">beside 60, 0.5 x, goal &lt;= 0.75</text>");
  expect(svg).toContain(">12 MiB</text>");
});

test("the goal's mark is where the value would just reach it", () => {
  const mark = (svg: string) => /<line class="goal" x1="([\d.]+)"/.exec(svg)?.[1];
  const goal = { op: "<=", value: 0.5 } as const;
  expect(mark(plot("", [figure("a", 100, { unit: "ms", baseline: 100, goal })]))).toBe("400");
  expect(mark(plot("", [figure("a", 1, { unit: "ms", baseline: 100, ratio: null, goal })]))).toBe(
    "251.5",
  );
  expect(mark(plot("", [figure("a", 0, { unit: "lost", goal: { op: "==", value: 0 } })]))).toBe(
    "250",
  );
});
