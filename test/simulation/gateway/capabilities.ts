/** What the simulated devices can do: one capability of each class, and one with content. All of them carry a mark. */
import { type Capability, defineCapability } from "@kith/shared/capabilities/capability";
import { catalogue } from "@kith/shared/capabilities/index";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";

const mark = v.strictObject({ mark: str(64) });

const make = (
  name: string,
  effect: Capability["effect"],
  tier: Capability["tier"],
  streams: Capability["streams"] = {},
) =>
  defineCapability({
    name,
    version: 1,
    summary: "Do something that can be counted.",
    effect,
    tier,
    longestGrantMs: Number.POSITIVE_INFINITY,
    ttlMs: 10_000,
    args: mark,
    out: mark,
    streams,
  });

export const capabilities = [
  make("sim.read", "read", 0),
  make("sim.set", "idempotent", 1),
  make("sim.act", "once", 1),
  make("sim.shot", "once", 1, { image: { types: ["image/png"], maxBytes: 1_048_576 } }),
];

// In this process both ends know them; the product's own catalogue stays as it is. A world imports this before
// anything that reads the catalogue when it loads.
for (const one of capabilities)
  (catalogue as Map<string, Capability>).set(one.name, one as unknown as Capability);
