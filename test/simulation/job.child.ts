/**
 * One core's share of the simulation. Messages in: `Job`; out: one `Done` each. A process of its
 * own, because the simulation hooks crash points of its whole process.
 */
import process from "node:process";
import { plant, uproot } from "./plant.ts";
import { mutants } from "./runtime/mutants.ts";
import { type Result, simulate } from "./runtime/simulate.ts";

/** The runtime alone, or the whole gateway with devices and chats. */
export type Kind = "runtime" | "gateway";

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

/** The gateway's world, with the n-th of its mutants if any. Its loader hooks come first. */
async function gatewayWorld(n?: number): Promise<Run> {
  await import("./gateway/hooks.ts");
  const plantedAs = n === undefined ? "" : `?plant=${n}`;
  const world = (await import(`./gateway/simulate.ts${plantedAs}`)) as { simulate: Run };
  return world.simulate;
}

async function planted(world: Kind, n: number): Promise<{ caught: RegExp; run: Run }> {
  if (world === "gateway") {
    const gateway = await import("./gateway/mutants.ts");
    const mutant = gateway.mutants[n];
    if (!mutant) throw new RangeError(`no mutant ${n}`);
    return { caught: mutant.caught, run: await gatewayWorld(n) };
  }
  const mutant = mutants[n];
  if (!mutant) throw new RangeError(`no mutant ${n}`);
  const Planted = await plant(`m${n}`, mutant.patches);
  return { caught: mutant.caught, run: (seed) => simulate(seed, Planted) };
}

async function mutate({ world, n, seeds, times }: Extract<Job, { kind: "mutant" }>): Promise<Done> {
  const { caught, run } = await planted(world, n);
  let hits = 0;
  let found = 0;
  let by: string | null = null;
  for (let seed = 1; seed <= seeds && found < times; seed++) {
    hits++;
    const { violations } = await run(seed);
    const said = violations.find((one) => caught.test(one));
    if (said === undefined) continue;
    found++;
    by ??= `seed ${seed}`;
  }
  return { kind: "mutant", world, n, hits, found, by };
}

async function answer(job: Job): Promise<Done> {
  if (job.kind === "mutant") return await mutate(job);
  const run: Run = job.world === "gateway" ? await gatewayWorld() : simulate;
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
process.on("disconnect", () => {
  uproot();
  process.exit(0);
});
