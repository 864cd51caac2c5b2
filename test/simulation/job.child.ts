/**
 * One core's share of the simulation. Messages in: `Job`; out: one `Done` each. A process of its
 * own, because the simulation hooks crash points of its whole process.
 */
import process from "node:process";
import "./hooks.ts";
import type { Kind } from "./mutant.ts";
import { mutants } from "./mutants.ts";
import type { Result } from "./runtime/simulate.ts";

export type Job =
  | { readonly kind: "seed"; readonly world: Kind; readonly seed: number }
  /** Until it was found `times` times, in at most `seeds` seeds. */
  | {
      readonly kind: "mutant";
      readonly world: Kind;
      readonly n: number;
      readonly seeds: number;
      readonly times: number;
    };

export type Done =
  | { readonly kind: "seed"; readonly result: Result }
  | {
      readonly kind: "mutant";
      readonly world: Kind;
      readonly n: number;
      readonly hits: number;
      readonly found: number;
      /** The first seed that found it, and what the checker said. */
      readonly by: string | null;
    };

type Run = (seed: number) => Promise<Result>;

/** A world, with the n-th of its mutants if any. */
async function load(kind: Kind, n?: number): Promise<Run> {
  const plant = n === undefined ? "" : `?plant=${kind}-${n}`;
  const world = (await import(`./${kind}/simulate.ts${plant}`)) as { simulate: Run };
  return world.simulate;
}

async function mutate({ world, n, seeds, times }: Extract<Job, { kind: "mutant" }>): Promise<Done> {
  const mutant = mutants[world][n];
  if (!mutant) throw new RangeError(`no mutant ${n}`);
  const run = await load(world, n);
  let hits = 0;
  let found = 0;
  let by: string | null = null;
  for (let seed = 1; seed <= seeds && found < times; seed++) {
    hits++;
    const { violations } = await run(seed);
    const said = violations.find((one) => mutant.caught.test(one));
    if (said === undefined) continue;
    found++;
    by ??= `seed ${seed}`;
  }
  return { kind: "mutant", world, n, hits, found, by };
}

async function answer(job: Job): Promise<Done> {
  if (job.kind === "mutant") return await mutate(job);
  const run = await load(job.world);
  return { kind: "seed", result: await run(job.seed) };
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
process.on("disconnect", () => process.exit(0));
