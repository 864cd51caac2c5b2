/** Where a device is: what its owner said, rounded as was asked. */
import { location } from "@kith/node-agent/drivers/location/place";
import { locationGet } from "@kith/shared/capabilities/location";
import * as v from "valibot";
import { expect, test } from "vitest";
import { codeOf, lend } from "./support.ts";

const home = { latitude: 48.137_154, longitude: 11.576_124, name: "Home" };

const get = async (precision: "exact" | "street" | "city", place = home, tools = lend()) =>
  v.parse(locationGet.out, await location(place).run({ precision }, tools));

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
  await expect(location(home).run({ precision: "city" }, mute)).rejects.toThrow("nobody reads");
});

test("without a place it says what to do", async () => {
  expect(await location(home).probe()).toEqual({ state: "ready" });
  expect(await location(undefined).probe()).toEqual({
    state: "unavailable",
    reason: "no place is set here; say `kith node --place LAT,LON`",
  });
  const tools = lend();
  expect(await codeOf(location(undefined).run({ precision: "city" }, tools))).toBe("not-ready");
  expect(tools.said).toEqual([]);
});
