/** Killed while a file is replaced: the old one or the new one is there, whole, and nothing beside it. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { start } from "./start.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const OLD = `${"- an old line\n".repeat(10_000)}- the last`;

test.for<[string, "old" | "new"]>([
  ["file.write", "old"],
  ["file.sync", "old"],
  ["file.rename", "old"],
  ["file.done", "new"],
])("at %s it is the %s one", async ([point, which]) => {
  const world = start();
  world.hand("people.md", OLD);
  const hook = path("../support/crash-at.ts");
  const args = ["--import", hook, path("writer.child.ts"), world.home];
  const env = { ...process.env, KITH_CRASH_AT: `${point}:1` };
  const { signal, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
  expect([signal, stderr]).toEqual(["SIGKILL", ""]);
  const text = world.read("people.md");
  expect(text.startsWith(OLD)).toBe(true);
  expect(text === OLD).toBe(which === "old");
  const { found } = await world.memory.search("new");
  expect(found.map(({ mark }) => mark?.trusted)).toEqual(which === "new" ? [true] : []);
  expect(readdirSync(join(world.home, "memory"))).toEqual(["people.md"]);
});
