/** A call while it is under way, and what can end it early. */
import { type Clock, MAX_AFTER_MS } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Invoke } from "@kith/shared/protocol/call";
import type { AnyDriver } from "./drivers/driver.ts";

/** A call between its `invoke` and its terminal frame. */
export interface Active {
  readonly invoke: Invoke;
  readonly driver: AnyDriver;
  readonly args: unknown;
  readonly abort: AbortController;
  /** On the monotonic clock: of the call while a person is asked, of the driver from then on. */
  endsAt: number;
  phase: "received" | "asking" | "running";
  /** Why it was stopped, when it was. */
  why?: KithError;
  /** A driver was started: from now on something may have happened. */
  started: boolean;
}

/** The first reason counts. */
export function stop(active: Active, why: KithError): void {
  if (active.why) return;
  active.why = why;
  active.abort.abort(why);
}

/** Ends the call when its time is over. Returns cancel. */
export function stopAtDeadline(active: Active, clock: Clock): () => void {
  let cancel = () => {};
  const look = (): void => {
    const left = active.endsAt - clock.mono();
    if (left <= 0) return stop(active, new KithError("timeout", "it did not finish in time"));
    cancel = clock.after(Math.min(left, MAX_AFTER_MS), look);
  };
  look();
  return () => cancel();
}
