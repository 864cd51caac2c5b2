/**
 * The durable actor runtime.
 *
 *   accept ─► mailbox ─► turn ─► batch ─► ONE commit ─► replies, tells, steps, timers, signals
 *                          ▲                                   │
 *                          └────────── wake from disk ◄────────┘ (crash, sleep, rollback: one path)
 *
 * Messages of one actor are handled one after the other. Nothing leaves before the commit.
 * A turn that fails leaves no trace but its count; docs in ARCHITECTURE.md "The runtime".
 */
import type { Clock, Rng } from "@kith/shared/clock";
import { type ErrorCode, KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { type AskOptions, Asks } from "./asks.ts";
import { Cell } from "./cell.ts";
import { Committer } from "./commit.ts";
import { crashpoint } from "./crashpoint.ts";
import { Documents } from "./documents.ts";
import { Due } from "./due.ts";
import type { ActorId, Effect, Envelope, Event } from "./effect.ts";
import { collect } from "./fx.ts";
import { type Kind, isTable } from "./kind.ts";
import { Outbox, type Performer } from "./outbox.ts";
import type { Opened, Step, StepEnd, Store, Timer, Write } from "./store.ts";

/** Runs `fn` "soon". Real: setImmediate. A simulation lets its seed choose who is next. */
export interface Scheduler {
  soon(fn: () => void): void;
}

export interface RuntimeOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly scheduler: Scheduler;
  readonly kinds: readonly Kind[];
  /** The process must end and recover from disk: the outcome of a commit is not known. */
  readonly fatal: (error: unknown) => void;
  /** Something the owner should hear: a dead letter, an actor that is down, a full disk. */
  readonly notice: (text: string, about: ActorId | undefined) => void;
  readonly report: (what: string, error: unknown) => void;
}

type Put = Extract<Effect, { kind: "put" }>;

/** A pump ends after so many turns, or so many ms, and yields to the event loop. */
const PUMP_TURNS = 512;
const PUMP_MS = 2;
/** A message that crashed its actor this often is put aside. */
const POISON_ATTEMPTS = 3;
const SWEEP_MS = 10_000;
/** While the disk is full, how often it is tried again. */
const FULL_PROBE_MS = 2_000;
const DOWN_PROBE_MS = 3_600_000;

export class Runtime {
  readonly documents: Documents;
  readonly due: Due;
  readonly #options: RuntimeOptions;
  readonly #kinds: ReadonlyMap<string, Kind>;
  readonly #cells = new Map<ActorId, Cell>();
  #ready: Cell[] = [];
  readonly #attempts = new Map<string, number>();
  /** Accepted and not yet on disk: the store cannot know them as seen. */
  readonly #accepting = new Map<string, Promise<void>>();
  readonly #timers = new Map<string, Timer>();
  readonly #listeners = new Map<string, Set<(data: never) => void>>();
  readonly #asks: Asks;
  readonly #committer: Committer;
  readonly #outbox: Outbox;
  #pumping = false;
  #stopped = false;
  #full: KithError | undefined;
  /** Turns that changed nothing, by event type: a test fails on one that its machine declares. */
  readonly ignored = new Map<string, number>();

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#kinds = new Map(options.kinds.map((kind) => [kind.name, kind]));
    this.documents = new Documents(options.store);
    this.due = new Due(options.clock);
    this.#asks = new Asks(this.due);
    this.#outbox = new Outbox({
      clock: options.clock,
      due: this.due,
      settle: (step, state, event) => this.#settle(step, state, event),
      report: options.report,
    });
    this.#committer = new Committer({
      commit: (writes) => options.store.commit(writes),
      rolledBack: (error) => this.#rolledBack(error),
      fatal: options.fatal,
    });
  }

  perform(performer: Performer): void {
    this.#outbox.add(performer);
  }

  /** Hears a signal of committed turns. Returns how to stop. */
  on<T>(topic: string, hear: (data: T) => void): () => void {
    const set = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, set);
    set.add(hear);
    return () => set.delete(hear);
  }

  /** Takes up what the last process left: documents, waiting messages, timers, steps. */
  recover(opened: Opened): void {
    this.documents.reload();
    for (const kind of this.#kinds.values()) if (isTable(kind)) kind.reload();
    crashpoint("bt.reconcile");
    for (const { env, attempts } of this.#options.store.inbox()) {
      if (attempts > 0) this.#attempts.set(attemptKey(env), attempts);
      this.#enqueue(env);
    }
    for (const timer of this.#options.store.timers()) this.#arm(timer);
    for (const step of this.#options.store.steps()) this.#resume(step, opened);
    this.#sweepLater();
  }

  /**
   * A message from outside, or from one part to an actor, that must not be lost. Resolves when
   * it is on disk; the same `msg` again is harmless. `puts` are rows that come with it, such
   * as the chat that a first message begins.
   * @throws KithError disk-full, mailbox-full
   */
  async accept(to: ActorId, event: Event, msg: string, puts: readonly Put[] = []): Promise<void> {
    const key = `${to} ${msg}`;
    const earlier = this.#accepting.get(key);
    if (earlier) return earlier;
    if (this.#options.store.seen(to, msg)) return;
    if (this.#full) throw this.#full;
    const env: Envelope = { to, event, msg, lane: "normal", durable: true };
    if (this.#cell(to).mailbox.size >= this.#cell(to).most) throw new KithError("mailbox-full", `${to} has too many messages waiting`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#accepting.set(key, promise);
    crashpoint("in.recv");
    const at = this.#options.clock.now();
    for (const { table, id, open, body } of puts) this.documents.put(table, id, open, body);
    this.#committer.add({
      writes: [...puts.map(({ kind: _, ...put }) => ({ k: "put", at, ...put }) as const), { k: "accept", env, at }],
      after: () => {
        this.#accepting.delete(key);
        crashpoint("in.ack");
        this.#enqueue(env);
        resolve();
      },
      undo: (error) => {
        this.#accepting.delete(key);
        reject(error);
      },
    });
    this.#soon();
    return promise;
  }

  /** A volatile message: what a socket said, lost at a crash by design. */
  tell(to: ActorId, event: Event): void {
    this.#enqueue({ to, event, msg: this.#newId(), lane: "control", durable: false });
  }

  /** A question with a deadline; the answer is committed before it arrives. @throws KithError */
  ask<T>(to: ActorId, event: Event, options: AskOptions): Promise<T> {
    if (this.#full) return Promise.reject(this.#full);
    const replyTo = this.#newId();
    const env: Envelope = { to, event, msg: replyTo, lane: "normal", durable: false, replyTo };
    const cell = this.#cell(to);
    const promise = this.#asks.wait(replyTo, options, () => {
      cell.mailbox.remove((waiting) => waiting.replyTo === replyTo);
    });
    if (!this.#enqueue(env)) this.#asks.fail(replyTo, new KithError("mailbox-full", `${to} has too many messages waiting`));
    return promise as Promise<T>;
  }

  /** Resolves when everything that was asked for is on disk. */
  settled(): Promise<void> {
    return this.#committer.settled();
  }

  /** Ends in order: no new turns, the running commit, then silence. */
  async stop(): Promise<void> {
    this.#outbox.stop();
    await this.#committer.settled();
    this.#stopped = true;
    this.#committer.stop();
    this.due.stop();
  }

  /** Live actors, for `kith status`. */
  get actors(): number {
    return this.#cells.size;
  }

  #newId(): string {
    return newId(this.#options.clock, this.#options.rng);
  }

  #cell(id: ActorId): Cell {
    const name = id.slice(0, id.indexOf("/"));
    const kind = this.#kinds.get(name);
    if (!kind) throw new KithError("internal", `no kind ${name}`);
    // All rows of a table share one cell: they are handled one after the other.
    const key: ActorId = isTable(kind) ? `${kind.name}/*` : id;
    let cell = this.#cells.get(key);
    if (!cell) {
      cell = new Cell(key, kind);
      this.#cells.set(key, cell);
    }
    return cell;
  }

  #enqueue(env: Envelope): boolean {
    if (this.#stopped) return false;
    const cell = this.#cell(env.to);
    if (cell.status === "down" && env.replyTo !== undefined) {
      this.#asks.fail(env.replyTo, new KithError("actor-down", `${env.to} was stopped after too many failures`));
      return true;
    }
    if (!cell.mailbox.push(env)) {
      // Its row stays on disk; it is read again when the mailbox has room.
      if (env.durable) cell.spilled = true;
      return env.durable;
    }
    this.#wakeUp(cell);
    return true;
  }

  #wakeUp(cell: Cell): void {
    if (cell.scheduled || cell.status !== "live" || cell.mailbox.size === 0) return;
    cell.scheduled = true;
    this.#ready.push(cell);
    this.#soon();
  }

  #soon(): void {
    if (this.#pumping || this.#stopped) return;
    this.#pumping = true;
    this.#options.scheduler.soon(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#stopped) return;
    const until = this.#options.clock.mono() + PUMP_MS;
    let turns = 0;
    while (this.#ready.length > 0 && turns < PUMP_TURNS && this.#options.clock.mono() < until) {
      const round = this.#ready;
      this.#ready = [];
      for (const [at, cell] of round.entries()) {
        if (turns >= PUMP_TURNS) {
          this.#ready.unshift(...round.slice(at));
          break;
        }
        turns++;
        cell.scheduled = false;
        this.#turn(cell);
        this.#wakeUp(cell);
      }
    }
    this.#committer.flush();
    if (this.#ready.length > 0) this.#soon();
  }

  #turn(cell: Cell): void {
    if (cell.status !== "live") return;
    // A wake reads from disk, so it waits until the cell's own turns are there.
    if (!cell.awake && cell.inFlight.length > 0) return;
    const env = cell.mailbox.shift();
    if (!env) return this.#refill(cell);
    const at = this.#options.clock.now();
    const id = this.#newId();
    let effects: Effect[];
    let outcome: ReturnType<Cell["turn"]> | undefined;
    try {
      effects = collect(() => {
        outcome = cell.turn(env, { at, id }, this.#options.store);
      });
    } catch (error) {
      return this.#crashed(cell, env, error);
    }
    if (outcome === "quarantine") return this.#down(cell, env, "its stored state is of a version that cannot be read");
    cell.lastAt = this.#options.clock.mono();
    if (outcome === "ignored" && effects.length === 0) {
      this.ignored.set(env.event.type, (this.ignored.get(env.event.type) ?? 0) + 1);
      if (env.replyTo !== undefined) this.#asks.fail(env.replyTo, new KithError("internal", "nobody answers that"));
      if (!env.durable) return;
    }
    this.#commit(cell, env, effects, at, id);
    this.#refill(cell);
  }

  #commit(cell: Cell, env: Envelope, effects: readonly Effect[], at: number, id: string): void {
    const writes: Write[] = [];
    const after: (() => void)[] = [];
    if (env.durable) writes.push({ k: "taken", to: env.to, msg: env.msg, at });
    writes.push(...cell.writes(env, at));
    for (const [index, effect] of effects.entries()) this.#owe(effect, { cell, env, at, id, index }, writes, after);
    cell.inFlight.push(env);
    this.#committer.add({
      writes,
      after: () => {
        cell.inFlight.splice(cell.inFlight.indexOf(env), 1);
        this.#attempts.delete(attemptKey(env));
        this.#full = undefined;
        for (const run of after) run();
        this.#wakeUp(cell);
      },
      undo: () => {
        cell.inFlight.splice(cell.inFlight.indexOf(env), 1);
        cell.drop();
        cell.mailbox.unshift([env]);
      },
    });
    this.#soon();
  }

  /** Turns one effect into what is written now and what happens after the commit. */
  #owe(
    effect: Effect,
    turn: { cell: Cell; env: Envelope; at: number; id: string; index: number },
    writes: Write[],
    after: (() => void)[],
  ): void {
    const { env, at } = turn;
    const self: ActorId = turn.cell.table ? env.to : turn.cell.id;
    switch (effect.kind) {
      case "tell": {
        const told: Envelope = { to: effect.to, event: effect.event, msg: `${turn.id}:${turn.index}`, lane: "control", durable: true };
        writes.push({ k: "accept", env: told, at });
        after.push(() => this.#enqueue(told));
        return;
      }
      case "step": {
        const step: Step = {
          id: this.#newId(),
          actor: self,
          op: effect.op,
          class: effect.class,
          args: effect.args,
          expiresAt: at + effect.ttlMs,
          ...(effect.order === undefined ? {} : { order: effect.order }),
        };
        writes.push({ k: "step", step, at });
        after.push(() => this.#outbox.submit(step));
        return;
      }
      case "reply": {
        const { replyTo } = env;
        if (replyTo !== undefined) after.push(() => this.#asks.settle(replyTo, effect.value));
        return;
      }
      case "timer": {
        const timer: Timer = {
          actor: self,
          name: effect.name,
          due: at + effect.inMs,
          generation: turn.cell.seq,
          event: effect.event,
        };
        writes.push({ k: "timer", timer });
        after.push(() => this.#arm(timer));
        return;
      }
      case "untimer":
        writes.push({ k: "untimer", actor: self, name: effect.name });
        after.push(() => this.#disarm(self, effect.name));
        return;
      case "audit":
        writes.push({ k: "audit", at, what: effect.what, data: effect.data });
        return;
      case "put":
        this.documents.put(effect.table, effect.id, effect.open, effect.body);
        writes.push({ k: "put", table: effect.table, id: effect.id, open: effect.open, at, body: effect.body });
        return;
      case "signal":
        after.push(() => {
          for (const hear of this.#listeners.get(effect.topic) ?? []) hear(effect.data as never);
        });
        return;
    }
  }

  #settle(step: Step, state: StepEnd, event: Event): void {
    const env: Envelope = { to: step.actor, event, msg: step.id, lane: "control", durable: true };
    const at = this.#options.clock.now();
    const attempt = (): void => {
      this.#committer.add({
        writes: [
          { k: "stepEnd", id: step.id, state, at },
          { k: "accept", env, at },
        ],
        after: () => this.#enqueue(env),
        // What happened outside has happened: its record waits for space.
        undo: () => this.due.set(`settle:${step.id}`, FULL_PROBE_MS, attempt),
      });
      this.#soon();
    };
    attempt();
  }

  /** A step of the last process: repeated where that is harmless, else shown as in doubt. */
  #resume(step: Step, opened: Opened): void {
    if (step.class !== "once" || opened.clean) return this.#outbox.submit(step);
    this.#settle(step, "unknown", {
      type: "step.failed",
      step: step.id,
      op: step.op,
      failure: { code: "unknown", message: "the gateway stopped in the middle", effect: "unknown" },
    } as Event);
  }

  #arm(timer: Timer): void {
    const key = `timer:${timer.actor}:${timer.name}`;
    this.#timers.set(key, timer);
    this.due.set(key, timer.due - this.#options.clock.now(), () => {
      if (this.#timers.get(key) !== timer) return;
      this.#timers.delete(key);
      crashpoint("tm.due");
      // Not accepted as a row of its own: the timer's row is its memory until the turn commits.
      this.#enqueue({
        to: timer.actor,
        event: timer.event,
        msg: `timer:${timer.name}:${timer.generation}`,
        lane: "control",
        durable: false,
        timer: timer.name,
      });
    });
  }

  #disarm(actor: ActorId, name: string): void {
    const key = `timer:${actor}:${name}`;
    this.#timers.delete(key);
    this.due.clear(key);
  }

  #crashed(cell: Cell, env: Envelope, error: unknown): void {
    this.#options.report(`${cell.id} on ${env.event.type}`, error);
    cell.drop();
    if (cell.table) {
      this.documents.reload();
      cell.table.reload();
    }
    const attempts = (this.#attempts.get(attemptKey(env)) ?? 0) + 1;
    this.#attempts.set(attemptKey(env), attempts);
    if (attempts >= POISON_ATTEMPTS) return this.#poisoned(cell, env, error);
    cell.mailbox.unshift([env]);
    if (env.durable) {
      this.#committer.add({
        writes: [{ k: "attempt", to: env.to, msg: env.msg, attempts }],
        after: () => {},
        undo: () => {},
      });
      this.#soon();
    }
    const wait = cell.failed(this.#options.clock.mono());
    if (wait === undefined) return this.#down(cell, undefined, "it failed too often");
    this.due.set(`backoff:${cell.id}`, this.#options.rng.float() * wait, () => {
      cell.status = "live";
      this.#wakeUp(cell);
    });
  }

  #poisoned(cell: Cell, env: Envelope, error: unknown): void {
    const at = this.#options.clock.now();
    const why = error instanceof Error ? error.name : "error";
    this.#attempts.delete(attemptKey(env));
    this.#committer.add({
      writes: [
        ...(env.durable ? [{ k: "taken", to: env.to, msg: env.msg, at } as const] : []),
        { k: "dead", env, error: why, at },
        { k: "audit", at, what: "message.dead", data: { actor: env.to, event: env.event.type, error: why } },
      ],
      after: () => {
        this.#reject(env, "internal", "the message was put aside: it failed three times");
        this.#options.notice(`A message (${env.event.type}) was put aside: it failed three times.`, env.to);
      },
      undo: () => cell.mailbox.unshift([env]),
    });
    cell.status = "live";
    this.#soon();
    this.#wakeUp(cell);
  }

  /** Its rows stay; who asks is told at once; it is tried again once an hour. */
  #down(cell: Cell, env: Envelope | undefined, why: string): void {
    cell.status = "down";
    if (env) {
      cell.mailbox.unshift([env]);
    }
    for (let waiting = cell.mailbox.remove(isAsk); waiting; waiting = cell.mailbox.remove(isAsk)) {
      this.#reject(waiting, "actor-down", `${cell.id} was stopped: ${why}`);
    }
    this.#options.notice(`${cell.id} was stopped: ${why}.`, cell.id);
    this.due.set(`backoff:${cell.id}`, DOWN_PROBE_MS, () => {
      cell.status = "live";
      this.#wakeUp(cell);
    });
  }

  #reject(env: Envelope, code: ErrorCode, message: string): void {
    if (env.replyTo !== undefined) this.#asks.fail(env.replyTo, new KithError(code, message));
  }

  /** The disk refused and nothing was written: memory is read again, new work is refused. */
  #rolledBack(error: KithError): void {
    if (!this.#full) this.#options.notice("The disk is full. What was accepted is safe; new work is refused.", undefined);
    this.#full = error;
    this.documents.reload();
    for (const cell of this.#cells.values()) {
      cell.drop();
      cell.table?.reload();
    }
    this.#timers.clear();
    for (const timer of this.#options.store.timers()) this.#arm(timer);
    // One probe at a time: the first turn that commits opens the door again.
    this.due.set("disk-full", FULL_PROBE_MS, () => {
      this.#committer.add({ writes: [{ k: "untimer", actor: "runtime/probe", name: "probe" }], after: () => this.#roomAgain(), undo: () => {} });
      this.#committer.flush();
    });
  }

  #roomAgain(): void {
    this.#full = undefined;
    for (const cell of this.#cells.values()) this.#wakeUp(cell);
  }

  /** Messages that did not fit into memory are read again from their rows. */
  #refill(cell: Cell): void {
    if (!cell.spilled || cell.mailbox.size > 0 || cell.inFlight.length > 0) return;
    cell.spilled = false;
    for (const { env } of this.#options.store.inbox()) {
      if (this.#cell(env.to) === cell) this.#enqueue(env);
    }
  }

  #sweepLater(): void {
    this.due.set("sweep", SWEEP_MS, () => {
      const now = this.#options.clock.mono();
      for (const [id, cell] of this.#cells) {
        if (!cell.idle(now)) continue;
        cell.drop();
        if (cell.status === "live") this.#cells.delete(id);
      }
      this.#sweepLater();
    });
  }
}

const isAsk = (env: Envelope): boolean => env.replyTo !== undefined;
const attemptKey = (env: Envelope): string => `${env.to} ${env.msg}`;
