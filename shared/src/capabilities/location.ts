import * as v from "valibot";
import { int, name } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

/** Tells where a device is, as exactly as was asked. Since protocol 1.0. */
export const locationGet = defineCapability({
  name: "location.get",
  version: 1,
  summary: "Tell where the named device is.",
  effect: "read",
  tier: 2,
  longestGrantMs: 7 * 86_400_000,
  ttlMs: 20_000,
  args: v.strictObject({
    precision: v.optional(
      v.pipe(
        v.picklist(["exact", "street", "city"]),
        v.description("No more than is needed: `city` is within 8 km, `street` within 80 m."),
      ),
      "city",
    ),
  }),
  out: v.strictObject({
    /** Degrees north and east of zero, in millionths: whole numbers, so that rounding shows. */
    latitude_microdeg: int(-90_000_000, 90_000_000),
    longitude_microdeg: int(-180_000_000, 180_000_000),
    /** How far off rounding alone may have put it. What the source itself is worth comes on top. */
    rounded_m: int(0, 100_000),
    precision: v.picklist(["exact", "street", "city"]),
    /** `set-by-owner`: nothing was measured, the device's owner said it once. */
    source: v.picklist(["set-by-owner", "geoclue", "corelocation"]),
    /** What the source thinks that it may be off by, in metres; of what was measured. */
    accuracy_m: v.optional(int(0, 20_000_000)),
    /** What the owner calls the place; only with `exact`. */
    name: v.optional(name(64)),
  }),
  streams: {},
});
