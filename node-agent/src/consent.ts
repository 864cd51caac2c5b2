/**
 * Questions to whoever sits at the device: may this call run, this once?
 *
 *   asked ─── answer yes | no ──► settled      by the terminal or node.sock; the first answer wins
 *     └────── 60 s, or the call ended ──► no
 */
import type { Clock } from "@kith/shared/clock";
import { MAX_AFTER_MS } from "@kith/shared/clock";

const PATIENCE_MS = 60_000;

export interface Question {
  readonly call: string;
  readonly cap: string;
  /** The whole question, as `question.ts` puts it: shown as it is. */
  readonly text: string;
  /** On our monotonic clock. */
  readonly until: number;
  /** Fires when it is settled, however. */
  readonly over: AbortSignal;
}

export class Consent {
  readonly #clock: Clock;
  readonly #open = new Map<string, { question: Question; settle: (yes: boolean) => void }>();
  readonly #listeners = new Set<(question: Question) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Oldest first. */
  get questions(): Question[] {
    return [...this.#open.values()].map(({ question }) => question);
  }

  /** Hears of each new question. Returns stop. */
  listen(listener: (question: Question) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether a person said yes. Silence is no; so is the end of the call. */
  ask(
    asked: Pick<Question, "call" | "cap" | "text">,
    leftMs: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const ended = new AbortController();
    const until = this.#clock.mono() + Math.min(PATIENCE_MS, leftMs);
    const question = { ...asked, until, over: ended.signal };
    let cancel = () => {};
    const settle = (yes: boolean): void => {
      cancel();
      ended.abort();
      signal.removeEventListener("abort", no);
      this.#open.delete(question.call);
      resolve(yes);
    };
    const no = () => settle(false);
    const wait = (): void => {
      const left = question.until - this.#clock.mono();
      if (left <= 0) return no();
      cancel = this.#clock.after(Math.min(left, MAX_AFTER_MS), wait);
    };
    this.#open.set(question.call, { question, settle });
    signal.addEventListener("abort", no, { once: true });
    if (signal.aborted) no();
    else {
      wait();
      for (const listener of this.#listeners) listener(question);
    }
    return promise;
  }

  /** False when nobody asks that (any more). */
  answer(call: string, yes: boolean): boolean {
    const open = this.#open.get(call);
    open?.settle(yes);
    return open !== undefined;
  }

  leftMs(question: Question): number {
    return Math.max(0, Math.round(question.until - this.#clock.mono()));
  }
}
