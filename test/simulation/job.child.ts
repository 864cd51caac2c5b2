/**
 * One core's share of the simulation. Messages in: `Job`; out: one `Done` each. A process of its
 * own, because the simulation hooks crash points of its whole process.
 */
import process from "node:process";
import { mutants } from "./runtime/mutants.ts";
import { plant, uproot } from "./plant.ts";
import { type Result, simulate } from "./runtime/simulate.ts";

export type Job =
  | { readonly kind: "seed"; readonly seed: number }
  /** Until it was found `times` times, in at most `seeds` seeds. */
  | { readonly kind: "mutant"; readonly n: number; readonly seeds: number; readonly times: number };

export type Done =
  | { readonly kind: "seed"; readonly result: Result }
  | {
      readonly kind: "mutant";
      readonly n: number;
      readonly hits: number;
      readonly found: number;
      /** The first seed that found it, and what the checker said. */
      readonly by: string | null;
    };

async function mutate({ n, seeds, times }: Extract<Job, { kind: "mutant" }>): Promise<Done> {
  const mutant = mutants[n];
  if (!mutant) throw new RangeError(`no mutant ${n}`);
  const Planted = await plant(`m${n}`, mutant.patches);
  let hits = 0;
  let found = 0;
  let by: string | null = null;
  for (let seed = 1; seed <= seeds && found < times; seed++) {
    hits++;
    const { violations } = await simulate(seed, Planted);
    const said = violations.find((one) => mutant.caught.test(one));
    if (said === undefined) continue;
    found++;
    by ??= `seed ${seed}`;
  }
  return { kind: "mutant", n, hits, found, by };
}

async function answer(job: Job): Promise<Done> {
  return job.kind === "seed"
    ? { kind: "seed", result: await simulate(job.seed) }
    : await mutate(job);
}

async function handle(job: Job): Promise<void> {
  try {
    const done = await answer(job);
    process.send?.(done);
  } catch (why) {
    process.stderr.write(`${why instanceof Error ? (why.stack ?? why.message) : String(why)}\n`);
    process.exit(1);
  }
}

// It never rejects.
process.on("message", (job: Job) => void handle(job));
process.on("disconnect", () => {
  uproot();
  process.exit(0);
});
