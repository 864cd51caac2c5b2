/** Modules that an owner wrote: what fits becomes a driver, what does not is told by its file and field. */
import { join } from "node:path";
import { loadOwn } from "@kith/node-agent/drivers/own";
import { describe, expect, test } from "vitest";
import { folder, lend } from "./support.ts";

const MODULE = `export default {
  name: "x.echo", summary: "Say it again.", effect: "read",
  args: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
  out: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
  run: ({ text }) => ({ text }),
};`;

async function load(source: string) {
  await using home = await folder();
  await home.file("mine.mjs", source);
  return await loadOwn(join(home.path, "mine.mjs"));
}

test("a module becomes a driver", async () => {
  const driver = await load(MODULE);
  expect(driver.capability).toMatchObject({
    name: "x.echo",
    effect: "read",
    tier: 2,
    summary: "Say it again.",
  });
  expect(await driver.probe()).toEqual({ state: "ready" });
  expect(await driver.run({ text: "a" }, lend())).toEqual({ text: "a" });
});

test("what is left out is strict: once, no arguments, no result", async () => {
  const driver = await load('export default { name: "x.go", summary: "Go.", run() {} };');
  expect(driver.capability).toMatchObject({ effect: "once", tier: 3 });
  expect(await driver.run({}, lend())).toEqual({});
});

describe("what does not fit names the file and the place", () => {
  test.for<[string, string, RegExp]>([
    ["no module", "export default {", /mine\.mjs: /],
    ["one that throws", 'throw new Error("no lamp");', /no lamp/],
    ["no default export", "export const a = 1;", /its default export/],
    ["a name of the catalogue", MODULE.replace("x.echo", "camera.snap"), /camera\.snap/],
    ["no work", MODULE.replace("run:", "ran:"), /ran|run/],
    ["a field that is none", MODULE.replace("effect:", "tier: 0, effect:"), /tier/],
    [
      "a schema with a pattern",
      MODULE.replace('{ type: "string" }', '{ type: "string", pattern: "a" }'),
      /schema\.text: the word pattern/,
    ],
    ["another effect", MODULE.replace('"read"', '"maybe"'), /effect/],
  ])("%s", async ([, source, words]) => {
    await expect(load(source)).rejects.toMatchObject({
      code: "config-invalid",
      message: expect.stringMatching(words) as string,
    });
    await expect(load(source)).rejects.toThrow(/mine\.mjs/);
  });

  test("one that is not there", async () => {
    await expect(loadOwn("/none/mine.mjs")).rejects.toMatchObject({ code: "config-invalid" });
  });
});
