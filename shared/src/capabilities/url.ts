import * as v from "valibot";
import { name } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

/** Characters of an address, as given and as it is opened. */
const MOST_CHARS = 2_048;

/**
 * An address of the web in its one normal form; undefined for all else: another scheme, a name or
 * a password in it, longer than 2,048 characters.
 */
export function webAddress(text: string): string | undefined {
  if (text.length > MOST_CHARS) return undefined;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === "") return undefined;
  if (url.username !== "" || url.password !== "" || url.href.length > MOST_CHARS) return undefined;
  return url.href;
}

/** Opens a page in the browser of whoever sits at the device. Since protocol 1.0. */
export const urlOpen = defineCapability({
  name: "url.open",
  version: 1,
  summary: "Open a web page in the browser of the named device, for the person there to see.",
  effect: "once",
  tier: 2,
  longestGrantMs: 7 * 86_400_000,
  ttlMs: 10_000,
  args: v.strictObject({
    url: v.pipe(
      name(MOST_CHARS),
      v.check((text) => webAddress(text) !== undefined, "a whole http or https address"),
      v.description("A whole http or https address, without a user name or password in it."),
    ),
  }),
  out: v.strictObject({
    /** The normal form that was opened. */
    url: name(MOST_CHARS),
  }),
  streams: {},
});
