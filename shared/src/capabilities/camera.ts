import * as v from "valibot";
import { int, list, name, str, u53 } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";
import { filmArgs, filmStreams, filmTtlMs } from "./film.ts";

const DAY_MS = 86_400_000;

/** Lists the cameras of a device without turning one on. Since protocol 1.0. */
export const cameraList = defineCapability({
  name: "camera.list",
  version: 1,
  summary: "List the cameras of the named device.",
  effect: "read",
  tier: 0,
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: 10_000,
  args: v.strictObject({}),
  out: v.strictObject({
    cameras: list(
      v.strictObject({
        id: name(64),
        label: str(64),
        facing: v.picklist(["front", "back", "external", "unknown"]),
      }),
      16,
    ),
  }),
  streams: {},
});

const which = {
  camera: v.optional(
    v.pipe(name(64), v.description("An id of camera.list, when facing is not enough.")),
  ),
  facing: v.optional(v.picklist(["front", "back", "any"]), "any"),
};

/** Takes one still picture. Since protocol 1.0. */
export const cameraSnap = defineCapability({
  name: "camera.snap",
  version: 1,
  summary: "Take one photo with a camera of the named device; returns a JPEG.",
  effect: "idempotent",
  tier: 2,
  longestGrantMs: 7 * DAY_MS,
  ttlMs: 15_000,
  args: v.strictObject({
    ...which,
    max_edge_px: v.optional(
      v.pipe(int(64, 4_096), v.description("Longest edge of the returned JPEG, in pixels.")),
      1_600,
    ),
  }),
  out: v.strictObject({
    /** On the device's clock, milliseconds since the Unix epoch. */
    taken_at_ms: u53,
    /** Which camera answered, as in camera.list; `test-pattern` says that it is one. */
    camera: name(64),
    width_px: int(1, 65_535),
    height_px: int(1, 65_535),
  }),
  /** Without EXIF location. */
  streams: { image: { types: ["image/jpeg"], maxBytes: 32 * 1_048_576 } },
});

/** Films for some seconds, without sound. Since protocol 1.0. */
export const cameraClip = defineCapability({
  name: "camera.clip",
  version: 1,
  summary:
    "Film for some seconds with a camera of the named device, without sound; returns an MP4.",
  effect: "idempotent",
  tier: 2,
  longestGrantMs: 7 * DAY_MS,
  ttlMs: filmTtlMs,
  args: v.strictObject({ ...which, ...filmArgs }),
  out: v.strictObject({
    /** When it began, on the device's clock, milliseconds since the Unix epoch. */
    taken_at_ms: u53,
    camera: name(64),
    seconds: int(1, 60),
  }),
  streams: filmStreams,
});
