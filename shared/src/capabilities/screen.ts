import * as v from "valibot";
import { int, list, name, str, u53 } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";
import { filmArgs, filmStreams, filmTtlMs } from "./film.ts";

/** Lists the screens of a device without looking at what they show. Since protocol 1.0. */
export const screenList = defineCapability({
  name: "screen.list",
  version: 1,
  summary: "List the screens of the named device.",
  effect: "read",
  tier: 0,
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: 10_000,
  args: v.strictObject({}),
  out: v.strictObject({
    screens: list(
      v.strictObject({
        id: name(64),
        label: str(64),
        /** The one with the menu or the panel, where the system tells. */
        primary: v.boolean(),
        width_px: v.optional(int(1, 65_535)),
        height_px: v.optional(int(1, 65_535)),
      }),
      16,
    ),
  }),
  streams: {},
});

const which = v.optional(
  v.pipe(name(64), v.description("An id of screen.list; left out, the primary screen.")),
);

/** Takes one picture of what a screen shows. Since protocol 1.0. */
export const screenSnap = defineCapability({
  name: "screen.snap",
  version: 1,
  summary: "Take one picture of what a screen of the named device shows; returns a JPEG or a PNG.",
  effect: "idempotent",
  tier: 2,
  longestGrantMs: 7 * 86_400_000,
  ttlMs: 15_000,
  args: v.strictObject({
    screen: which,
    max_edge_px: v.optional(
      v.pipe(int(64, 8_192), v.description("Longest edge of the returned picture, in pixels.")),
      1_920,
    ),
    format: v.optional(
      v.pipe(
        v.picklist(["jpeg", "png"]),
        v.description("PNG keeps each pixel as it was, and is larger."),
      ),
      "jpeg",
    ),
  }),
  out: v.strictObject({
    /** On the device's clock, milliseconds since the Unix epoch. */
    taken_at_ms: u53,
    /** Which screen it was, as in screen.list. */
    screen: name(64),
    width_px: int(1, 65_535),
    height_px: int(1, 65_535),
  }),
  streams: { image: { types: ["image/jpeg", "image/png"], maxBytes: 32 * 1_048_576 } },
});

/** Films what a screen shows for some seconds, without sound. Since protocol 1.0. */
export const screenRecord = defineCapability({
  name: "screen.record",
  version: 1,
  summary: "Film what a screen of the named device shows for some seconds; returns an MP4.",
  effect: "idempotent",
  tier: 2,
  longestGrantMs: 7 * 86_400_000,
  ttlMs: filmTtlMs,
  args: v.strictObject({ screen: which, ...filmArgs }),
  out: v.strictObject({
    /** When it began, on the device's clock, milliseconds since the Unix epoch. */
    taken_at_ms: u53,
    screen: name(64),
    seconds: int(1, 60),
  }),
  streams: filmStreams,
});
