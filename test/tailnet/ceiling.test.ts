import { ceilingAfter, ceilingOf, permits } from "@kith/shared/tailnet/ceiling";
import { describe, expect, test } from "vitest";

describe("a ceiling", () => {
  test("is there only where a grant names it", () => {
    expect(ceilingOf(undefined)).toBeUndefined();
    expect(ceilingOf([])).toEqual([]);
  });

  test("adds up over all grants that fit", () => {
    expect(ceilingOf([{ may: ["screen", "camera.snap"] }, { may: ["camera.snap"] }])).toEqual([
      "camera.snap",
      "screen",
    ]);
  });

  test.each([
    ["a grant that says more than we understand", [{ may: ["*"], unless: "night" }]],
    ["no grant", ["*"]],
    ["no list", { may: ["*"] }],
    ["words that are no capability", [{ may: ["camera.*", "CAMERA", ""] }]],
    ["more words than anybody has", [{ may: Array<string>(65).fill("*") }]],
    ["more grants than anybody has", Array.from({ length: 65 }, () => ({ may: ["*"] }))],
  ])("%s permits nothing", (_, values) => {
    expect(ceilingOf(values)).toEqual([]);
  });

  test("one grant that is not understood takes nothing from the others", () => {
    expect(ceilingOf([{ may: ["camera"] }, { might: ["shell"] }])).toEqual(["camera"]);
  });

  test.each([
    [["*"], "shell.run", true],
    [["camera"], "camera.snap", true],
    [["camera"], "cameras.snap", false],
    [["camera.snap"], "camera.snap", true],
    [["camera.snap"], "camera.clip", false],
    [["x.lamp"], "x.lamp.set", true],
    [["x.lamp.set"], "x.lamp.set", true],
    [["x.lamp.set"], "x.lamp.get", false],
    [[], "device.info", false],
  ])("%j and %s: %s", (may, cap, expected) => {
    expect(permits(may, cap)).toBe(expected);
  });
});

describe("a ceiling that was seen", () => {
  const before = { node: "nA", may: ["camera"] };

  test("is widened and narrowed by what the policy says of the same machine", () => {
    expect(ceilingAfter(before, { node: "nA", may: ["*"] })).toEqual(["*"]);
    expect(ceilingAfter(before, { node: "nA", may: [] })).toEqual([]);
    expect(ceilingAfter({ node: "nA", may: [] }, { node: "nA", may: ["screen"] })).toEqual([
      "screen",
    ]);
  });

  test("permits nothing after silence, and with another machine in its place, whatever that may", () => {
    expect(ceilingAfter(before, { node: "nA" })).toEqual([]);
    expect(ceilingAfter(before, { node: "nB" })).toEqual([]);
    expect(ceilingAfter(before, { node: "nB", may: ["*"] })).toEqual([]);
  });

  test("was none where the policy never spoke: then any machine's word counts", () => {
    expect(ceilingAfter(undefined, { node: "nA" })).toBeUndefined();
    expect(ceilingAfter({ node: "nA" }, { node: "nB", may: ["camera"] })).toEqual(["camera"]);
  });
});
