import * as v from "valibot";
import { int, lines, str } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

const DAY_MS = 86_400_000;

/** Bytes of UTF-8 that are read at most. */
export const CLIPBOARD_BYTES = 65_536;

/** Reads the text that was copied last. Since protocol 1.0. */
export const clipboardRead = defineCapability({
  name: "clipboard.read",
  version: 1,
  summary: "Read the text on the clipboard of the named device.",
  effect: "read",
  tier: 2,
  longestGrantMs: 7 * DAY_MS,
  ttlMs: 10_000,
  args: v.strictObject({}),
  out: v.strictObject({
    /** Of the text; 0 when there is none, as with a picture. */
    size: int(0, CLIPBOARD_BYTES),
    /** Its beginning, on one line. */
    preview: str(400),
  }),
  /** Whole and as it was copied; it may be empty. */
  streams: { text: { types: ["text/plain"], maxBytes: CLIPBOARD_BYTES } },
});

/** Puts a text on the clipboard, in place of what was there. Since protocol 1.0. */
export const clipboardWrite = defineCapability({
  name: "clipboard.write",
  version: 1,
  summary: "Put a text on the clipboard of the named device, ready to be pasted there.",
  effect: "idempotent",
  tier: 1,
  longestGrantMs: 30 * DAY_MS,
  ttlMs: 10_000,
  args: v.strictObject({
    // The arguments of a call have 32 KiB in all.
    text: v.pipe(
      lines(32_000),
      v.minLength(1),
      v.description("The text; nothing invisible but line breaks and tabs."),
    ),
  }),
  out: v.strictObject({ size: int(1, 32_000) }),
  streams: {},
});
