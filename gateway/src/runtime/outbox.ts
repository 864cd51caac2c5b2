/**
 * Steps: effects on the outside whose intent is on disk. Each is brought there by the
 * performer of its kind; its result comes back as a durable message to the actor that asked.
 */
import type { Clock } from "@kith/shared/clock";
import { type Failure, KithError, toFailure } from "@kith/shared/errors";
import { crashpoint } from "./crashpoint.ts";
import type { Due } from "./due.ts";
import type { ActorId, Event } from "./effect.ts";
import { Fifo } from "./fifo.ts";
import type { Step, StepEnd } from "./store.ts";

/** Brings one sort of step to the outside. `key` is the same on every try. */
export interface Performer {
  readonly op: string;
  /** Steps that may run at once; those of equal `order` never do. */
  readonly parallel: number;
  /**
   * Resolves with the event for the actor. A `KithError` is the step's failure; anything else
   * is a defect, logged and told as `internal`.
   */
  run(step: { readonly key: string; readonly args: unknown }, signal: AbortSignal): Promise<Event>;
}

/** How a step that did not work is told to its actor. */
export interface StepFailed extends Event {
  readonly type: "step.failed";
  readonly step: string;
  readonly op: string;
  readonly failure: Failure;
}

/** A performer whose own code failed this often in so long is degraded: its steps wait. */
const MOST_DEFECTS = 10;
const DEFECTS_WITHIN_MS = 60_000;
/** Then it gets one step to try, later each time. */
const FIRST_PROBE_MS = 250;
const LAST_PROBE_MS = 60_000;

export interface OutboxOptions {
  readonly clock: Clock;
  readonly due: Due;
  readonly settle: (step: Step, state: StepEnd, event: Event) => void;
  readonly report: (what: string, error: unknown) => void;
  /** What the owner should hear: a performer that is degraded. */
  readonly notice: (text: string) => void;
}

/** A step in memory. One that is over may still stand in a queue, which then passes it by. */
interface Entry {
  readonly step: Step;
  readonly order: string | undefined;
  state: "waiting" | "running" | "over";
  stop?: AbortController;
}

/** The steps of one kind. Many thousands may wait, so nothing here looks at all of them. */
interface Queue {
  running: number;
  /** When its performer failed by a defect (monotonic ms), the last minute's. */
  defects: number[];
  /** Set while it is degraded: how long the probe waits, whether it may begin now, and which step it is. */
  probe?: { readonly waitMs: number; open: boolean; step?: string };
  /** May begin as soon as there is room. */
  readonly ready: Fifo<Entry>;
  /** By order, behind the one that is ready or runs. An order that nobody holds has no key. */
  readonly behind: Map<string, Fifo<Entry>>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #performers = new Map<string, Performer>();
  readonly #queues = new Map<string, Queue>();
  readonly #entries = new Map<string, Entry>();
  #stopped = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  add(performer: Performer): void {
    this.#performers.set(performer.op, performer);
    this.#pump(performer.op);
  }

  /** Takes over a step that is on disk: after its turn's commit, or at boot. */
  submit(step: Step): void {
    if (this.#stopped) return;
    const entry: Entry = { step, order: step.order, state: "waiting" };
    this.#entries.set(step.id, entry);
    const queue = this.#queue(step.op);
    const behind = entry.order === undefined ? undefined : queue.behind.get(entry.order);
    if (behind) behind.push(entry);
    else {
      if (entry.order !== undefined) queue.behind.set(entry.order, new Fifo());
      queue.ready.push(entry);
    }
    this.#options.due.set(`step:${step.id}`, step.expiresAt - this.#options.clock.now(), () =>
      this.#expire(entry),
    );
    this.#pump(step.op);
  }

  /** By performer: how many run, and how many wait for room or for their order. */
  counts(): { op: string; running: number; waiting: number; degraded: boolean }[] {
    const waiting = new Map<string, number>();
    for (const { state, step } of this.#entries.values())
      if (state === "waiting") waiting.set(step.op, (waiting.get(step.op) ?? 0) + 1);
    const ops = new Set([...this.#performers.keys(), ...this.#queues.keys()]);
    return [...ops].sort().map((op) => ({
      op,
      running: this.#queues.get(op)?.running ?? 0,
      waiting: waiting.get(op) ?? 0,
      degraded: this.#queues.get(op)?.probe !== undefined,
    }));
  }

  /** An operator says that this performer may go on. False: there is none. */
  restart(op: string): boolean {
    if (!this.#performers.has(op)) return false;
    this.#well(op, this.#queue(op));
    return true;
  }

  /** Aborts what runs of these, for this actor or for all: nobody wants it any more. What has not begun stays. */
  abort(ops: readonly string[], why: KithError, actor?: ActorId): void {
    for (const { state, step, stop } of this.#entries.values())
      if (state === "running" && ops.includes(step.op) && (!actor || step.actor === actor))
        stop?.abort(why);
  }

  /** Begins nothing more and aborts what runs. Returns what that leaves in doubt. */
  stop(): readonly Step[] {
    if (this.#stopped) return [];
    this.#stopped = true;
    const cut = [...this.#entries.values()].filter(({ state }) => state === "running");
    for (const { stop } of cut) stop?.abort();
    return cut.map(({ step }) => step).filter((step) => step.class === "once");
  }

  #queue(op: string): Queue {
    const known = this.#queues.get(op);
    if (known) return known;
    const made: Queue = { running: 0, defects: [], ready: new Fifo(), behind: new Map() };
    this.#queues.set(op, made);
    return made;
  }

  #pump(op: string): void {
    const performer = this.#performers.get(op);
    const queue = this.#queue(op);
    while (performer && !this.#stopped && queue.running < performer.parallel) {
      if (queue.probe?.open === false) return;
      const entry = queue.ready.shift();
      if (!entry) return;
      if (entry.state === "waiting" && entry.step.expiresAt <= this.#options.clock.now())
        this.#expired(entry);
      if (entry.state === "waiting") {
        if (queue.probe) Object.assign(queue.probe, { open: false, step: entry.step.id });
        void this.#run(performer, queue, entry);
      } else this.#follow(queue, entry);
    }
  }

  /** The next one of its order may begin. */
  #follow(queue: Queue, { order }: Entry): void {
    if (order === undefined) return;
    const next = queue.behind.get(order)?.shift();
    if (next) queue.ready.push(next);
    else queue.behind.delete(order);
  }

  async #run(performer: Performer, queue: Queue, entry: Entry): Promise<void> {
    const { step } = entry;
    const stop = new AbortController();
    entry.stop = stop;
    entry.state = "running";
    queue.running++;
    let state: StepEnd = "done";
    let event: Event;
    let defect: unknown;
    try {
      crashpoint(`ob.send ${step.op}`);
      event = await performer.run({ key: step.id, args: step.args }, stop.signal);
    } catch (error) {
      if (!(error instanceof KithError)) {
        this.#options.report(`step ${step.op}`, error);
        defect = error;
      }
      state = error instanceof KithError && error.code === "expired" ? "expired" : "failed";
      event = failed(step, toFailure(error, step.class === "once" ? "unknown" : "none"));
    } finally {
      queue.running--;
      this.#follow(queue, entry);
    }
    if (this.#stopped) return;
    crashpoint(`ob.sent ${step.op}`);
    if (defect !== undefined) this.#failed(step, queue, defect);
    else if (queue.probe?.step === step.id) this.#well(step.op, queue);
    this.#over(entry, state, event);
    this.#pump(step.op);
  }

  /** The performer itself is at fault: what waits shall not fail with it, one by one. */
  #failed({ id, op }: Step, queue: Queue, defect: unknown): void {
    const now = this.#options.clock.mono();
    queue.defects = [...queue.defects.filter((at) => now - at < DEFECTS_WITHIN_MS), now];
    // Those that ran beside the probe say nothing new.
    if (queue.probe ? queue.probe.step !== id : queue.defects.length < MOST_DEFECTS) return;
    if (!queue.probe) {
      const why = defect instanceof Error ? defect.name : "a defect";
      this.#options.notice(
        `“${op}” failed ${MOST_DEFECTS} times within a minute (${why}). What needs it waits; it is tried again by itself.`,
      );
    }
    const waitMs = queue.probe ? Math.min(LAST_PROBE_MS, queue.probe.waitMs * 2) : FIRST_PROBE_MS;
    const probe = { waitMs, open: false };
    queue.probe = probe;
    this.#options.due.set(`probe:performer/${op}`, waitMs, () => {
      probe.open = true;
      this.#pump(op);
    });
  }

  #well(op: string, queue: Queue): void {
    queue.defects = [];
    delete queue.probe;
    this.#options.due.clear(`probe:performer/${op}`);
    this.#pump(op);
  }

  #expire(entry: Entry): void {
    if (entry.state === "running")
      entry.stop?.abort(new KithError("expired", "it waited too long"));
    else if (entry.state === "waiting") this.#expired(entry);
  }

  #expired(entry: Entry): void {
    const failure: Failure = {
      code: "expired",
      message: "it waited too long and was dropped",
      effect: "none",
    };
    this.#over(entry, "expired", failed(entry.step, failure));
  }

  #over(entry: Entry, state: StepEnd, event: Event): void {
    entry.state = "over";
    this.#entries.delete(entry.step.id);
    this.#options.due.clear(`step:${entry.step.id}`);
    this.#options.settle(entry.step, state, event);
  }
}

function failed(step: Step, failure: Failure): StepFailed {
  return { type: "step.failed", step: step.id, op: step.op, failure };
}
