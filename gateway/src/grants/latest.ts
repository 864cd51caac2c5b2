/** What time it is for a permission: never earlier than it ever was. */
import type { Clock } from "@kith/shared/clock";

/**
 * The later of wall and monotonic clock, from the newest time this home has seen (Unix ms): a
 * clock set back neither revives a grant nor lets one live longer.
 */
export function latestTime(clock: Pick<Clock, "mono">, newest: number): (at: number) => number {
  let last = clock.mono();
  return (at) => {
    const mono = clock.mono();
    newest = Math.max(newest + (mono - last), at);
    last = mono;
    // Whole milliseconds: what is stored and sent has no fractions.
    return Math.floor(newest);
  };
}
