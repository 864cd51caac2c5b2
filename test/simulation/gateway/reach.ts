/** Stands for node-agent/src/reach.ts (see hooks.ts): a simulated device dials into the simulated network. */
import type { Reach } from "@kith/node-agent/reach";
import type { Secured } from "@kith/node-agent/secure";
import type { Wire } from "@kith/node-agent/socket";

type Dial = (publicKey: Uint8Array) => Promise<{ wire: Wire; secured: Secured }>;

/** How each device dials now, by its key. */
export const dialers = new Map<Uint8Array, Dial>();

export function reach(_addresses: readonly string[], { own }: Reach): ReturnType<Dial> {
  const dial = dialers.get(own.publicKey);
  if (!dial) throw new Error("a device that is not simulated");
  return dial(own.publicKey);
}
