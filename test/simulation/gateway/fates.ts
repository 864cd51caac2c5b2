/** How commits go while things break: quick, slow, full for a while, crashed before or after, broken. */
import type { Fate, World } from "../../support/world.ts";

export class Fates {
  readonly #world: World;
  readonly #chaos: () => boolean;
  #fullUntil = 0;

  constructor(world: World, chaos: () => boolean) {
    this.#world = world;
    this.#chaos = chaos;
  }

  next(): Fate {
    const { rng, mono } = this.#world;
    const slow = rng.float();
    const made = slow < 0.7 ? rng.below(3) : slow < 0.97 ? rng.below(20) : rng.below(400);
    const answered = rng.chance(0.6) ? 0 : rng.below(10);
    if (!this.#chaos()) return { made: 1, answered: 0, end: "ok" };
    if (mono >= this.#fullUntil && rng.chance(0.002)) this.#fullUntil = mono + rng.below(3_000);
    if (mono < this.#fullUntil) return { made, answered, end: "full" };
    const luck = rng.float();
    const end =
      luck < 0.002 ? "crash-before" : luck < 0.004 ? "crash-after" : luck < 0.005 ? "broken" : "ok";
    return { made, answered, end };
  }
}
