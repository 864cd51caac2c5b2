import * as v from "valibot";
import { int, name, str, u53 } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

/**
 * Reads one file inside the roots that the device's owner named. The path is relative to a
 * root; links are not followed. Since protocol 1.0.
 */
export const filesRead = defineCapability({
  name: "files.read",
  version: 1,
  summary: "Read one file from a folder of the named device that its owner shared.",
  effect: "read",
  tier: 2,
  longestGrantMs: 7 * 86_400_000,
  ttlMs: 600_000,
  args: v.strictObject({
    root: v.optional(
      v.pipe(name(64), v.description("Name of the shared folder, when there are several.")),
    ),
    path: v.pipe(
      name(1_024),
      v.description("Path inside the shared folder, with forward slashes."),
    ),
    max_bytes: v.optional(int(1, 4 * 1_024 ** 3), 4 * 1_024 ** 3),
  }),
  out: v.strictObject({
    name: str(255),
    size: u53,
    modified_at_ms: u53,
  }),
  streams: { content: { types: "any", maxBytes: 4 * 1_024 ** 3 } },
});
