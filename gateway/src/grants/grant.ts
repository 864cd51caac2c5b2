/** A grant: the owner's word that a requester may use a capability of a device, until it ends. */
import type { Capability } from "@kith/shared/capabilities/capability";
import { sha256Hex } from "@kith/shared/sha256";
import * as v from "valibot";
import { type Value, canonical } from "./plan.ts";

export type Duration = "once" | "15m" | "1h" | "today";
export const durations: readonly Duration[] = ["once", "15m", "1h", "today"];
/**
 * How a question may be answered with yes. `turn`: this call, and the same capability of the same device again
 * until the model has answered; never for what is powerful (tier 3) or keeps arguments.
 */
export type Term = Duration | "turn";
export const terms: readonly Term[] = ["once", "turn", "15m", "1h", "today"];

export interface Grant {
  readonly id: string;
  /** key16 of the device. */
  readonly device: string;
  readonly cap: string;
  /** Of a capability that the device's owner wrote: what it was when it was permitted. */
  readonly shape?: string;
  /** Arguments that it is for, where its capability keeps some. */
  readonly kept?: Kept;
  /** Who may use it: `owner` for every chat and command of the owner. */
  readonly requester: string;
  /** Uses that remain; absent: any number until it expires. */
  readonly uses?: number;
  /** A one-use grant belongs to this call and this plan only. */
  readonly call?: string;
  readonly planHash?: string;
  /** Unix ms. */
  readonly since: number;
  readonly notAfter?: number;
  /** Revocation epoch of the device when it was given: a higher one voids it. */
  readonly revocation: number;
  /** Who said yes, such as `console:owner`. */
  readonly by: string;
  /** Once it ended it stays ended, whatever the clock says later. */
  readonly state: "live" | "used" | "expired" | "revoked";
}

export type Kept = Readonly<Record<string, Value>>;

/**
 * What a standing permission for this call would keep of its arguments; undefined: nothing. Also of arguments that
 * nobody has checked yet: what does not fit its schema is kept as null, which no permission has.
 */
export function keptOf(
  { kept, args: schema }: Pick<Capability, "kept" | "args">,
  args: Readonly<Record<string, unknown>>,
): Kept | undefined {
  if (!kept) return undefined;
  const { entries } = schema as unknown as { readonly entries: Record<string, v.GenericSchema> };
  return Object.fromEntries(
    kept.map((key) => {
      const parsed = v.safeParse(entries[key] as v.GenericSchema, args[key]);
      return [key, parsed.success ? ((parsed.output ?? "") as Value) : null];
    }),
  );
}

export const isSameKept = (one: Kept, other: Kept): boolean =>
  sha256Hex(canonical(one)) === sha256Hex(canonical(other));

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/**
 * When a grant of this duration ends, in Unix ms; undefined for one use. `today` ends at
 * midnight of the gateway's time zone. Never longer than the capability allows.
 */
export function expiry(
  duration: Duration,
  now: number,
  capability: Pick<Capability, "longestGrantMs">,
): number | undefined {
  if (duration === "once") return undefined;
  const wish =
    duration === "15m"
      ? now + 15 * MINUTE_MS
      : duration === "1h"
        ? now + 60 * MINUTE_MS
        : midnight(now);
  return Math.min(wish, now + capability.longestGrantMs);
}

function midnight(now: number): number {
  const day = new Date(now);
  day.setHours(24, 0, 0, 0);
  // A time zone whose midnight jumps still ends within a day and an hour.
  return Math.min(Math.max(day.getTime(), now + MINUTE_MS), now + DAY_MS + 60 * MINUTE_MS);
}
