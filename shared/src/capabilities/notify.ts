import * as v from "valibot";
import { lines, name } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

/** Shows a notification, marked as from the assistant. Since protocol 1.0. */
export const notifyShow = defineCapability({
  name: "notify.show",
  version: 1,
  summary: "Show a notification on the named device.",
  effect: "idempotent",
  tier: 1,
  tainted: "allowed",
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: 10_000,
  args: v.strictObject({
    title: v.pipe(name(200), v.description("A few words.")),
    body: v.optional(v.pipe(lines(1_000), v.description("A sentence or two.")), ""),
    urgency: v.optional(
      v.pipe(
        v.picklist(["low", "normal", "critical"]),
        v.description("A critical one may stay until somebody closes it."),
      ),
      "normal",
    ),
  }),
  out: v.strictObject({}),
  streams: {},
});
