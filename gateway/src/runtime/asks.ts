/**
 * Questions to actors by somebody who waits: bounded by a deadline, settled after the
 * callee's commit, gone after a restart. Work that must survive uses `tell` instead.
 */
import { type ErrorCode, KithError } from "@kith/shared/errors";
import type { Deadline, Due } from "./due.ts";

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: KithError) => void;
  readonly deadline: Deadline;
  readonly release: () => void;
}

export interface AskOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export class Asks {
  readonly #due: Due;
  readonly #waiters = new Map<string, Waiter>();

  constructor(due: Due) {
    this.#due = due;
  }

  /** `cancel` runs when the asker gives up, so that a question still queued is never run. */
  wait(replyTo: string, options: AskOptions, cancel: () => void): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const giveUp = (code: ErrorCode, message: string): void => {
      if (!this.fail(replyTo, new KithError(code, message))) return;
      cancel();
    };
    const abort = () => giveUp("cancelled", "the question was withdrawn");
    this.#waiters.set(replyTo, {
      resolve,
      reject,
      deadline: this.#due.after(options.deadlineMs, () => giveUp("timeout", "no answer in time")),
      release: () => options.signal?.removeEventListener("abort", abort),
    });
    options.signal?.addEventListener("abort", abort, { once: true });
    if (options.signal?.aborted) abort();
    return promise;
  }

  /** A late reply, after deadline or restart, is dropped. */
  settle(replyTo: string, value: unknown): void {
    this.#take(replyTo)?.resolve(value);
  }

  /** False once it was settled or given up: whoever asked has gone. */
  waits(replyTo: string): boolean {
    return this.#waiters.has(replyTo);
  }

  stop(): void {
    for (const replyTo of this.#waiters.keys()) {
      this.fail(replyTo, new KithError("gateway-away", "the gateway stops"));
    }
  }

  fail(replyTo: string, error: KithError): boolean {
    const waiter = this.#take(replyTo);
    waiter?.reject(error);
    return waiter !== undefined;
  }

  #take(replyTo: string): Waiter | undefined {
    const waiter = this.#waiters.get(replyTo);
    if (!waiter) return undefined;
    this.#waiters.delete(replyTo);
    this.#due.cancel(waiter.deadline);
    waiter.release();
    return waiter;
  }
}
