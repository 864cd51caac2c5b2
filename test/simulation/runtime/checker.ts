/**
 * What must hold in every run, checked from the commits alone: it knows nothing of the runtime's
 * memory and folds what was committed by itself.
 */
import type { ActorId, Effect, Envelope, Event } from "@kith/gateway/runtime/effect";
import type { Write } from "@kith/gateway/runtime/store";
import type { Run, World } from "../../support/world.ts";
import { type Events, logOf, textOf } from "../../runtime/diary.ts";

interface Asked {
  readonly text: string;
  readonly deadline: number;
  readonly process: number;
  settledAt?: number;
  outcome?: string;
}

/** Unlike the text of a failure, which names its code, this is of one message alone. */
const nameOf = (event: Events & { readonly step?: string }): string =>
  event.type === "step.failed" ? `f${event.step}` : textOf(event);

type Step = Extract<Write, { k: "step" }>["step"];

export class Checker {
  readonly #world: World;
  /** The first few are enough: whatever comes after is mostly their consequence. */
  readonly violations: string[] = [];
  /** What happened just before the first of them. */
  story: readonly string[] | undefined;
  readonly acked = new Set<string>();
  readonly asks: Asked[] = [];
  /** Ends of messages by text: how often it was applied, how often put aside. */
  readonly #applied = new Map<string, number>();
  readonly #dead = new Map<string, number>();
  /** When its turn ran. */
  readonly #at = new Map<string, number>();
  readonly #logs = new Map<ActorId, string[]>();
  readonly #timers = new Map<string, string>();
  readonly #tallies = new Map<string, string[]>();
  /** What committed turns tell others, by text: whose it is, and its number among all of theirs. */
  readonly #owed = new Map<string, { readonly between: string; readonly n: number }>();
  /** The newest number that arrived, by sender and receiver. */
  readonly #told = new Map<string, number>();
  readonly #steps = new Map<string, Step>();
  readonly #newest = new Map<ActorId, number>();
  readonly #ends = new Map<string, number>();
  readonly #runs = new Map<string, number>();
  /** Steps that each process began: `process step`. */
  readonly #began = new Set<string>();
  readonly #stepEffects = { owed: 0 };
  readonly #failures = new Map<string, { tries: number; lost: number }>();
  #unsaved: string[] = [];
  #saving: string[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  broken(what: string): void {
    this.story ??= this.#world.recent;
    if (this.violations.length < 5) this.violations.push(`${this.#world.mono} ms: ${what}`);
  }

  /** A batch is handed to the disk: from here on it carries every try that was counted before. */
  committing(): void {
    this.#saving = [...this.#saving, ...this.#unsaved];
    this.#unsaved = [];
  }

  /** A crash or a rollback: tries whose count was not on disk are forgotten, and that is right. */
  forgotten(): void {
    for (const text of [...this.#saving, ...this.#unsaved]) {
      const entry = this.#failures.get(text);
      if (entry) entry.lost++;
    }
    this.#saving = [];
    this.#unsaved = [];
  }

  failed(text: string): void {
    const entry = this.#failures.get(text) ?? { tries: 0, lost: 0 };
    this.#failures.set(text, entry);
    entry.tries++;
    // Only rows have a count on disk: of what is volatile, each process has three tries.
    const most = /^[mw]/.test(text)
      ? 3 + entry.lost
      : 3 * (1 + this.#world.crashes) + this.#world.rollbacks;
    if (entry.tries > most) {
      this.broken(`${text} was tried ${entry.tries} times, ${entry.lost} counts were lost`);
    }
    this.#unsaved.push(text);
  }

  committed(writes: readonly Write[]): void {
    this.#saving = [];
    for (const write of writes) {
      switch (write.k) {
        case "journal":
          // What failed changed nothing.
          if (write.event.type === "runtime.crashed") break;
          this.#turn(write.actor, write.event as Events & Event, write.at);
          break;
        case "actor": {
          // The journal row comes after it in the same turn.
          const next = writes[writes.indexOf(write) + 1];
          if (next?.k !== "journal") this.broken(`${write.id} changed without a journal row`);
          break;
        }
        case "dead":
          this.#put(write.env);
          break;
        case "step":
          this.#steps.set(write.step.id, write.step);
          break;
        case "stepEnd":
          this.#ends.set(write.id, (this.#ends.get(write.id) ?? 0) + 1);
          if (this.#ends.get(write.id) !== 1) this.broken(`step ${write.id} ended twice`);
          break;
        case "put":
          if (write.table === "call") this.#tally(write.id, write.body as string[]);
          break;
        default:
      }
    }
    for (const write of writes.toReversed()) if (write.k === "actor") this.#compare(write);
  }

  #compare(write: Extract<Write, { k: "actor" }>): void {
    // Only the newest of a batch can be compared with what all its turns made of it.
    const log = this.#logs.get(write.id) ?? [];
    if (write.seq !== log.length) {
      if (write.seq > log.length)
        this.broken(`${write.id} has seq ${write.seq} after ${log.length} turns`);
      return;
    }
    const state = logOf(write.snapshot);
    if (state.join() !== log.join()) {
      this.broken(`${write.id} holds ${state.join()}, its messages make ${log.join()}`);
    }
  }

  #turn(actor: ActorId, event: Events & Event, at: number): void {
    const text = nameOf(event);
    const log = this.#logs.get(actor) ?? [];
    this.#logs.set(actor, log);
    log.push(textOf(event));
    this.#at.set(text, at);
    this.#arrive(actor, text);
    this.#applied.set(text, (this.#applied.get(text) ?? 0) + 1);
    if (event.type === "note") this.#owe(actor, event.effects ?? []);
  }

  #put({ to, event }: Envelope): void {
    const text = nameOf(event as Events);
    this.#arrive(to, text);
    this.#dead.set(text, (this.#dead.get(text) ?? 0) + 1);
  }

  /** The end of a message, applied or dead: it was due, and it is in its place. */
  #arrive(actor: ActorId, text: string): void {
    const kind = text[0];
    const before = (this.#applied.get(text) ?? 0) + (this.#dead.get(text) ?? 0);
    if (before > 0) this.broken(`${text} was handled twice`);
    if (kind === "m") {
      const n = Number(text.slice(text.indexOf(".") + 1));
      if (n <= (this.#newest.get(actor) ?? -1))
        this.broken(`${text} came after ${this.#newest.get(actor)}`);
      this.#newest.set(actor, n);
    }
    if (kind === "w") {
      const owed = this.#owed.get(text);
      if (!owed) return this.broken(`${text} came from a turn that is not on disk`);
      if (owed.n < (this.#told.get(owed.between) ?? -1)) {
        this.broken(`${text} was overtaken between ${owed.between}`);
      }
      this.#told.set(owed.between, owed.n);
    }
    if (kind === "t") {
      const name = text.slice(1, text.indexOf("."));
      if (this.#timers.get(`${actor} ${name}`) !== text) {
        this.broken(
          `${text} fired, but ${this.#timers.get(`${actor} ${name}`) ?? "nothing"} is set`,
        );
      }
      this.#timers.delete(`${actor} ${name}`);
    }
  }

  #owe(actor: ActorId, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === "tell") {
        const text = textOf(effect.event as Events);
        this.#owed.set(text, { between: `${actor} and ${effect.to}`, n: this.#owed.size });
      }
      if (effect.kind === "timer")
        this.#timers.set(`${actor} ${effect.name}`, textOf(effect.event as Events));
      if (effect.kind === "untimer") this.#timers.delete(`${actor} ${effect.name}`);
      if (effect.kind === "step") this.#stepEffects.owed++;
    }
  }

  #tally(id: string, body: readonly string[]): void {
    const before = this.#tallies.get(id) ?? [];
    if (body.slice(0, -1).join() !== before.join()) {
      this.broken(`tally ${id} became ${body.join()} after ${before.join()}`);
    }
    this.#tallies.set(id, [...body]);
    const text = body.at(-1) ?? "";
    this.#arrive(`tally/${id}`, text);
    this.#applied.set(text, 1);
  }

  /** Something left for the outside. */
  ran(run: Run, open: readonly Run[]): void {
    const step = this.#steps.get(run.key);
    if (!step) return this.broken(`step ${run.key} left before its commit`);
    if (this.#ends.has(run.key)) this.broken(`step ${run.key} ran although its end is on disk`);
    const runs = (this.#runs.get(run.key) ?? 0) + 1;
    this.#runs.set(run.key, runs);
    const most = step.class === "once" ? 1 : 1 + this.#world.crashes;
    if (runs > most) this.broken(`a ${step.class} step ran ${runs} times`);
    if (step.expiresAt < run.at) this.broken(`a step ran ${run.at - step.expiresAt} ms too late`);
    this.#began.add(`${run.process} ${run.key}`);
    if (step.order === undefined) return;
    this.#inOrder(run, step);
    const beside = open.some(
      (other) => other.process === run.process && this.#steps.get(other.key)?.order === step.order,
    );
    if (beside) this.broken(`two steps of order ${step.order} ran at once`);
  }

  /** Those of its order that were owed earlier have ended, or began before it. What is in doubt ends beside it. */
  #inOrder({ key, process, at }: Run, { order }: Step): void {
    for (const [id, other] of this.#steps) {
      if (id === key) return;
      if (other.order !== order || other.class === "once" || other.expiresAt <= at) continue;
      if (!this.#ends.has(id) && !this.#began.has(`${process} ${id}`))
        this.broken(`a step of order ${order} overtook an older one`);
    }
  }

  answered(asked: Asked, outcome: string): void {
    if (asked.settledAt !== undefined) this.broken(`${asked.text} was answered twice`);
    asked.settledAt = this.#world.now;
    asked.outcome = outcome;
    if (outcome === "ok" && !this.#applied.has(asked.text)) {
      this.broken(`${asked.text} was answered before its commit`);
    }
  }

  /** When all is quiet: nothing is missing. */
  finish(diedAt: ReadonlyMap<number, number>): void {
    const { disk, now } = this.#world;
    const ends = (text: string) => (this.#applied.get(text) ?? 0) + (this.#dead.get(text) ?? 0);
    for (const text of this.acked)
      if (ends(text) !== 1) this.broken(`${text} was acknowledged and ended ${ends(text)} times`);
    for (const text of this.#owed.keys())
      if (ends(text) !== 1) this.broken(`${text} was told and ended ${ends(text)} times`);
    for (const text of this.#timers.values()) this.broken(`${text} never fired`);
    if (disk.inbox.size > 0)
      this.broken(`${disk.inbox.size} messages wait for ever: ${[...disk.inbox.keys()].join()}`);
    if (disk.timers.size > 0) this.broken(`${disk.timers.size} timers are left on disk`);
    if (this.#steps.size !== this.#stepEffects.owed)
      this.broken(`${this.#steps.size} steps for ${this.#stepEffects.owed} asked for`);
    for (const [id, step] of this.#steps) {
      if (this.#ends.get(id) !== 1) this.broken(`a ${step.class} step has no end`);
      if (ends(`s${id}`) !== 1 && ends(`f${id}`) !== 1)
        this.broken(`nobody heard how step ${id} ended`);
      if (step.class === "once" && !this.#runs.has(id) && ends(`s${id}`) > 0)
        this.broken(`step ${id} is done but never ran`);
    }
    for (const [id, saved] of disk.actors) {
      const log = this.#logs.get(id) ?? [];
      if (logOf(saved.snapshot).join() !== log.join())
        this.broken(`${id} is not the fold of its messages`);
    }
    for (const { text, deadline, process, settledAt, outcome } of this.asks) {
      const end = diedAt.get(process) ?? now;
      if (settledAt === undefined && end > deadline + 100)
        this.broken(`${text} was never answered`);
      if (settledAt !== undefined && settledAt > deadline + 100)
        this.broken(`${text} was answered too late`);
      const at = this.#at.get(text);
      const gone = outcome === "timeout" || outcome === "cancelled";
      if (gone && at !== undefined && settledAt !== undefined && at > settledAt) {
        this.broken(`${text} ran after it was withdrawn`);
      }
    }
  }
}
