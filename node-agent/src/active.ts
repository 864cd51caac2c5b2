/** A call while it is under way, and what can end it early. */
import { type Clock, MAX_AFTER_MS } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Invoke } from "@kith/shared/protocol/call";
import type { AnyDriver } from "./drivers/driver.ts";

/** A call between its `invoke` and its terminal frame. */
export class Active {
  readonly invoke: Invoke;
  readonly driver: AnyDriver;
  readonly args: unknown;
  /** On the monotonic clock: of the call while a person is asked, of the driver from then on. */
  endsAt: number;
  phase: "received" | "asking" | "running" = "received";
  /** Why it was stopped, when it was. */
  why: KithError | undefined;
  /** A driver was started: from now on something may have happened. */
  started = false;
  #abort: AbortController | undefined;
  readonly #stops: ((why: KithError) => void)[] = [];

  constructor(invoke: Invoke, driver: AnyDriver, args: unknown, endsAt: number) {
    this.invoke = invoke;
    this.driver = driver;
    this.args = args;
    this.endsAt = endsAt;
  }

  /** Fires when it is stopped. Made when somebody looks: most drivers are done before they would. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.why) this.#abort.abort(this.why);
    }
    return this.#abort.signal;
  }

  /** Hears of the stop, also of one that was. */
  onStop(heard: (why: KithError) => void): void {
    if (this.why) heard(this.why);
    else this.#stops.push(heard);
  }

  /** The first reason counts. */
  stop(why: KithError): void {
    if (this.why) return;
    this.why = why;
    this.#abort?.abort(why);
    for (const heard of this.#stops.splice(0)) heard(why);
  }

  /** @throws KithError the reason */
  throwIfStopped(): void {
    if (this.why) throw this.why;
  }
}

/** Ends calls when their time is over. One timer for all: most calls are done long before. */
export class Deadlines {
  readonly #calls: Iterable<Active>;
  readonly #clock: Clock;
  /** When the timer looks. */
  #at = Number.POSITIVE_INFINITY;
  #cancel = () => {};

  /** `calls`: those under way, looked at whenever the timer fires. */
  constructor(calls: Iterable<Active>, clock: Clock) {
    this.#calls = calls;
    this.#clock = clock;
  }

  /** One of the calls has an end, or an earlier one than before. */
  watch({ endsAt }: Active): void {
    if (endsAt >= this.#at) return;
    this.#cancel();
    this.#at = endsAt;
    const left = Math.max(0, endsAt - this.#clock.mono());
    this.#cancel = this.#clock.after(Math.min(left, MAX_AFTER_MS), () => this.#look());
  }

  #look(): void {
    this.#at = Number.POSITIVE_INFINITY;
    const now = this.#clock.mono();
    for (const active of this.#calls)
      if (active.endsAt > now) this.watch(active);
      else active.stop(new KithError("timeout", "it did not finish in time"));
  }
}
