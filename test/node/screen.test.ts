/** The tick screen on a terminal that is lower than the list is long. */
import { draw, type ScreenState } from "@kith/node-agent/screen";
import { expect, test } from "vitest";

const caps = Array.from({ length: 14 }, (_, at) => ({
  name: `cap.n${at}`,
  summary: "Do it.",
  reason: `reason ${at}`,
}));
const at = (row: number): ScreenState => ({ caps, choice: {}, row });

test("shows every reason where there is room", () => {
  expect(draw(at(0), 120, 31)).toHaveLength(1 + 28 + 1);
  expect(draw(at(0), 120)).toHaveLength(30);
});

test("shows only the reason of its own line where there is less", () => {
  const lines = draw(at(3), 120, 24);
  expect(lines).toHaveLength(1 + 14 + 1 + 1);
  expect(lines.filter((line) => line.includes("cannot work now"))).toEqual([
    expect.stringContaining("reason 3") as string,
  ]);
});

test("never needs more lines than there are, and its own line is always among them", () => {
  for (const hint of [undefined, "a hint"])
    for (let rows = 8; rows < 34; rows++)
      for (let row = 0; row < caps.length; row++) {
        const lines = draw({ ...at(row), ...(hint !== undefined && { hint }) }, 120, rows);
        expect(lines.length).toBeLessThan(rows);
        const own = lines.findIndex((line) => line.startsWith(`› cap.n${row} `));
        expect(own).toBeGreaterThan(0);
        expect(lines[own + 1]).toContain(`reason ${row}`);
      }
});
