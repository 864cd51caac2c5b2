/**
 * Snapshots on disk: a header that names kind and version, then XState's own persisted
 * snapshot, packed. XState's has no version of its own: a renamed state would restore into
 * an error, so the header decides before XState sees it.
 */
import { isLarger } from "@kith/shared/protocol/codec";
import { Packr } from "msgpackr";
import type { AnyActor, AnyMachineSnapshot } from "xstate";
import type { Event } from "./effect.ts";
import type { MachineKind } from "./kind.ts";

const packr = new Packr({ useRecords: false });
const FORMAT = 1;
/** Contexts hold ids, not content. Above the limit the turn fails, below it stays cheap. */
const MAX_BYTES = 65_536;

/** Longer than any message of a chat; above it, an event is told in the journal by its type alone. */
const JOURNAL_BYTES = 20_480;

/** What of an event the journal keeps: never what it calls its `secret`. */
export function forJournal(told: Event): Event {
  let event = told;
  if ("secret" in told) {
    const { secret: _, ...rest } = told;
    event = rest;
  }
  // The store packs it; packing it here as well, only to look at its size, cost more than the estimate.
  return isLarger(event, JOURNAL_BYTES) ? { type: event.type } : event;
}

/**
 * What `getPersistedSnapshot` makes of an actor without children, without its search of the whole
 * context for actors that cannot be there (XState 5.33.3, StateMachine.getPersistedSnapshot).
 */
export function persisted(root: AnyActor): unknown {
  const snapshot = root.getSnapshot() as AnyMachineSnapshot;
  if (Object.keys(snapshot.historyValue).length > 0) return root.getPersistedSnapshot();
  const { status, output, error, value, context } = snapshot;
  return { status, output, error, value, historyValue: {}, context, children: {} };
}

interface Packed {
  readonly format: number;
  readonly kind: string;
  readonly version: number;
  readonly state: unknown;
}

/** @throws RangeError when a context outgrew its bound */
export function packSnapshot(kind: MachineKind, state: unknown): Uint8Array {
  const packed: Packed = { format: FORMAT, kind: kind.name, version: kind.version, state };
  const bytes = packr.pack(packed);
  if (bytes.length > MAX_BYTES)
    throw new RangeError(`a ${kind.name} snapshot of ${bytes.length} bytes`);
  return bytes;
}

/**
 * The newest form of a stored snapshot.
 * @throws RangeError where no path leads to it, or whatever a migration threw: the actor is then
 *   stopped, kept and shown, never dropped
 */
export function unpackSnapshot(kind: MachineKind, bytes: Uint8Array): unknown {
  const packed = packr.unpack(bytes) as Packed;
  if (packed.format !== FORMAT || packed.kind !== kind.name || packed.version > kind.version) {
    throw new RangeError(
      `a ${packed.kind} snapshot of version ${packed.version}, format ${packed.format}`,
    );
  }
  let { state } = packed;
  for (let version = packed.version; version < kind.version; version++) {
    const step = kind.migrate[version];
    if (!step) throw new RangeError(`no way from version ${version} of ${kind.name}`);
    state = step(state);
  }
  return state;
}
