/** "Too often lately?": how many times something happened within a window, exactly. */
import { type Clock, MAX_AFTER_MS } from "@kith/shared/clock";

export interface Recent {
  /** Counts one and returns when (monotonic ms). Undefined, and nothing is counted, when there were `most` in the window already. */
  hit(): number | undefined;
  /** Takes back what a `hit` returned, if the window still has it. */
  forgive(hit: number): void;
  /** Whether anything of the window is left. */
  readonly idle: boolean;
}

export function recent(clock: Clock, most: number, windowMs: number): Recent {
  let times: number[] = [];
  const prune = () => {
    const from = clock.mono() - windowMs;
    if ((times[0] ?? Infinity) <= from) times = times.filter((at) => at > from);
  };
  return {
    hit() {
      prune();
      if (times.length >= most) return undefined;
      const now = clock.mono();
      times.push(now);
      return now;
    },
    forgive(at) {
      const index = times.indexOf(at);
      if (index >= 0) times.splice(index, 1);
    },
    get idle() {
      prune();
      return times.length === 0;
    },
  };
}

/** `Clock.after` for waits of any length. Returns cancel. */
export function later(clock: Clock, ms: number, fn: () => void): () => void {
  const due = clock.mono() + ms;
  let cancel = () => {};
  const look = () => {
    const left = due - clock.mono();
    if (left <= 0) fn();
    else cancel = clock.after(Math.min(Math.max(1, left), MAX_AFTER_MS), look);
  };
  cancel = clock.after(Math.min(ms, MAX_AFTER_MS), look);
  return () => cancel();
}
