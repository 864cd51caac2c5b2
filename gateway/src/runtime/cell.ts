/**
 * The runtime's record of one actor in memory: its mailbox, its XState root while it is awake,
 * and what is done but not yet on disk. A cell without a root costs next to nothing.
 */
import { type AnyActor, type AnyMachineSnapshot, createActor } from "xstate";
import type { ActorId, Effect, Envelope } from "./effect.ts";
import { type Kind, type MachineKind, type TableKind, isTable } from "./kind.ts";
import { Mailbox } from "./mailbox.ts";
import { owedWords } from "./journal.ts";
import { forJournal, packSnapshot, persisted, unpackSnapshot } from "./snapshot.ts";
import type { Saved, Store, Write } from "./store.ts";

/** A stored state that this version cannot read, kept as it is: nothing may be lost over it. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}

const TABLE_MAILBOX = { normal: 10_000, control: 10_000 };
const TABLE_RESTART = { max: 20, withinMs: 60_000, backoffMs: [100, 5_000] } as const;

export class Cell {
  readonly id: ActorId;
  /** The name of its kind. */
  readonly kind: string;
  readonly table: TableKind | undefined;
  readonly mailbox: Mailbox;
  /** Turns that are done and not yet on disk. */
  inFlight = 0;
  readonly #machine: MachineKind | undefined;
  seq = 0;
  status: "live" | "backoff" | "down" = "live";
  scheduled = false;
  /** Rows wait on disk that did not fit into the mailbox. */
  spilled = false;
  /** Messages from outside that are being written and not yet in the mailbox. */
  accepting = 0;
  /** Messages for it that wait among what the last process left. */
  left = 0;
  /** Failures since it is in memory, and the words of the last one: for operators only. */
  restarts = 0;
  lastError: string | undefined;
  /** Monotonic ms of the last turn. */
  lastAt = 0;
  #root: AnyActor | undefined;
  #error: unknown;
  #fails: number[] = [];

  constructor(id: ActorId, kind: Kind) {
    this.id = id;
    this.kind = kind.name;
    this.table = isTable(kind) ? kind : undefined;
    this.#machine = isTable(kind) ? undefined : kind;
    this.mailbox = new Mailbox(this.#machine?.mailbox ?? TABLE_MAILBOX);
  }

  /** A wake reads from disk, so it waits until the cell's own turns are there. */
  get ready(): boolean {
    const { awake } = this;
    return this.status === "live" && (awake || this.inFlight === 0);
  }

  get awake(): boolean {
    return this.#root !== undefined || this.table !== undefined;
  }

  /** One more message from outside would be too many; those that spilled come first. */
  get full(): boolean {
    const { normal } = this.#machine?.mailbox ?? TABLE_MAILBOX;
    return this.spilled || this.mailbox.size + this.accepting + this.left >= normal;
  }

  /**
   * Handles one message; effects go to whoever collects.
   * @throws Unreadable, or whatever the machine threw: the caller drops the cell's root
   */
  turn(
    env: Envelope,
    given: { at: number; id: string },
    store: Pick<Store, "load">,
  ): "changed" | "ignored" {
    if (this.table) {
      this.table.receive(env, given.at, given.id);
      return "changed";
    }
    const machine = this.#machine as MachineKind;
    const event = { ...env.event, ...given };
    let born = false;
    if (!this.#root) born = this.#wake(machine, event, store);
    const root = this.#root as AnyActor | undefined;
    if (!root) throw new Error("no root after a wake");
    const before = root.getSnapshot();
    if (before.status !== "done") root.send(event);
    if (this.#error !== undefined) throw this.#error;
    return !born && root.getSnapshot() === before ? "ignored" : "changed";
  }

  /**
   * What the last turn changes on disk, serialised at once: the live context is aliased.
   * @throws RangeError when its context outgrew its bound
   */
  writes(env: Envelope, at: number, effects: readonly Effect[]): Write[] {
    this.seq++;
    const machine = this.#machine;
    if (!machine || !this.#root) return [];
    const snapshot = packSnapshot(machine, persisted(this.#root));
    return [
      {
        k: "actor",
        id: this.id,
        kind: machine.name,
        seq: this.seq,
        status: this.#root.getSnapshot().status === "done" ? "final" : "live",
        snapshot,
      },
      {
        k: "journal",
        actor: this.id,
        seq: this.seq,
        at,
        event: forJournal(env.event),
        state: this.state,
        owed: owedWords(effects),
      },
    ];
  }

  /** Where its machine stands; undefined while it sleeps. */
  get state(): unknown {
    return (this.#root?.getSnapshot() as AnyMachineSnapshot | undefined)?.value;
  }

  /** Forgets what is in memory; the next message wakes it from disk. */
  drop(): void {
    this.#root?.stop();
    this.#root = undefined;
    this.#error = undefined;
  }

  /** Counts a failure. Returns the longest wait before the next try, or undefined for too many. */
  failed(now: number): number | undefined {
    const { max, withinMs, backoffMs } = this.#machine?.restart ?? TABLE_RESTART;
    this.#fails = [...this.#fails.filter((at) => now - at < withinMs), now];
    this.status = "backoff";
    if (this.#fails.length > max) return undefined;
    const [first, cap] = backoffMs;
    return Math.min(cap, first * 2 ** (this.#fails.length - 1));
  }

  /** What is told of it; whether it is tried again is `failed`'s to say. */
  noteFailure(error: unknown): void {
    this.restarts++;
    this.lastError = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }

  /** Its owner says that it may try again at once. */
  forgive(): void {
    this.#fails = [];
    this.status = "live";
  }

  /** Nothing waits, and its failures are old enough to be forgotten with it. */
  idle(now: number): boolean {
    return (
      this.#machine !== undefined &&
      now - (this.#fails.at(-1) ?? -Infinity) > this.#machine.restart.withinMs &&
      this.status === "live" &&
      this.mailbox.size === 0 &&
      this.inFlight === 0 &&
      !this.spilled &&
      this.left === 0 &&
      now - this.lastAt > this.#machine.idleMs
    );
  }

  /** Returns whether this is its birth. */
  #wake(machine: MachineKind, event: object, store: Pick<Store, "load">): boolean {
    let saved: Saved | undefined;
    let snapshot: unknown;
    try {
      saved = store.load(this.id);
      if (saved) snapshot = unpackSnapshot(machine, saved.snapshot);
    } catch (cause) {
      throw new Unreadable(`${this.id} cannot be read`, { cause });
    }
    this.#error = undefined;
    this.seq = saved?.seq ?? 0;
    const root: AnyActor = createActor(machine.machine, {
      input: { id: this.id, event },
      ...(snapshot === undefined ? {} : { snapshot: snapshot as never }),
    });
    // Before start: an error of an entry action must reach us, not the process.
    root.subscribe({
      error: (error: unknown) => {
        this.#error = error ?? new Error("the machine failed");
      },
    });
    root.start();
    if (this.#error !== undefined) throw this.#error;
    this.#root = root;
    return !saved;
  }
}
