/**
 * What the runtime needs of a disk. `store/` implements it on SQLite with a writer thread and
 * an anchor file; a simulation implements it in memory and breaks it on purpose.
 */
import type { EffectClass } from "@kith/shared/protocol/call";
import type { ActorId, Envelope, Event, Table } from "./effect.ts";

/** How a step ended; all but the first two are shown to whoever waits. */
export type StepEnd = "done" | "failed" | "unknown" | "expired" | "cancelled";

/** A row of the outbox: an effect on the outside whose intent is on disk. */
export interface Step {
  readonly id: string;
  readonly actor: ActorId;
  readonly op: string;
  readonly class: EffectClass;
  readonly args: unknown;
  readonly order?: string;
  /** Unix ms; not begun by then: `expired`. */
  readonly expiresAt: number;
}

export interface Timer {
  readonly actor: ActorId;
  readonly name: string;
  /** Unix ms. */
  readonly due: number;
  /** Seq of the turn that set it: a fire that raced with a newer setting is dropped. */
  readonly generation: number;
  readonly event: Event;
}

export interface Saved {
  readonly kind: string;
  readonly seq: number;
  readonly status: "live" | "final";
  /** Header and packed snapshot, see snapshot.ts. */
  readonly snapshot: Uint8Array;
}

/** One turn of an actor as the journal keeps it. */
export interface Entry {
  readonly seq: number;
  readonly at: number;
  readonly event: Event;
  /** Where the machine stood after it, as XState says it; absent in what was written before there was any. */
  readonly state?: unknown;
  /** What the turn asked for, such as `step model` or `tell device/5k2…`. */
  readonly owed?: readonly string[];
}

/** A message that nobody could handle. */
export interface DeadLetter {
  /** Counts up; what `kith dead retry` takes. */
  readonly n: number;
  readonly env: Envelope;
  readonly error: string;
  readonly at: number;
}

/** One change of the database. A commit is a list of them, applied in order, all or nothing. */
export type Write =
  | ({ readonly k: "actor"; readonly id: ActorId } & Saved)
  /** What happened, for `kith why`; never replayed. */
  | ({ readonly k: "journal"; readonly actor: ActorId } & Entry)
  /** A durable message waits; ignored when (to, msg) is in `inbox` or `seen`. */
  | { readonly k: "accept"; readonly env: Envelope; readonly at: number }
  /** Its turn is done: the inbox row goes, the dedupe tombstone comes. */
  | { readonly k: "taken"; readonly to: ActorId; readonly msg: string; readonly at: number }
  | { readonly k: "step"; readonly step: Step; readonly at: number }
  | { readonly k: "stepEnd"; readonly id: string; readonly state: StepEnd; readonly at: number }
  | { readonly k: "timer"; readonly timer: Timer }
  | { readonly k: "untimer"; readonly actor: ActorId; readonly name: string }
  /** The writer adds sequence, previous hash and hash. */
  | {
      readonly k: "audit";
      readonly at: number;
      readonly what: string;
      readonly data: Readonly<Record<string, unknown>>;
    }
  | {
      readonly k: "put";
      readonly table: Table;
      readonly id: string;
      readonly open: boolean;
      readonly at: number;
      readonly body: unknown;
    }
  /** A message that nobody could handle, kept for the owner. */
  | { readonly k: "dead"; readonly env: Envelope; readonly error: string; readonly at: number }
  /** The owner has decided about it. */
  | { readonly k: "undead"; readonly n: number }
  /** A delivery that crashed its actor: counted here so that a restart does not forget. */
  | {
      readonly k: "attempt";
      readonly to: ActorId;
      readonly msg: string;
      readonly attempts: number;
    };

export interface AuditRow {
  readonly seq: number;
  readonly at: number;
  readonly what: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Hex. */
  readonly prev: string;
  readonly hash: string;
}

export interface Opened {
  /** The actor on whose message the last process hung; the try is counted already. */
  readonly stalled?: ActorId;
  /** Numbers the process that may write; raised by every open. */
  readonly epoch: number;
  /** False after a crash. */
  readonly clean: boolean;
  /** The newest time of any commit, Unix ms; 0 for a new home. A clock far behind it was set back. */
  readonly lastWallMs: number;
}

/** Something that was said or done in a chat: a step of `model` or `say`, or a row of a conversation (`item`). */
export interface Spoken {
  /** Grows with each step; 0 for a row of a conversation. */
  readonly n: number;
  readonly actor: ActorId;
  /** Unix ms. */
  readonly at: number;
  readonly op: "model" | "say" | "item";
  /** Where the row itself says it. */
  readonly chat?: string;
  readonly args: unknown;
}

/** Reads are synchronous, on a read-only connection of their own: a wake does not wait for the writer. */
export interface Store {
  /**
   * Takes the lock, checks the anchor, migrates, raises the epoch.
   * @throws KithError home-locked (names the holder), store-damaged, store-newer
   */
  open(): Promise<Opened>;
  /**
   * One transaction, then the anchor; resolves when both are on disk. One commit at a time.
   * @throws KithError disk-full: rolled back for certain, the caller may try again later;
   *   store-fenced: another process took over, stop at once;
   *   anything else: the outcome is not known, end the process and recover from disk.
   */
  commit(writes: readonly Write[]): Promise<void>;
  load(id: ActorId): Saved | undefined;
  /** Ids of the actors of a kind that are not final, ordered by id. */
  actors(kind: string): ActorId[];
  /** Whether this message was taken before, or waits in the inbox. */
  seen(to: ActorId, msg: string): boolean;
  /** Every waiting message with its failed deliveries so far, oldest first. */
  inbox(): { env: Envelope; attempts: number }[];
  /** Every step that has no end now, oldest first; those that come later are not among them. Read as it is asked for. */
  steps(): Iterable<Step>;
  /** Every `order` among them. */
  openOrders(): ReadonlySet<string>;
  timers(): Timer[];
  /** Documents that are open, ordered by id. */
  openDocuments(table: Table): { id: string; body: unknown }[];
  document(table: Table, id: string): unknown;
  /** Newest first, `limit` at most. */
  documents(table: Table, limit: number): { id: string; at: number; body: unknown }[];
  /** Documents named `OWNER/…` in the order of their names, from this one on: the last `limit` of them. */
  series(
    table: Table,
    owner: ActorId,
    limit: number,
    from?: string,
  ): { id: string; body: unknown }[];
  /** What was said from then until before then (Unix ms), oldest first; of steps only those behind number `after`. */
  spoken(from: number, until: number, after: number): Spoken[];
  /** The number of the newest step. */
  lastStep(): number;
  audit(options: { after?: number; limit: number; about?: string }): AuditRow[];
  /** Newest first, `limit` at most. */
  journal(actor: ActorId, limit: number): Entry[];
  /** Newest first, `limit` at most. */
  dead(limit: number): DeadLetter[];
  /** Recomputes the whole chain and compares its head with the anchor. */
  verifyAudit(): { ok: boolean; rows: number; head: string; problem?: string };
  /**
   * Releases the lock. `clean` (the default): the stop was in order, so a step without an end has
   * not begun; else the next start takes this process for a crashed one.
   */
  close(how?: { readonly clean: boolean }): Promise<void>;
}
