/** A token bucket: `perSecond` on average, `burst` at once. */
import type { Clock } from "./clock.ts";

export function budget(clock: Clock, perSecond: number, burst: number): (cost?: number) => boolean {
  let left = burst;
  let last = clock.mono();
  return (cost = 1) => {
    const now = clock.mono();
    left = Math.min(burst, left + ((now - last) / 1_000) * perSecond);
    last = now;
    if (left < cost) return false;
    left -= cost;
    return true;
  };
}
