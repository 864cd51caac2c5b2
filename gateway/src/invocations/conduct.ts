/**
 * Devices that keep saying what is not theirs to say. Each such word is without effect anyway; who
 * goes on is cut off for a minute, again and again, and the owner hears of it.
 */
import { budget } from "@kith/shared/budget";
import type { Clock } from "@kith/shared/clock";

/**
 * Claims within a minute about calls that are another device's, or nobody's. More than an honest
 * device can have in flight: to a gateway restored from a backup those are nobody's too.
 */
const CLAIMS = 100;
/** Links within a minute that ended by a broken rule of the wire. */
const BREAKS = 3;
const OUT_MS = 60_000;

interface Record {
  readonly claim: () => boolean;
  readonly break: () => boolean;
  outUntil: number;
}

export class Conduct {
  readonly #clock: Clock;
  /** Paired devices only, so it stays small. */
  readonly #devices = new Map<string, Record>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when it said one thing too many: cut it off. */
  offends(device: string, how: "claim" | "break"): boolean {
    let record = this.#devices.get(device);
    if (!record) {
      record = {
        claim: budget(this.#clock, CLAIMS / 60, CLAIMS - 1),
        break: budget(this.#clock, BREAKS / 60, BREAKS - 1),
        outUntil: 0,
      };
      this.#devices.set(device, record);
    }
    if (record[how]() || this.out(device)) return false;
    record.outUntil = this.#clock.mono() + OUT_MS;
    return true;
  }

  /** Whether it has to stay out now. */
  out(device: string): boolean {
    return (this.#devices.get(device)?.outUntil ?? 0) > this.#clock.mono();
  }
}
