/**
 * Did this machine sleep? Monotonic clocks may stand still meanwhile, which would hide the age
 * of a frame: so the gap between wall and monotonic clock is compared with the last look.
 */
import type { Clock } from "./clock.ts";
import { times } from "./protocol/limits.ts";

export class SleepWatch {
  readonly #clock: Clock;
  #offset: number;
  #ticked: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offset = clock.now() - clock.mono();
    this.#ticked = clock.mono();
  }

  /** At each tick and before each invoke: true after sleep, or after somebody set the clock. */
  slept(): boolean {
    const offset = this.#clock.now() - this.#clock.mono();
    const step = Math.abs(offset - this.#offset);
    this.#offset = offset;
    return step > times.sleepStepMs;
  }

  /** At each tick: true when the last one is much too long ago. */
  stalled(): boolean {
    const now = this.#clock.mono();
    const gap = now - this.#ticked;
    this.#ticked = now;
    return gap > times.sleepGapMs;
  }
}
