/**
 * The capability that is called: it does nothing but answer, yet it is of the strictest class
 * (`once`) and needs the owner's grant. So each call takes the whole way: decision, ledger, audit.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { type Capability, defineCapability } from "@kith/shared/capabilities/capability";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";

const text = str(64);

export const echo = defineCapability({
  name: "x.echo",
  version: 1,
  summary: "Answer with the same text.",
  effect: "once",
  tier: 1,
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: 10_000,
  args: v.strictObject({ text }),
  out: v.strictObject({ text }),
  streams: {},
});

/** In this process both ends know it; the product's own catalogue stays as it is. */
export function learnEcho(): void {
  (catalogue as Map<string, Capability>).set(echo.name, echo as unknown as Capability);
}
