import { current, remade } from "@kith/node-agent/current";
import { expect, test } from "vitest";

test("a map of the settings is always as they are now", () => {
  let settings: Record<string, string> = { docs: "/a" };
  const roots = current(
    remade(
      () => settings,
      (now) => new Map(Object.entries(now)),
    ),
  );
  expect([roots.size, roots.get("docs"), [...roots]]).toEqual([1, "/a", [["docs", "/a"]]]);
  settings = { docs: "/b", music: "/c" };
  expect([roots.size, roots.get("docs"), [...roots.keys()]]).toEqual([2, "/b", ["docs", "music"]]);
});

test("what is made of them is made anew only when they changed", () => {
  let names = ["one"];
  let made = 0;
  const sources = current(
    remade(
      () => names,
      (now) => (made++, now.map((name) => ({ name }))),
    ),
  );
  const first = sources[0];
  expect([sources.map(({ name }) => name), sources.some(({ name }) => name === "one")]).toEqual([
    ["one"],
    true,
  ]);
  expect([sources[0] === first, made]).toEqual([true, 1]);
  names = ["two", "three"];
  expect([sources.length, made]).toEqual([2, 2]);
});
