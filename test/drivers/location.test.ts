/** Where a device is: what its owner said, rounded as was asked. */
import { location } from "@kith/node-agent/drivers/location/place";
import { desktop } from "@kith/node-agent/platform";
import { locationGet } from "@kith/shared/capabilities/location";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { codeOf, folder, lend } from "./support.ts";

const home = { latitude: 48.137_154, longitude: 11.576_124, name: "Home" };

const here = desktop({ PATH: "/none" }, "linux");

const get = async (precision: "exact" | "street" | "city", place = home, tools = lend()) =>
  v.parse(locationGet.out, await location(() => place, here).run({ precision }, tools));

test.each([
  ["exact", 48_137_150, 11_576_120, 1],
  ["street", 48_137_000, 11_576_000, 80],
  ["city", 48_100_000, 11_600_000, 8_000],
] as const)("as %s it is rounded", async (precision, latitude_microdeg, longitude_microdeg, m) => {
  expect(await get(precision)).toEqual({
    ...{ latitude_microdeg, longitude_microdeg, precision, rounded_m: m, source: "set-by-owner" },
    ...(precision === "exact" ? { name: "Home" } : {}),
  });
});

test("city is the default: the least that is of use", () => {
  expect(v.parse(locationGet.args, {})).toEqual({ precision: "city" });
});

/** Metres on a ball, the shorter way round. */
function metres(one: typeof home, other: { latitude: number; longitude: number }): number {
  const rad = Math.PI / 180;
  const [a, b] = [one.latitude * rad, other.latitude * rad];
  const cos =
    Math.sin(a) * Math.sin(b) +
    Math.cos(a) * Math.cos(b) * Math.cos((one.longitude - other.longitude) * rad);
  return 6_371_000 * Math.acos(Math.min(1, cos));
}

test("rounding is never farther off than the answer says, and the answer is always a place", async () => {
  for (const latitude of [-90, -89.95, -33.865_2, -0.000_004, 0, 0.049_999, 47.35, 90])
    for (const longitude of [-180, -179.95, -0.05, 0, 11.55, 151.209_9, 180])
      for (const precision of ["exact", "street", "city"] as const) {
        const out = await get(precision, { latitude, longitude, name: "x" });
        const found = {
          latitude: out.latitude_microdeg / 1e6,
          longitude: out.longitude_microdeg / 1e6,
        };
        const off = metres({ latitude, longitude, name: "" }, found);
        expect(off).toBeLessThanOrEqual(out.rounded_m);
        expect(Object.is(out.latitude_microdeg, -0)).toBe(false);
      }
});

test("it is told after a notice, and not without one", async () => {
  const tools = lend();
  await get("street", home, tools);
  expect(tools.said).toEqual(["notice: location: street"]);
  const mute = { ...lend(), notice: () => Promise.reject(new Error("nobody reads")) };
  await expect(location(() => home, here).run({ precision: "city" }, mute)).rejects.toThrow(
    "nobody reads",
  );
});

describe("without a place of its owner's", () => {
  const GEOCLUE = `Client object: /org/freedesktop/GeoClue2/Client/1

New location:
Latitude:    10.000000°
Longitude:   20.000000°
Accuracy:    5000.000000 meters

New location:
Latitude:    -33.865143°
Longitude:   151.209900°
Accuracy:    24.300000 meters
Description: Wi-Fi
`;
  const measure = async (words: string, precision: "exact" | "city" = "exact") => {
    await using at = await folder();
    await at.file("told", words);
    const program = await at.file("where-am-i", `#!/bin/sh\n/bin/cat ${at.path}/told\n`, 0o755);
    const driver = location(() => undefined, here, [program]);
    expect(await driver.probe()).toEqual({ state: "ready" });
    return v.parse(locationGet.out, await driver.run({ precision }, lend()));
  };

  test("GeoClue's last word counts, rounded like any other", async () => {
    expect(await measure(GEOCLUE)).toMatchObject({
      ...{ latitude_microdeg: -33_865_140, longitude_microdeg: 151_209_900 },
      ...{ source: "geoclue", accuracy_m: 25, rounded_m: 1 },
    });
    expect(await measure(GEOCLUE, "city")).toMatchObject({
      ...{ latitude_microdeg: -33_900_000, accuracy_m: 25, rounded_m: 8_000 },
    });
  });

  test("what says nothing of its accuracy has none", async () => {
    const told = await measure("Latitude: 1.0\nLongitude: 2.0\n");
    expect(told).not.toHaveProperty("accuracy_m");
  });

  test.each(["", "Latitude: 91\nLongitude: 0\n", "Latitude: x\nLongitude: 1\n"])(
    "%j is no place",
    async (words) => {
      expect(await codeOf(measure(words))).toBe("driver");
    },
  );

  test("CoreLocation's one line is read, and its no is told as one", async () => {
    await using at = await folder();
    const mac = desktop({ PATH: at.path }, "darwin");
    await at.file("CoreLocationCLI", "#!/bin/sh\necho 48.137154 11.576124 65.0\n", 0o755);
    const get = () => location(() => undefined, mac).run({ precision: "exact" }, lend());
    expect(await get()).toMatchObject({ source: "corelocation", accuracy_m: 65 });
    await at.file(
      "CoreLocationCLI",
      "#!/bin/sh\necho Location services denied >&2; exit 1\n",
      0o755,
    );
    expect(await codeOf(get())).toBe("os-permission");
  });

  test("and without a program that measures it says what to do", async () => {
    for (const [system, words] of [
      ["linux", "geoclue-2-demo"],
      ["darwin", "corelocationcli"],
    ] as const)
      expect(
        await location(() => undefined, desktop({ PATH: "/none" }, system), []).probe(),
      ).toEqual({
        state: "unavailable",
        reason: expect.stringContaining(words) as string,
      });
  });
});
