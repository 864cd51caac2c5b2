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
import { Backlog } from "./backlog.ts";
import { Cell, Unreadable } from "./cell.ts";
import { Committer } from "./commit.ts";
import { crashpoint } from "./crashpoint.ts";
import { Documents } from "./documents.ts";
import { Due } from "./due.ts";
import type { ActorId, Effect, Envelope, Event } from "./effect.ts";
import { Fifo } from "./fifo.ts";
import { Escalation } from "./escalation.ts";
import { collect } from "./fx.ts";
import { crashedRow } from "./journal.ts";
import { type Kind, type TableKind, isTable } from "./kind.ts";
import { Outbox, type Performer, type StepFailed } from "./outbox.ts";
import { type Doors, owe } from "./owe.ts";
import type { DeadLetter, Opened, Step, StepEnd, Store, Write } from "./store.ts";
import { Timers } from "./timers.ts";
import { type ActorNode, type KindNode, node, treeOf } from "./tree.ts";

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
  /** Told around every turn, so that somebody else can see one that never ends. */
  readonly pulse?: { begin(to: ActorId, msg: string): void; end(): void };
}

type Put = Extract<Effect, { kind: "put" }>;

/** A pump ends after so many turns, or so many ms, and yields to the event loop. */
const PUMP_TURNS = 512;
const PUMP_MS = 2;
/** Of what the last process left, so many actors are ready at once: some ms of work. */
const TAKEN_UP = 64;
/** A message that crashed its actor this often is put aside. */
const POISON_ATTEMPTS = 3;
const SWEEP_MS = 10_000;
/** While the disk is full, how often it is tried again. */
const FULL_PROBE_MS = 2_000;
const DOWN_PROBE_MS = 3_600_000;
/** One try a minute of a kind that is degraded. */
const KIND_PROBE_MS = 60_000;

export class Runtime {
  readonly documents: Documents;
  readonly due: Due;
  readonly #options: RuntimeOptions;
  readonly #kinds: readonly { readonly prefix: string; readonly kind: Kind }[];
  readonly #cells = new Map<ActorId, Cell>();
  readonly #tables = new Map<TableKind, Cell>();
  #ready: Cell[] = [];
  /** Messages of the last process that are not in a mailbox yet, and what came for the same actors since. */
  readonly #left = new Fifo<Envelope>();
  readonly #attempts = new Map<string, number>();
  /** Accepted and not yet on disk: the store cannot know them as seen. */
  readonly #accepting = new Map<string, Promise<void>>();
  /** Durable messages whose commit was not yet confirmed; their rows may be on disk already. */
  readonly #unconfirmed = new Set<string>();
  /** Ends of steps that the full disk refused, to be tried again. */
  readonly #unsettled = new Map<string, () => void>();
  readonly #listeners = new Map<string, Set<(data: never) => void>>();
  readonly #asks: Asks;
  readonly #committer: Committer;
  readonly #outbox: Outbox;
  readonly #backlog: Backlog;
  readonly #timers: Timers;
  readonly #doors: Doors;
  readonly #escalation = new Escalation();
  /** Who may try for its degraded kind. */
  readonly #probes = new Map<string, ActorId>();
  #lastMsg = 0;
  #pumping = false;
  /** The last process was stopped in order. */
  #afterStop = false;
  #stopped = false;
  #full: KithError | undefined;
  /** Turns that changed nothing, by event type: a test fails on one that its machine declares. */
  readonly ignored = new Map<string, number>();

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#kinds = options.kinds.map((kind) => ({ prefix: `${kind.name}/`, kind }));
    this.documents = new Documents(options.store);
    this.due = new Due(options.clock);
    this.#asks = new Asks(this.due);
    this.#backlog = new Backlog((fn) => options.scheduler.soon(fn));
    this.#outbox = new Outbox({
      clock: options.clock,
      due: this.due,
      settle: (step, state, event) => this.#settle(step, state, event),
      report: options.report,
      notice: (text) => options.notice(text, undefined),
    });
    this.#timers = new Timers({
      clock: options.clock,
      due: this.due,
      fire: (env) => this.#enqueue(env),
    });
    this.#committer = new Committer({
      commit: (writes) => options.store.commit(writes),
      rolledBack: (error) => this.#rolledBack(error),
      fatal: (error) => {
        // Nothing more may leave: what memory believes is not what the disk holds.
        this.#stopped = true;
        this.#backlog.stop();
        this.#outbox.stop();
        this.due.stop();
        options.fatal(error);
      },
    });
    this.#doors = {
      documents: this.documents,
      timers: this.#timers,
      submit: (step) => {
        if (!this.#backlog.holds(step)) this.#outbox.submit(step);
      },
      asks: this.#asks,
      newId: () => this.#newId(),
      accept: (env, at) => this.#write(env, at),
      signal: (topic, data) => this.#signal(topic, data),
    };
  }

  perform(performer: Performer): void {
    this.#outbox.add(performer);
  }

  /** Ends steps of these kinds that run, for this actor or for all; each is told as failed, with that reason. */
  abort(ops: readonly string[], why: KithError, actor?: ActorId): void {
    this.#outbox.abort(ops, why, actor);
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
    this.#afterStop = opened.clean;
    this.documents.reload();
    for (const { kind } of this.#kinds) if (isTable(kind)) kind.reload();
    crashpoint("bt.reconcile");
    for (const { env, attempts } of this.#options.store.inbox()) {
      if (attempts > 0) this.#attempts.set(attemptKey(env), attempts);
      if (attempts >= POISON_ATTEMPTS && this.#kind(env.to)) {
        // Each try hung the process: it is not tried once more.
        this.#poisoned(this.#cell(env.to), env, new Error("stalled"));
        continue;
      }
      if (this.#known(env)) this.#later(env);
    }
    this.#takeUp();
    this.#timers.reload(this.#options.store.timers());
    this.#backlog.takeUp(
      this.#options.store,
      (step) => this.#resume(step),
      (step) => this.#outbox.submit(step),
    );
    this.#sweepLater();
  }

  /**
   * A message from outside, or from one part to an actor, that must not be lost. Resolves when
   * it is on disk; the same `msg` again is harmless. `puts` are rows that come with it, such
   * as the chat that a first message begins.
   * @throws KithError disk-full, mailbox-full, gateway-away
   */
  async accept(to: ActorId, event: Event, msg: string, puts: readonly Put[] = []): Promise<void> {
    const key = `${to} ${msg}`;
    const earlier = this.#accepting.get(key);
    if (earlier) return earlier;
    if (this.#stopped) throw new KithError("gateway-away", "the gateway stops");
    if (this.#options.store.seen(to, msg)) return;
    if (this.#full) throw this.#full;
    const env: Envelope = { to, event, msg, lane: "normal", durable: true };
    const cell = this.#cell(to);
    if (cell.full) throw new KithError("mailbox-full", `${to} has too many messages waiting`);
    cell.accepting++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#accepting.set(key, promise);
    crashpoint("in.recv");
    const at = this.#options.clock.now();
    for (const { table, id, open, body } of puts) this.documents.put(table, id, open, body);
    const { write, after } = this.#write(env, at);
    this.#committer.add({
      writes: [...puts.map(({ kind: _, ...put }) => ({ k: "put", at, ...put }) as const), write],
      after: () => {
        this.#accepting.delete(key);
        cell.accepting--;
        crashpoint("in.ack");
        after();
        resolve();
      },
      undo: (error) => {
        this.#accepting.delete(key);
        cell.accepting--;
        reject(error);
      },
    });
    this.#soon();
    return promise;
  }

  /** A volatile message: what a socket said, lost at a crash by design. False: no room for it. */
  tell(to: ActorId, event: Event): boolean {
    return this.#enqueue({ to, event, msg: this.#nextMsg(), lane: "control", durable: false });
  }

  /** A question with a deadline; the answer is committed before it arrives. @throws KithError */
  ask<T>(to: ActorId, event: Event, options: AskOptions): Promise<T> {
    if (this.#full) return Promise.reject(this.#full);
    if (this.#stopped) return Promise.reject(new KithError("gateway-away", "the gateway stops"));
    const replyTo = this.#nextMsg();
    const env: Envelope = { to, event, msg: replyTo, lane: "normal", durable: false, replyTo };
    const cell = this.#cell(to);
    const promise = this.#asks.wait(replyTo, options, () => {
      cell.mailbox.remove((waiting) => waiting.replyTo === replyTo);
    });
    if (!this.#enqueue(env))
      this.#asks.fail(
        replyTo,
        new KithError("mailbox-full", `${to} has too many messages waiting`),
      );
    return promise as Promise<T>;
  }

  /** Resolves when everything that was asked for is on disk. */
  settled(): Promise<void> {
    return this.#committer.settled();
  }

  /**
   * Ends in order: no new turns, the running commit, then silence.
   * @throws KithError disk-full: the end of a step could not be noted, so this is no clean stop
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    // The next start is a clean one, and would take what is in doubt for what has not begun.
    for (const step of this.#backlog.stop()) if (this.#inDoubt(step)) this.#doubt(step);
    for (const step of this.#outbox.stop()) this.#doubt(step);
    for (const settle of this.#unsettled.values()) settle();
    this.#committer.flush();
    await this.#committer.settled();
    this.#committer.stop();
    this.due.stop();
    this.#asks.stop();
    if (this.#unsettled.size > 0 && this.#full) throw this.#full;
  }

  /** Puts to sleep whoever is idle: its state is on disk. By itself every 10 s. */
  sweep(): void {
    const now = this.#options.clock.mono();
    for (const [id, cell] of this.#cells) {
      this.#refill(cell);
      if (!cell.idle(now)) continue;
      cell.drop();
      if (cell.status === "live") this.#cells.delete(id);
    }
  }

  /** A message waits for its turn, or a turn for the disk. */
  get busy(): boolean {
    return this.#ready.length > 0 || this.#committer.busy;
  }

  /** Live actors, for `kith status`. */
  get actors(): number {
    return this.#cells.size;
  }

  /** For `kith actors`. */
  tree(): (KindNode & { readonly degraded: boolean })[] {
    const { store, clock } = this.#options;
    const cells = [...this.#cells.values()];
    return treeOf(this.#options.kinds, cells, store, clock.mono()).map((kind) => ({
      ...kind,
      degraded: this.#escalation.degraded(kind.kind),
    }));
  }

  /** One that is in memory now. */
  actor(id: ActorId): ActorNode | undefined {
    const cell = this.#cells.get(id);
    return cell && node(cell, this.#options.clock.mono());
  }

  /** Steps by performer: how many run, and how many wait. */
  get performers(): ReturnType<Outbox["counts"]> {
    return this.#outbox.counts();
  }

  /** An operator ends its wait after failures, `down` included; it wakes from disk. False: there is no such actor. */
  restart(id: ActorId): boolean {
    if (id.startsWith("performer/")) return this.#outbox.restart(id.slice("performer/".length));
    if (!this.#kind(id)) return false;
    const cell = this.#cells.get(id);
    if (!cell) return this.#options.store.load(id) !== undefined;
    this.due.clear(`backoff:${id}`);
    // Its turns that are on their way to disk are its state; the wake waits for them.
    cell.drop();
    cell.table?.reload();
    cell.forgive();
    this.#wellAgain(kindOf(id));
    this.#wakeUp(cell);
    return true;
  }

  /**
   * Takes a dead letter away, and offers its message once more if `again`. Resolves when that is on disk.
   * @throws KithError disk-full
   */
  bury({ n, env }: DeadLetter, again: boolean): Promise<void> {
    const at = this.#options.clock.now();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Under a new name: the old one is taken.
    const retried: Envelope = {
      ...{ to: env.to, event: env.event, lane: env.lane, durable: true },
      msg: `${env.msg}:again:${n}`,
    };
    const accepted = again ? this.#write(retried, at) : undefined;
    this.#committer.add({
      writes: [{ k: "undead", n }, ...(accepted ? [accepted.write] : [])],
      after: () => {
        accepted?.after();
        resolve();
      },
      undo: reject,
    });
    this.#soon();
    return promise;
  }

  /** For a message that no disk will ever know. */
  #nextMsg(): string {
    return `volatile ${++this.#lastMsg}`;
  }

  #newId(): string {
    return newId(this.#options.clock, this.#options.rng);
  }

  /** Compared in place, since a piece of the id would be a new string to be looked up, each time. */
  #kind(id: ActorId): Kind | undefined {
    for (const { prefix, kind } of this.#kinds) if (id.startsWith(prefix)) return kind;
    return undefined;
  }

  /** @throws KithError internal: nobody is of that kind */
  #cell(id: ActorId): Cell {
    const kind = this.#kind(id);
    if (!kind) throw new KithError("internal", `no kind of ${id}`);
    // All rows of a table share one cell: they are handled one after the other.
    const table = isTable(kind) ? this.#tables.get(kind) : undefined;
    if (table) return table;
    const key: ActorId = isTable(kind) ? `${kind.name}/*` : id;
    let cell = this.#cells.get(key);
    if (!cell) {
      cell = new Cell(key, kind);
      this.#cells.set(key, cell);
      if (isTable(kind)) this.#tables.set(kind, cell);
    }
    return cell;
  }

  /** False when there is no room, unless its row waits on disk. */
  #enqueue(env: Envelope): boolean {
    if (this.#stopped) return false;
    if (!this.#known(env)) return true;
    const cell = this.#cell(env.to);
    if (cell.left === 0) return this.#queue(cell, env);
    this.#later(env);
    return true;
  }

  /** A row of another version stays where it is. */
  #known(env: Envelope): boolean {
    if (this.#kind(env.to)) return true;
    this.#options.report(`a message to ${env.to}`, new KithError("internal", "no such kind"));
    return false;
  }

  /** Behind what the last process left. */
  #later(env: Envelope): void {
    this.#cell(env.to).left++;
    this.#left.push(env);
  }

  /** Some of what the last process left: whoever speaks now waits for a few of them, not for all. */
  #takeUp(): void {
    while (this.#ready.length < TAKEN_UP) {
      const env = this.#left.shift();
      if (!env) return;
      const cell = this.#cell(env.to);
      cell.left--;
      this.#queue(cell, env);
    }
  }

  #queue(cell: Cell, env: Envelope): boolean {
    if (env.replyTo !== undefined && (cell.status === "down" || this.#held(cell))) {
      this.#asks.fail(
        env.replyTo,
        new KithError("actor-down", `${env.to} was stopped after too many failures`),
      );
      return true;
    }
    // Its row stays on disk, and so do those of all that come after it: `refill` keeps their order.
    if (env.durable && cell.spilled) return true;
    if (!cell.mailbox.push(env)) {
      cell.spilled ||= env.durable;
      return env.durable;
    }
    this.#wakeUp(cell);
    return true;
  }

  #wakeUp(cell: Cell): void {
    if (cell.scheduled || !cell.ready || cell.mailbox.size === 0 || this.#held(cell)) return;
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
    // While the disk is full only the probe goes on; whatever waits keeps its place.
    if (this.#full) return this.#committer.flush();
    const until = this.#options.clock.mono() + PUMP_MS;
    let turns = 0;
    while (this.#ready.length > 0 && turns < PUMP_TURNS && this.#options.clock.mono() < until) {
      const round = this.#ready;
      this.#ready = [];
      for (const [at, cell] of round.entries()) {
        if (turns >= PUMP_TURNS || (turns > 0 && this.#options.clock.mono() >= until)) {
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
    this.#takeUp();
    if (this.#ready.length > 0) this.#soon();
  }

  #turn(cell: Cell): void {
    if (!cell.ready) return;
    const env = cell.mailbox.shift();
    if (!env) return;
    if (this.#over(env)) return this.#refill(cell);
    const at = this.#options.clock.now();
    const id = this.#newId();
    let outcome = "changed" as ReturnType<Cell["turn"]>;
    let effects: Effect[];
    let state: Write[] = [];
    this.#options.pulse?.begin(env.to, env.msg);
    try {
      effects = collect(() => {
        outcome = cell.turn(env, { at, id }, this.#options.store);
      });
      for (const effect of effects) if (effect.kind === "tell") this.#cell(effect.to);
      if (outcome === "changed" || effects.length > 0) state = cell.writes(env, at, effects);
    } catch (error) {
      if (error instanceof Unreadable) {
        this.#options.report(cell.id, error.cause);
        return this.#down(cell, env, "its stored state cannot be read");
      }
      return this.#crashed(cell, env, error);
    } finally {
      this.#options.pulse?.end();
    }
    // Those that were awake when it became degraded prove nothing about a wake.
    if (this.#probes.size > 0 && this.#probes.get(cell.kind) === cell.id)
      this.#wellAgain(cell.kind);
    cell.lastAt = this.#options.clock.mono();
    if (state.length === 0 && outcome === "ignored") {
      this.ignored.set(env.event.type, (this.ignored.get(env.event.type) ?? 0) + 1);
      this.#reject(env, "internal", "nobody answers that");
      if (!env.durable && env.timer === undefined) return this.#refill(cell);
    }
    const self = cell.table ? env.to : cell.id;
    const owed = owe(effects, { env, self, seq: cell.seq, at, id }, this.#doors);
    const taken: Write[] = env.durable ? [{ k: "taken", to: env.to, msg: env.msg, at }] : [];
    this.#commit(cell, env, [...taken, ...state, ...owed.writes], () => {
      for (const run of owed.after) run();
    });
  }

  /** Nobody waits for its answer any more, or its timer was set anew meanwhile. */
  #over(env: Envelope): boolean {
    const over =
      (env.replyTo !== undefined && !this.#asks.waits(env.replyTo)) ||
      (env.timer !== undefined && !this.#timers.holds(env));
    if (over) this.#forgive(env);
    return over;
  }

  /** Its earlier failures count no more. */
  #forgive(env: Envelope): void {
    if (this.#attempts.size > 0) this.#attempts.delete(attemptKey(env));
  }

  /** The end of this message; until it is on disk the cell does not wake. */
  #commit(cell: Cell, env: Envelope, writes: readonly Write[], after: () => void): void {
    const landed = (): void => void cell.inFlight--;
    cell.inFlight++;
    this.#committer.add({
      writes,
      after: () => {
        landed();
        this.#forgive(env);
        after();
        this.#refill(cell);
        this.#wakeUp(cell);
      },
      undo: () => {
        landed();
        cell.drop();
        cell.mailbox.unshift([env]);
      },
    });
    this.#soon();
  }

  #write(env: Envelope, at: number): { write: Write; after: () => void } {
    const key = attemptKey(env);
    this.#unconfirmed.add(key);
    return {
      write: { k: "accept", env, at },
      after: () => {
        this.#unconfirmed.delete(key);
        this.#enqueue(env);
      },
    };
  }

  #signal(topic: string, data: unknown): void {
    for (const hear of this.#listeners.get(topic) ?? []) {
      try {
        hear(data as never);
      } catch (error) {
        // What was committed has to leave, whoever listens.
        this.#options.report(`a listener of ${topic}`, error);
      }
    }
  }

  #settle(step: Step, state: StepEnd, event: Event): void {
    const env: Envelope = { to: step.actor, event, msg: step.id, lane: "control", durable: true };
    const at = this.#options.clock.now();
    const attempt = (): void => {
      this.#unsettled.delete(step.id);
      this.due.clear(`settle:${step.id}`);
      const { write, after } = this.#write(env, at);
      this.#committer.add({
        writes: [{ k: "stepEnd", id: step.id, state, at }, write],
        after,
        // What happened outside has happened: its record waits for space.
        undo: () => {
          this.#unsettled.set(step.id, attempt);
          this.due.set(`settle:${step.id}`, FULL_PROBE_MS, attempt);
        },
      });
      this.#soon();
    };
    attempt();
  }

  /** A step of the last process: repeated where that is harmless, else shown as in doubt. */
  #resume(step: Step): void {
    if (this.#inDoubt(step)) this.#doubt(step);
    else this.#outbox.submit(step);
  }

  /** Of a step that the last process left: whether it may have begun there. */
  #inDoubt(step: Step): boolean {
    return step.class === "once" && !this.#afterStop;
  }

  #doubt(step: Step): void {
    this.#settle(step, "unknown", inDoubt(step));
  }

  #crashed(cell: Cell, env: Envelope, error: unknown): void {
    this.#options.report(`${cell.id} on ${env.event.type}`, error);
    cell.noteFailure(error);
    cell.drop();
    // From the documents in memory: those on disk lack the turns that are in flight.
    cell.table?.reload();
    const attempts = (this.#attempts.get(attemptKey(env)) ?? 0) + 1;
    this.#attempts.set(attemptKey(env), attempts);
    const writes: Write[] = [
      crashedRow(cell.table ? env.to : cell.id, cell.seq, this.#options.clock.now(), {
        ...{ env, tries: attempts, error },
      }),
    ];
    if (env.durable) writes.push({ k: "attempt", to: env.to, msg: env.msg, attempts });
    this.#committer.add({ writes, after: () => {}, undo: () => {} });
    this.#soon();
    if (attempts >= POISON_ATTEMPTS) return this.#poisoned(cell, env, error);
    cell.mailbox.unshift([env]);
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
    const writes: Write[] = [
      { k: "dead", env, error: why, at },
      {
        k: "audit",
        at,
        what: "message.dead",
        data: { actor: env.to, event: env.event.type, error: why },
      },
    ];
    if (env.durable) writes.push({ k: "taken", to: env.to, msg: env.msg, at });
    if (env.timer !== undefined) {
      this.#timers.unset(env.to, env.timer);
      writes.push({ k: "untimer", actor: env.to, name: env.timer });
    }
    cell.status = "live";
    this.#commit(cell, env, writes, () => {
      this.#reject(env, "internal", "the message was put aside: it failed three times");
      this.#options.notice(
        `A message (${env.event.type}) was put aside: it failed three times.`,
        env.to,
      );
    });
  }

  /** Its rows stay; who asks is told at once; it is tried again once an hour. */
  #down(cell: Cell, env: Envelope | undefined, why: string): void {
    cell.status = "down";
    if (env) cell.mailbox.unshift([env]);
    this.#refuseAsks(cell, why);
    this.#escalate(cell, why);
    this.due.set(`backoff:${cell.id}`, DOWN_PROBE_MS, () => {
      cell.status = "live";
      this.#wakeUp(cell);
    });
  }

  /** Whoever asks it is told at once; what is durable waits. */
  #refuseAsks({ id, mailbox }: Cell, why: string): void {
    for (let ask = mailbox.remove(isAsk); ask; ask = mailbox.remove(isAsk))
      this.#reject(ask, "actor-down", `${id} was stopped: ${why}`);
  }

  /** The owner hears of this one, or once of its whole kind. */
  #escalate(cell: Cell, why: string): void {
    const kind = cell.kind;
    const now = this.#options.clock.mono();
    const worse = this.#escalation.down(kind, cell.id, cell.lastError ?? why, now);
    if (worse) {
      this.#options.notice(
        `Many of kind ${kind} were stopped; none is woken but one a minute, until one succeeds. \`kith actors\` shows them.`,
        undefined,
      );
      for (const one of this.#cells.values())
        if (one.kind === kind && this.#held(one)) this.#refuseAsks(one, "as many of its kind");
      this.#probeLater(kind);
    } else if (!this.#escalation.degraded(kind))
      this.#options.notice(`${cell.id} was stopped: ${why}.`, cell.id);
  }

  /** Of a degraded kind only those that are awake go on, and the probe. */
  #held(cell: Cell): boolean {
    if (!this.#escalation.any || cell.awake) return false;
    const kind = cell.kind;
    return this.#escalation.degraded(kind) && this.#probes.get(kind) !== cell.id;
  }

  #probeLater(kind: string): void {
    this.due.set(`probe:${kind}`, KIND_PROBE_MS, () => {
      const last = this.#probes.get(kind);
      const waiting = [...this.#cells.values()].filter(
        (cell) => cell.kind === kind && !cell.awake && cell.mailbox.size > 0,
      );
      // In turn: the last one may be sick by itself.
      const next = waiting[(waiting.findIndex(({ id }) => id === last) + 1) % waiting.length];
      if (next) {
        this.#probes.set(kind, next.id);
        next.status = "live";
        this.#wakeUp(next);
      }
      this.#probeLater(kind);
    });
  }

  /** A probe's turn succeeded, or an operator says so: what waited may go on. */
  #wellAgain(kind: string): void {
    this.#probes.delete(kind);
    this.due.clear(`probe:${kind}`);
    if (!this.#escalation.over(kind)) return;
    this.#options.notice(`Those of kind ${kind} work again.`, undefined);
    for (const cell of this.#cells.values()) if (cell.kind === kind) this.#wakeUp(cell);
  }

  #reject(env: Envelope, code: ErrorCode, message: string): void {
    if (env.replyTo !== undefined) this.#asks.fail(env.replyTo, new KithError(code, message));
  }

  /** The disk refused and nothing was written: memory is read again, new work is refused. */
  #rolledBack(error: KithError): void {
    if (!this.#full)
      this.#options.notice(
        "The disk is full. What was accepted is safe; new work is refused.",
        undefined,
      );
    this.#full = error;
    this.#unconfirmed.clear();
    this.documents.reload();
    for (const cell of this.#cells.values()) {
      cell.table?.reload();
      // Their rows are there again, so they fire again.
      while (cell.mailbox.remove(isTimer)) continue;
    }
    this.#timers.reload(this.#options.store.timers());
    // One probe at a time: the first that commits opens the door again.
    this.due.set("disk-full", FULL_PROBE_MS, () => {
      this.#committer.add({
        writes: [{ k: "untimer", actor: "runtime/probe", name: "probe" }],
        after: () => this.#roomAgain(),
        undo: () => {},
      });
      this.#committer.flush();
    });
  }

  #roomAgain(): void {
    this.#full = undefined;
    for (const cell of this.#cells.values()) this.#wakeUp(cell);
    this.#soon();
  }

  /** Messages that did not fit into memory are read again from their rows. */
  #refill(cell: Cell): void {
    if (!cell.spilled || cell.mailbox.size > 0 || cell.inFlight > 0 || cell.left > 0) return;
    cell.spilled = false;
    for (const { env } of this.#options.store.inbox()) {
      // One whose commit was not yet confirmed comes by itself; now it would come twice.
      if (this.#unconfirmed.has(attemptKey(env)) || !this.#kind(env.to)) continue;
      if (this.#cell(env.to) === cell) this.#enqueue(env);
    }
  }

  #sweepLater(): void {
    this.due.set("sweep", SWEEP_MS, () => {
      this.sweep();
      this.#sweepLater();
    });
  }
}

const kindOf = (id: ActorId): string => id.slice(0, id.indexOf("/"));
const isAsk = (env: Envelope): boolean => env.replyTo !== undefined;
const isTimer = (env: Envelope): boolean => env.timer !== undefined;
const attemptKey = (env: Envelope): string => `${env.to} ${env.msg}`;

/** It may have happened and nobody can tell: the one end that is never guessed away. */
const inDoubt = (step: Step): StepFailed => ({
  type: "step.failed",
  step: step.id,
  op: step.op,
  failure: { code: "unknown", message: "the gateway stopped in the middle", effect: "unknown" },
});
