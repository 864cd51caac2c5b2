/**
 * The runtime under everything that can go wrong at once, driven by one seed. What must hold is
 * in checker.ts. `KITH_SEEDS=10000` runs more; `KITH_SEED=7` runs one and says what it did.
 */
import { afterAll, expect, test } from "vitest";
import { type Result, simulate } from "./simulate.ts";

const ONE = process.env["KITH_SEED"];
const SEEDS = ONE === undefined ? Number(process.env["KITH_SEEDS"] ?? 200) : 1;
const FIRST = ONE === undefined ? 1 : Number(ONE);
/** Ten thousand seeds take minutes. */
const PATIENCE_MS = 60_000 + SEEDS * 100;

const happened: Record<string, number> = {};

const again = ({ seed }: Result) =>
  `Again: KITH_SEED=${seed} npx vitest run --project unit test/runtime/simulation.test.ts`;

test(
  `${SEEDS} seeds of chats, timers, steps, questions and crashes break no promise`,
  async () => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await simulate(seed);
      expect(result.violations, again(result)).toEqual([]);
      for (const [what, n] of Object.entries(result.happened))
        happened[what] = (happened[what] ?? 0) + n;
    }
  },
  PATIENCE_MS,
);

test.runIf(ONE === undefined && SEEDS >= 100)(
  "the seeds made everything happen that can go wrong",
  () => {
    for (const [what, n] of Object.entries(happened)) expect(n, what).toBeGreaterThan(SEEDS / 20);
  },
);

test("the same seed makes the same trace, another seed another", async () => {
  const hashes = [];
  for (const seed of [3, 3, 4, 4]) hashes.push((await simulate(seed)).hash);
  expect(hashes[0]).toBe(hashes[1]);
  expect(hashes[2]).toBe(hashes[3]);
  expect(hashes[0]).not.toBe(hashes[2]);
});

afterAll(() => {
  if (ONE !== undefined) console.info(happened);
});
