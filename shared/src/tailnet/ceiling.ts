/**
 * What the policy of a Tailscale network says that a peer may be granted at most.
 *
 *   "app": { "kith.dev/cap/node": [{ "may": ["camera", "location.get"] }] }
 *
 * Several grants that fit one peer arrive as a list; they add up. A ceiling only takes away: what
 * it permits still needs everything else, and no ceiling means that nobody set one.
 */
import * as v from "valibot";
import { list, str } from "../protocol/words.ts";

/** What a gateway may ever ask of a device; read by the gateway about the device. */
export const NODE_CAP = "kith.dev/cap/node";
/** What a device may ever be asked by a gateway; read by the device about the gateway. */
export const INVOKE_CAP = "kith.dev/cap/invoke";

/** `*`, `camera.snap`, or the first parts of a name: `camera`, `x.lamp`. */
const word = v.pipe(str(64), v.regex(/^(?:\*|[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*)$/));
const grant = v.strictObject({ may: list(word, 64) });
const grants = list(v.unknown(), 64);

/** How the owner wants it read. `auto`: where the policy speaks of it; `strict`: also where it does not. */
export const modes = ["auto", "strict", "off"] as const;
export type CeilingMode = (typeof modes)[number];

/**
 * What all grants together permit; undefined where there are none. A grant that is not of that shape, or
 * says more than we understand, permits nothing.
 */
export function ceilingOf(values: unknown): readonly string[] | undefined {
  if (values === undefined) return undefined;
  const checked = v.safeParse(grants, values);
  if (!checked.success) return [];
  const words = checked.output.flatMap((one) => {
    const known = v.safeParse(grant, one);
    return known.success ? known.output.may : [];
  });
  return [...new Set(words)].toSorted();
}

/** What is remembered of a machine: its stable id in the tailnet, and what the policy permitted of it. */
export interface Seen {
  readonly node: string;
  readonly may?: readonly string[] | undefined;
}

/**
 * The ceiling after a new answer. Once there was one, only what the policy says of the same machine widens it:
 * silence, or another machine in its place, permits nothing.
 */
export function ceilingAfter(before: Seen | undefined, now: Seen): readonly string[] | undefined {
  if (!before?.may) return now.may;
  return before.node === now.node ? (now.may ?? []) : [];
}

/** `camera` permits all that begin so, as it does at pairing. */
export const permits = (may: readonly string[], cap: string): boolean =>
  may.some((one) => one === "*" || one === cap || cap.startsWith(`${one}.`));
