/**
 * Steps: effects on the outside whose intent is on disk. Each is brought there by the
 * performer of its kind; its result comes back as a durable message to the actor that asked.
 */
import type { Clock } from "@kith/shared/clock";
import { type Failure, KithError, toFailure } from "@kith/shared/errors";
import { crashpoint } from "./crashpoint.ts";
import type { Due } from "./due.ts";
import type { Event } from "./effect.ts";
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

export interface OutboxOptions {
  readonly clock: Clock;
  readonly due: Due;
  readonly settle: (step: Step, state: StepEnd, event: Event) => void;
  readonly report: (what: string, error: unknown) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #performers = new Map<string, Performer>();
  readonly #waiting = new Map<string, Step[]>();
  readonly #running = new Map<string, { step: Step; stop: AbortController }>();
  readonly #orders = new Set<string>();
  #stopped = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  add(performer: Performer): void {
    this.#performers.set(performer.op, performer);
    this.#pump(performer.op);
  }

  get open(): readonly Step[] {
    return [
      ...[...this.#running.values()].map(({ step }) => step),
      ...[...this.#waiting.values()].flat(),
    ];
  }

  /** Takes over a step that is on disk: after its turn's commit, or at boot. */
  submit(step: Step): void {
    if (this.#stopped) return;
    const list = this.#waiting.get(step.op) ?? [];
    list.push(step);
    this.#waiting.set(step.op, list);
    this.#options.due.set(`step:${step.id}`, step.expiresAt - this.#options.clock.now(), () =>
      this.#expire(step),
    );
    this.#pump(step.op);
  }

  /** Begins nothing more and aborts what runs. Returns what that leaves in doubt. */
  stop(): readonly Step[] {
    this.#stopped = true;
    const cut = [...this.#running.values()];
    for (const { stop } of cut) stop.abort();
    return cut.map(({ step }) => step).filter((step) => step.class === "once");
  }

  #pump(op: string): void {
    const performer = this.#performers.get(op);
    const list = this.#waiting.get(op);
    if (!performer || !list || this.#stopped) return;
    for (let at = 0; at < list.length;) {
      const running = [...this.#running.values()].filter(({ step }) => step.op === op).length;
      if (running >= performer.parallel) return;
      const step = list[at];
      if (!step) return;
      const order = step.order === undefined ? undefined : `${op}:${step.order}`;
      if (order !== undefined && this.#orders.has(order)) {
        at++;
        continue;
      }
      list.splice(at, 1);
      if (step.expiresAt <= this.#options.clock.now()) {
        this.#expired(step);
        continue;
      }
      if (order !== undefined) this.#orders.add(order);
      void this.#run(performer, step, order);
    }
  }

  async #run(performer: Performer, step: Step, order: string | undefined): Promise<void> {
    const stop = new AbortController();
    this.#running.set(step.id, { step, stop });
    let state: StepEnd = "done";
    let event: Event;
    try {
      crashpoint(`ob.send ${step.op}`);
      event = await performer.run({ key: step.id, args: step.args }, stop.signal);
    } catch (error) {
      if (!(error instanceof KithError)) this.#options.report(`step ${step.op}`, error);
      state = error instanceof KithError && error.code === "expired" ? "expired" : "failed";
      event = failed(step, toFailure(error, step.class === "once" ? "unknown" : "none"));
    } finally {
      this.#running.delete(step.id);
      if (order !== undefined) this.#orders.delete(order);
    }
    if (this.#stopped) return;
    this.#options.due.clear(`step:${step.id}`);
    crashpoint(`ob.sent ${step.op}`);
    this.#options.settle(step, state, event);
    this.#pump(step.op);
  }

  #expire(step: Step): void {
    const running = this.#running.get(step.id);
    if (running) return running.stop.abort(new KithError("expired", "it waited too long"));
    const list = this.#waiting.get(step.op);
    const at = list?.findIndex(({ id }) => id === step.id) ?? -1;
    if (!list || at < 0) return;
    list.splice(at, 1);
    this.#expired(step);
  }

  #expired(step: Step): void {
    this.#options.due.clear(`step:${step.id}`);
    this.#options.settle(
      step,
      "expired",
      failed(step, {
        code: "expired",
        message: "it waited too long and was dropped",
        effect: "none",
      }),
    );
  }
}

function failed(step: Step, failure: Failure): StepFailed {
  return { type: "step.failed", step: step.id, op: step.op, failure };
}
