/**
 * The runtime's record of one actor in memory: its mailbox, its XState root while it is awake,
 * and what is done but not yet on disk. A cell without a root costs next to nothing.
 */
import { type AnyActor, createActor } from "xstate";
import type { ActorId, Envelope } from "./effect.ts";
import { type Kind, type MachineKind, type TableKind, isTable } from "./kind.ts";
import { Mailbox } from "./mailbox.ts";
import { packSnapshot, unpackSnapshot } from "./snapshot.ts";
import type { Store, Write } from "./store.ts";

const TABLE_MAILBOX = { normal: 10_000, control: 10_000 };
const TABLE_RESTART = { max: 20, withinMs: 60_000, backoffMs: [100, 5_000] } as const;

export class Cell {
  readonly id: ActorId;
  readonly table: TableKind | undefined;
  readonly mailbox: Mailbox;
  readonly inFlight: Envelope[] = [];
  readonly #machine: MachineKind | undefined;
  seq = 0;
  status: "live" | "backoff" | "down" = "live";
  scheduled = false;
  /** Rows wait on disk that did not fit into the mailbox. */
  spilled = false;
  /** Monotonic ms of the last turn. */
  lastAt = 0;
  #root: AnyActor | undefined;
  #error: unknown;
  #fails: number[] = [];

  constructor(id: ActorId, kind: Kind) {
    this.id = id;
    this.table = isTable(kind) ? kind : undefined;
    this.#machine = isTable(kind) ? undefined : kind;
    this.mailbox = new Mailbox(this.#machine?.mailbox ?? TABLE_MAILBOX);
  }

  get awake(): boolean {
    return this.#root !== undefined || this.table !== undefined;
  }

  /** Messages from outside that may wait at once. */
  get most(): number {
    return (this.#machine?.mailbox ?? TABLE_MAILBOX).normal;
  }

  /**
   * Handles one message; effects go to whoever collects.
   * @throws whatever the machine threw: the caller drops the cell's root
   */
  turn(env: Envelope, given: { at: number; id: string }, store: Pick<Store, "load">): "changed" | "ignored" | "quarantine" {
    if (this.table) {
      this.table.receive(env, given.at, given.id);
      this.seq++;
      return "changed";
    }
    const machine = this.#machine as MachineKind;
    const event = { ...env.event, ...given };
    let born = false;
    if (!this.#root) {
      const woken = this.#wake(machine, event, store);
      if (woken === "quarantine") return woken;
      born = woken === "born";
    }
    const root = this.#root as AnyActor | undefined;
    if (!root) throw new Error("no root after a wake");
    const before = root.getSnapshot();
    root.send(event);
    if (this.#error !== undefined) throw this.#error;
    if (!born && root.getSnapshot() === before) return "ignored";
    this.seq++;
    return "changed";
  }

  /** What the last turn changes on disk, serialised at once: the live context is aliased. */
  writes(env: Envelope, at: number): Write[] {
    const machine = this.#machine;
    if (!machine || !this.#root) return env.timer === undefined ? [] : [{ k: "untimer", actor: env.to, name: env.timer }];
    const snapshot = packSnapshot(machine, this.#root.getPersistedSnapshot());
    const writes: Write[] = [
      { k: "actor", id: this.id, kind: machine.name, seq: this.seq, status: this.#root.getSnapshot().status === "done" ? "final" : "live", snapshot },
      { k: "journal", actor: this.id, seq: this.seq, at, event: env.event },
    ];
    // Its timer fired and is spent; one that this turn set anew comes after and stays.
    if (env.timer !== undefined) writes.unshift({ k: "untimer", actor: this.id, name: env.timer });
    return writes;
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

  idle(now: number): boolean {
    return (
      this.#machine !== undefined &&
      this.status === "live" &&
      this.mailbox.size === 0 &&
      this.inFlight.length === 0 &&
      !this.spilled &&
      now - this.lastAt > this.#machine.idleMs
    );
  }

  #wake(machine: MachineKind, event: object, store: Pick<Store, "load">): "born" | "woken" | "quarantine" {
    const saved = store.load(this.id);
    let snapshot: unknown;
    if (saved) {
      snapshot = unpackSnapshot(machine, saved.snapshot);
      if (snapshot === undefined) return "quarantine";
    }
    this.#error = undefined;
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
    this.seq = saved?.seq ?? 0;
    this.#root = root;
    return saved ? "woken" : "born";
  }
}
