/** The place of a device, from what its owner types to node.json and back. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readArguments } from "@kith/node-agent/arguments";
import { Home } from "@kith/node-agent/config";
import { expect, test } from "vitest";
import { codeOf, folder } from "../drivers/support.ts";

test.each([
  [["--place", "48.137154,11.576124"], { latitude: 48.137_154, longitude: 11.576_124 }],
  [
    ["--place", " 48 , 11 , Home, second floor "],
    { latitude: 48, longitude: 11, name: "Home, second floor" },
  ],
  [["--place", "-33.8652,151.2099"], { latitude: -33.865_2, longitude: 151.209_9 }],
  [["--place=-90,-180"], { latitude: -90, longitude: -180 }],
  [["--place", "off"], "off"],
])("%j is a place", (argv, place) => {
  expect(readArguments(argv).place).toEqual(place);
});

test.each([
  ...["48", "48;11", "91,0", "-90.1,0", "0,180.5", "48,11,", "north,11", "1e1,2", "", "+1,2"],
  ...["0x10,2", "48,11,\u001b[2J", `48,11,${"x".repeat(65)}`, "1.12345678901234567890,2"],
])("%j is none", (typed) => {
  expect(() => readArguments(["--place", typed])).toThrow(
    expect.objectContaining({ code: "usage" }),
  );
});

test("is kept, replaced and forgotten; a file with another one is refused", async () => {
  await using dir = await folder();
  const path = join(dir.path, "home");
  const open = () => Home.open(path, { name: "laptop", kind: "laptop" });
  const home = await open();
  expect(home.settings.place).toBeUndefined();
  await home.save({ place: { latitude: 48, longitude: 11, name: "Home" } });
  expect((await open()).settings.place).toEqual({ latitude: 48, longitude: 11, name: "Home" });
  const file = join(path, "node.json");
  const text = await readFile(file, "utf8");
  await home.save({ place: undefined });
  expect((await open()).settings.place).toBeUndefined();
  await writeFile(file, text.replace("48", "480"));
  expect(await codeOf(open())).toBe("config-invalid");
});
