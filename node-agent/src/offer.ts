/** What this device offers now: each driver's own look, under the owner's policy. */
import { createHash } from "node:crypto";
import type { Capability } from "@kith/shared/capabilities/capability";
import type { Clock } from "@kith/shared/clock";
import { pack } from "@kith/shared/protocol/codec";
import type { ToGateway } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import type { Offered } from "@kith/shared/protocol/session";
import { tame } from "@kith/shared/protocol/words";
import type { AnyDriver, Probe } from "./drivers/driver.ts";
import type { Policy } from "./policy.ts";

/** A driver that is still looking after this long is not there. */
const PROBE_MS = 4_000;
/** A frame has 64 KiB, and not only capabilities in it. */
const PART_BYTES = 60_000;

export interface Offer {
  readonly caps: readonly Offered[];
  /** SHA-256 that changes with the set. */
  readonly hash: Uint8Array<ArrayBuffer>;
  readonly locked: boolean;
}

/** What is off is not even looked at: a camera's name is nobody's business then. */
export async function makeOffer(
  drivers: readonly AnyDriver[],
  policy: Pick<Policy, "rule" | "locked" | "beyond">,
  clock: Clock,
): Promise<Offer> {
  const { locked } = policy;
  const caps = await Promise.all(
    drivers.slice(0, limits.capabilities).map(async (driver): Promise<Offered> => {
      const { capability, parallel, maxMs } = driver;
      const { own } = capability as Capability;
      const rule = policy.rule(capability.name);
      const barred = locked
        ? "locked at the device"
        : rule !== "off" && policy.beyond(capability.name)
          ? "the tailnet's policy does not let this gateway ask for it"
          : undefined;
      const now = barred || rule === "off" ? undefined : await probe(driver, clock);
      const reason = barred ?? now?.reason;
      return {
        cap: capability.name,
        v: capability.version,
        effect: capability.effect,
        ...(own && { schema: own.schema }),
        state: barred ? "denied" : (now?.state ?? "off"),
        policy: barred || rule === "off" ? "deny" : rule,
        foreground: false,
        parallel,
        max_ms: maxMs,
        max_bytes: Math.max(
          0,
          ...Object.values((capability as Capability).streams).map(({ maxBytes }) => maxBytes),
        ),
        ...(now?.os && { os: now.os }),
        ...(now?.devices && { devices: now.devices }),
        ...(reason && { reason: tame(reason, 160) }),
      };
    }),
  );
  const hash = createHash("sha256")
    .update(JSON.stringify([caps, locked]))
    .digest();
  return { caps, locked, hash: new Uint8Array(hash) };
}

/** One driver's look, bounded. Never rejects. */
export function probe(driver: AnyDriver, clock: Clock): Promise<Probe> {
  return new Promise((resolve) => {
    const cancel = clock.after(PROBE_MS, () =>
      resolve({ state: "unavailable", reason: "it does not answer" }),
    );
    const settle = (found: Probe): void => {
      cancel();
      resolve(found);
    };
    // A driver must not throw here; one that does anyway is not there.
    driver
      .probe()
      .then(settle, () => settle({ state: "unavailable", reason: "it cannot be looked at" }));
  });
}

/** The frames of one whole set, in order. */
export function advertisement({ caps, hash, locked }: Offer, rev: number): ToGateway[] {
  const parts: Offered[][] = [[]];
  let bytes = 0;
  for (const cap of caps) {
    const size = pack(cap).length;
    if (bytes + size > PART_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(cap);
    bytes += size;
  }
  return parts.map((part, at) => ({
    t: "capabilities.advertise",
    rev,
    part: at + 1,
    parts: parts.length,
    hash,
    caps: part,
    ...(locked && { locked }),
  }));
}
