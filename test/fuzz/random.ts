/** Chance from a seed, so that what was found can be found again. */
import { Seeded } from "../support/world.ts";

export class Random extends Seeded {
  /** @throws RangeError for none */
  pick<T>(of: readonly T[]): T {
    if (of.length === 0) throw new RangeError("nothing to pick from");
    return of[this.below(of.length)] as T;
  }
}

export const random = (seed: number): Random => new Random(seed);
