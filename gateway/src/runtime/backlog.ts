/**
 * Steps that the last process left, taken up a few at a time, so that 100,000 replies which nobody
 * has read do not stand before whoever comes first.
 *
 *   on disk ── some, each turn of the event loop ──► outbox
 *   a new step whose order is among them ── waits here until all are taken up ──► outbox
 */
import type { Step, Store } from "./store.ts";

/** Taken up at once: a millisecond of work. */
const AT_ONCE = 64;

export class Backlog {
  readonly #soon: (fn: () => void) => void;
  #left: Iterator<Step> | undefined;
  #orders: ReadonlySet<string> = new Set();
  #held: Step[] = [];

  /** `soon`: in a later turn of the event loop. */
  constructor(soon: (fn: () => void) => void) {
    this.#soon = soon;
  }

  /** `resume` gets each step of an earlier process, oldest first; `submit` then the new ones that waited. */
  takeUp(
    store: Pick<Store, "steps" | "openOrders">,
    resume: (step: Step) => void,
    submit: (step: Step) => void,
  ): void {
    this.#orders = store.openOrders();
    this.#left = store.steps()[Symbol.iterator]();
    this.#soon(() => this.#more(resume, submit));
  }

  /** Whether a new step has to wait here. */
  holds(step: Step): boolean {
    if (!this.#left || step.order === undefined || !this.#orders.has(step.order)) return false;
    this.#held.push(step);
    return true;
  }

  /** Nothing more is taken up: it stays on disk. Returns what that is. */
  stop(): readonly Step[] {
    const left: Step[] = [];
    for (let next = this.#left?.next(); next && !next.done; next = this.#left?.next())
      left.push(next.value);
    this.#left = undefined;
    this.#held = [];
    return left;
  }

  #more(resume: (step: Step) => void, submit: (step: Step) => void): void {
    for (let n = 0; n < AT_ONCE; n++) {
      const next = this.#left?.next();
      if (!next) return;
      if (next.done) {
        this.#left = undefined;
        for (const step of this.#held.splice(0)) submit(step);
        return;
      }
      resume(next.value);
    }
    this.#soon(() => this.#more(resume, submit));
  }
}
