/**
 * The only sources of time and chance. Everything that decides takes them as
 * arguments, so that a test or a simulation can own both.
 */
export interface Clock {
  /** Wall time in Unix milliseconds. May jump; never measure a duration with it. */
  now(): number;
  /** Milliseconds since an arbitrary start. Never jumps; may stand still while the machine sleeps. */
  mono(): number;
  /** Runs `fn` once after `ms` (0 to 30,000; callers look again for longer waits). Returns cancel. */
  after(ms: number, fn: () => void): () => void;
}

/** The only source of chance: jitter, ids, nonces. */
export interface Rng {
  /** Uniform in [0, 1). */
  float(): number;
  /** `n` (1 to 65,536) cryptographically strong bytes; a simulation returns seeded ones. */
  bytes(n: number): Uint8Array<ArrayBuffer>;
}

/** Longest wait that `Clock.after` accepts. Node turns a delay above 2^31-1 ms into 1 ms. */
export const MAX_AFTER_MS = 30_000;

declare const setTimeout: (fn: () => void, ms: number) => unknown;
declare const clearTimeout: (handle: unknown) => void;
declare const performance: { now(): number };
declare const crypto: { getRandomValues(array: Uint8Array): Uint8Array };

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(ms, fn) {
    const handle = setTimeout(fn, Math.max(0, Math.min(ms, MAX_AFTER_MS)));
    return () => clearTimeout(handle);
  },
};

/** A call of the operating system costs 5 µs, and each turn draws ids: they share one. */
const pool = new Uint8Array(2_048);
/** As much as an id needs. Keys are longer and never lie in the pool. */
const POOLED_BYTES = 16;
let drawn = pool.length;

export const systemRng: Rng = {
  float: () => Math.random(),
  bytes(n) {
    if (n > POOLED_BYTES) {
      const bytes = new Uint8Array(n);
      crypto.getRandomValues(bytes);
      return bytes;
    }
    if (drawn + n > pool.length) {
      crypto.getRandomValues(pool);
      drawn = 0;
    }
    drawn += n;
    return pool.slice(drawn - n, drawn);
  },
};
