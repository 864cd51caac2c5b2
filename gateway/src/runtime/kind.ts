/** The kinds of actors: what the runtime must know to run, restart and restore each. */
import type { AnyStateMachine } from "xstate";
import type { Envelope } from "./effect.ts";

export interface Restart {
  readonly max: number;
  readonly withinMs: number;
  readonly backoffMs: readonly [first: number, cap: number];
}

/** One XState root per entity. Its context starts from `input`: `{ id, event }`, the first message. */
export interface MachineKind {
  readonly name: string;
  readonly machine: AnyStateMachine;
  /** Rises with every change of states, context shape or event meaning. */
  readonly version: number;
  /** `migrate[v]` turns a snapshot of version v into v + 1, purely. */
  readonly migrate: Readonly<Record<number, (old: unknown) => unknown>>;
  readonly mailbox: { readonly normal: number; readonly control: number };
  /** Idle for this long, it sleeps: its snapshot is on disk anyway. */
  readonly idleMs: number;
  readonly restart: Restart;
}

/**
 * Many short entities in one table of plain objects, without a mailbox each: invocations.
 * `receive` decides synchronously and calls `emit`; the runtime commits what it asked for.
 */
export interface TableKind {
  readonly name: string;
  receive(env: Envelope, at: number, id: string): void;
  /**
   * A turn of it failed, or a commit was rolled back: forget everything in memory and read it again
   * from the runtime's `Documents`. Those on disk may lack turns that are in flight.
   */
  reload(): void;
}

export type Kind = MachineKind | TableKind;

export const isTable = (kind: Kind): kind is TableKind => "receive" in kind;
