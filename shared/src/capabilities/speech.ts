import * as v from "valibot";
import { int, lines } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

/** Says a text aloud. Since protocol 1.0. */
export const speechSay = defineCapability({
  name: "speech.say",
  version: 1,
  summary: "Say a text aloud on the named device.",
  effect: "once",
  tier: 1,
  longestGrantMs: Number.POSITIVE_INFINITY,
  // A thousand characters at half the speed.
  ttlMs: 180_000,
  args: v.strictObject({
    text: v.pipe(
      lines(4_000),
      v.minLength(1),
      v.maxLength(1_000),
      v.description("What to say, in words; at most 1,000 characters."),
    ),
    language: v.optional(
      v.pipe(
        v.string(),
        v.maxLength(24),
        v.regex(/^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}$/, "a language tag"),
        v.description("Language of the text as a tag: `en`, `de`, `pt-BR`."),
      ),
      "en",
    ),
    rate_percent: v.optional(
      v.pipe(int(50, 200), v.description("Speed; 100 is that of the voice.")),
      100,
    ),
  }),
  out: v.strictObject({}),
  streams: {},
});
