/** For callers that wait at the control socket: from a request to how it ended. */
import { KithError } from "@kith/shared/errors";
import type { Id } from "@kith/shared/ids";
import type { Runtime } from "../runtime/runtime.ts";
import type { Request } from "../invocations/request.ts";
import type { Outcome } from "../invocations/outcome.ts";
import { ended } from "../invocations/call.ts";

/** Longer than any call: deadline, grace and a device that is slow to come back. */
const MOST_MS = 20 * 60_000;

export class Waiting {
  readonly #runtime: Runtime;
  readonly #waiters = new Map<string, Set<(outcome: Outcome) => void>>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    runtime.on<Outcome>("call.ended", (outcome) => this.#over(outcome.call, outcome));
    // A read that was tried again goes on under another id: whoever waits, waits for that.
    runtime.on<{ call: string; by: string }>("call.replaced", ({ call, by }) => {
      const set = this.#waiters.get(call);
      if (!set) return;
      this.#waiters.delete(call);
      this.#waiters.set(by, set);
    });
  }

  /** Makes the call. Resolves when it ended, or at once with state `asked` when the owner must say yes first. */
  async request(
    id: Id,
    request: Request,
  ): Promise<{ first: Outcome; end: Promise<Outcome>; forget: () => void }> {
    const { end, forget } = this.until(id);
    try {
      const first = await this.#runtime.ask<Outcome>(
        `invocation/${id}`,
        { type: "call.requested", request } as never,
        { deadlineMs: 10_000 },
      );
      if (first.state === "denied" || ended.has(first.state as never)) {
        forget();
        return { first, end: Promise.resolve(first), forget };
      }
      return { first, end, forget };
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** Resolves when this call ends, also as `unknown`. @throws KithError timeout */
  until(id: string): { end: Promise<Outcome>; forget: () => void } {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const set = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, set);
    const hear = (outcome: Outcome) => {
      this.#runtime.due.cancel(deadline);
      resolve(outcome);
    };
    set.add(hear);
    const forget = () => {
      this.#runtime.due.cancel(deadline);
      set.delete(hear);
      if (set.size === 0 && this.#waiters.get(id) === set) this.#waiters.delete(id);
    };
    const deadline = this.#runtime.due.after(MOST_MS, () => {
      forget();
      reject(new KithError("timeout", "the call has not ended; ask `kith why` about it"));
    });
    // Nobody may be waiting yet when it is given up.
    promise.catch(() => {});
    return { end: promise, forget };
  }

  #over(id: string, outcome: Outcome): void {
    const set = this.#waiters.get(id);
    this.#waiters.delete(id);
    for (const hear of set ?? []) hear(outcome);
  }
}
