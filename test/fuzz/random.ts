/** Chance from a seed, so that what was found can be found again (mulberry32, public domain). */
export interface Random {
  /** From 0 up to and without 1. */
  float(): number;
  /** A whole number from 0 up to and without `n`. */
  below(n: number): number;
  pick<T>(of: readonly T[]): T;
  bytes(n: number): Uint8Array;
}

export function random(seed: number): Random {
  let state = seed >>> 0;
  const float = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (n: number): number => Math.floor(float() * n);
  return {
    float,
    below,
    pick(of) {
      if (of.length === 0) throw new RangeError("nothing to pick from");
      return of[below(of.length)] as (typeof of)[number];
    },
    bytes: (n) => Uint8Array.from({ length: n }, () => below(256)),
  };
}
