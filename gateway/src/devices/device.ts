/** A paired device as everybody else sees it: one row, owned by the device's actor. */
import type { Capability } from "@kith/shared/capabilities/capability";
import { catalogue } from "@kith/shared/capabilities/index";
import { isOwn, ownCapability } from "@kith/shared/capabilities/own";
import type { KeyId } from "@kith/shared/ids";
import { type CeilingMode, permits } from "@kith/shared/tailnet/ceiling";
import type { Documents } from "../runtime/documents.ts";
import type { Offered } from "@kith/shared/protocol/session";
import type { kinds } from "@kith/shared/protocol/session";

export type DeviceKind = (typeof kinds)[number];

export interface DeviceRow {
  readonly id: KeyId;
  readonly name: string;
  readonly kind: DeviceKind;
  readonly os: string;
  readonly arch: string;
  readonly agent: string;
  /** Static public key, hex. */
  readonly key: string;
  readonly state: "paired" | "held" | "revoked";
  /** Capabilities agreed at pairing: nothing beyond them is ever invoked. */
  readonly ceiling: readonly string[];
  readonly pairedAt: number;
  /** Unix ms of the last link, for people. */
  readonly seenAt: number;
  /** Link epoch: numbers the device's connections. */
  readonly epoch: number;
  /** Revocation epoch: numbers its rights. */
  readonly revocation: number;
  /** Id of its ledger file; another one proves nothing about earlier calls. */
  readonly ledger?: string;
  /** Who it was when it last came by the tailnet, and by which link. */
  readonly tailnet?: TailnetFacts & { readonly epoch: number };
}

/** What the tailnet said about the machine behind a link. A fact for people and a ceiling, never identity. */
export interface TailnetFacts {
  /** Its stable id there. */
  readonly node: string;
  /** Its address there: by it the tailnet is asked again, whichever way the device comes. */
  readonly ip: string;
  readonly name: string;
  readonly login: string;
  readonly tags: readonly string[];
  /** What the policy lets this gateway ask of it; undefined where the policy says nothing. */
  readonly may?: readonly string[];
}

/**
 * What the tailnet's policy permits of a device, undefined for no ceiling. A ceiling that was seen holds also
 * when the device comes another way, until the tailnet says otherwise. `auto`: once the policy speaks of one
 * device, another that came by the tailnet and is not spoken of may nothing.
 */
export function ceilingBy(
  mode: CeilingMode,
  device: DeviceRow,
  all: readonly DeviceRow[],
): readonly string[] | undefined {
  if (mode === "off") return undefined;
  const { tailnet } = device;
  if (tailnet?.may) return tailnet.may;
  if (mode === "strict") return [];
  // Nothing is looked through for a device that the tailnet says nothing of.
  const used = (one: DeviceRow) => one.state !== "revoked" && one.tailnet?.may !== undefined;
  return tailnet && all.some(used) ? [] : undefined;
}

/** Whether a ceiling stands in the way of that. */
export const beyond = (ceiling: readonly string[] | undefined, cap: string): boolean =>
  ceiling !== undefined && !permits(ceiling, cap);

/** What a device offers now; replaced as a whole. Kept beside the row: it is large and changes often. */
export interface OfferedSet {
  readonly hash: Uint8Array;
  readonly caps: readonly Offered[];
  /** Somebody locked it there. */
  readonly locked?: boolean;
}

const byName = new WeakMap<OfferedSet, ReadonlyMap<string, Offered>>();

/** One capability as the device offers it now. */
export function offer(
  documents: Pick<Documents, "get">,
  device: string,
  cap: string,
): Offered | undefined {
  const set = documents.get<OfferedSet>("device", `caps/${device}`);
  if (!set) return undefined;
  let caps = byName.get(set);
  if (!caps) byName.set(set, (caps = new Map(set.caps.map((one) => [one.cap, one]))));
  return caps.get(cap);
}

/**
 * What a capability of this device is: by the catalogue, or by the device's own word. Undefined: nobody
 * knows, or its word does not hold.
 */
export function capabilityOf(
  documents: Pick<Documents, "get">,
  device: string | undefined,
  cap: string,
): Capability | undefined {
  const known = catalogue.get(cap);
  if (known || device === undefined || !isOwn(cap)) return known;
  const offered = offer(documents, device, cap);
  if (!offered) return undefined;
  try {
    return ownCapability(offered);
  } catch {
    return undefined; // as if it were not offered; `kith devices` shows why
  }
}

const rowsOf = new WeakMap<readonly unknown[], readonly DeviceRow[]>();

/** The devices, without what they offer, which lies beside them in the same table. The same list until one changes. */
export function deviceRows(documents: Pick<Documents, "list">): readonly DeviceRow[] {
  const all = documents.list<DeviceRow>("device");
  let rows = rowsOf.get(all);
  if (!rows) rowsOf.set(all, (rows = all.filter((row) => "key" in row)));
  return rows;
}
