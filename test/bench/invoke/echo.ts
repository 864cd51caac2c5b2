/**
 * The capability that is called: it does nothing but answer, yet it is of the strictest class
 * (`once`) and needs the owner's grant. So each call takes the whole way: decision, ledger, audit.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { type Capability, defineCapability } from "@kith/shared/capabilities/capability";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";

const text = str(64);

const echo = (n: number) =>
  defineCapability({
    name: `x.echo${n}`,
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

/** Four, since a capability may run 16 times at once and 64 calls are in flight. */
export const echoes = [1, 2, 3, 4].map(echo);
export const PARALLEL = 16;

/** In this process both ends know it; the product's own catalogue stays as it is. */
export function learnEcho(): void {
  for (const one of echoes)
    (catalogue as Map<string, Capability>).set(one.name, one as unknown as Capability);
}
