/**
 * What actors exchange and what a turn wants done: plain data, nothing has happened yet.
 *
 * A turn is one message handled by one actor. The runtime commits its new state with all
 * its effects in one transaction and only then lets any of them leave.
 */
import type { EffectClass } from "@kith/shared/protocol/call";

/** "session/01K9…", "device/5k2…". Before "/" stands the kind. */
export type ActorId = `${string}/${string}`;

/** A machine's event, plain data. The runtime adds `at` and `id`: machines have no other clock or chance. */
export interface Event {
  readonly type: string;
  /** Unix ms of the delivery. */
  readonly at?: number;
  /** A fresh id26 for whatever this turn brings into being. */
  readonly id?: string;
}

/** One message to one actor. */
export interface Envelope {
  readonly to: ActorId;
  readonly event: Event;
  /** Dedupe key: the same message delivered again has the same one. */
  readonly msg: string;
  /** `control` (cancel, step results, timers) has reserved places in a full mailbox. */
  readonly lane: "normal" | "control";
  /** True: a row in `inbox` holds it until its turn commits. False: lost at a crash, by design. */
  readonly durable: boolean;
  readonly replyTo?: string;
  /** Name of the timer that fired it: its row goes with the turn. */
  readonly timer?: string;
}

/** Documents that actors and tables keep beside snapshots. Each table has one owner module. */
export type Table =
  | "device"
  | "grant"
  | "call"
  | "setting"
  | "person"
  | "identity"
  | "chat"
  /** Reminders: schedules/schedule.machine.ts. */
  | "schedule"
  /** What was used of budgets: budgets/usage.ts. */
  | "usage"
  /** What was said between people and a model: `session/ID/NUMBER`, never open. */
  | "item";

export type Effect =
  /** To another actor: an `inbox` row in the same transaction. */
  | { readonly kind: "tell"; readonly to: ActorId; readonly event: Event }
  /** To the outside: an `outbox` row. Equal `order` means one after the other. */
  | {
      readonly kind: "step";
      readonly op: string;
      readonly class: EffectClass;
      readonly args: unknown;
      readonly order?: string;
      readonly ttlMs: number;
    }
  /** Settles the ask that carried the turn's `replyTo`, after the commit. */
  | { readonly kind: "reply"; readonly value: unknown }
  /** Durable, one per (actor, name); setting again replaces. */
  | { readonly kind: "timer"; readonly name: string; readonly inMs: number; readonly event: Event }
  | { readonly kind: "untimer"; readonly name: string }
  /** One row of the audit chain. `data` holds no message text, argument values or secrets. */
  | {
      readonly kind: "audit";
      readonly what: string;
      readonly data: Readonly<Record<string, unknown>>;
    }
  /** A whole document. `open: false`: finished, kept for reading but not loaded at boot. */
  | {
      readonly kind: "put";
      readonly table: Table;
      readonly id: string;
      readonly open: boolean;
      readonly body: unknown;
    }
  /**
   * A signal to whoever listens in this process (a link, a chat client) after the commit.
   * Volatile: whoever is not there misses it and asks again when it comes back.
   */
  | { readonly kind: "signal"; readonly topic: string; readonly data: unknown };
