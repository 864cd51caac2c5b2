/**
 * `npm run sim`: the runtime under everything that can go wrong at once, driven by seeds. What must
 * hold is in runtime/checker.ts, which is asked after each step and once more at the end of a run.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { count, misused, readOptions } from "../report/options.ts";
import { Report } from "../report/report.ts";
import { crew } from "./crew.ts";
import { guards } from "./guards/guards.ts";
import { withoutGuard } from "./guards/run.ts";
import { mutants } from "./runtime/mutants.ts";
import type { Result } from "./runtime/simulate.ts";

const HELP = `npm run sim -- [--seeds N] [--seed S] [--json]
npm run sim -- --mutants [--world runtime|gateway] [--seeds N] [--times T] [--every K] [--json]

Runs N seeds from S on: virtual time, a disk that crashes, fills and forgets, messages that come
twice, questions, timers and steps. The same seed makes the same trace.
--mutants plants known faults instead: in the runtime, each must be found T times (1) within N
seeds (100); then every guard of grants, pairing, the port, limits and ledger is taken away, one at a
time (--every K: only each K-th), and the unit tests must notice.

Examples
  npm run sim -- --seeds 2000
  npm run sim -- --seeds 1 --seed 17
  npm run sim -- --mutants --json
`;

/** From here on every fault must have happened, and the time is judged. */
const ENOUGH = 100;
const JUDGED_SEEDS = 2_000;
const JUDGED_SECONDS = 30;

const options = readOptions(HELP, {
  world: { type: "string" },
  every: { type: "string", default: "1" },
  seeds: { type: "string" },
  seed: { type: "string", default: "1" },
  mutants: { type: "boolean", default: false },
  times: { type: "string", default: "1" },
});
const { world } = options;
if (world !== undefined && world !== "runtime" && world !== "gateway")
  misused(`there is no world ${world}`, HELP);
if (world === "gateway" && !options.mutants)
  misused("there is no simulation of the whole gateway yet: only its guards, with --mutants", HELP);
const seeds = count("seeds", options.seeds ?? (options.mutants ? "100" : "500"), HELP);
const first = count("seed", options.seed, HELP);
const every = count("every", options.every, HELP);
const times = count("times", options.times, HELP);
const report = new Report({ json: options.json, least: times });
if (options.mutants) {
  if (options.world !== "gateway") await runtimeMutants();
  if (options.world !== "runtime") await withoutGuards();
  report.end({ trace: null });
} else {
  report.end({ trace: await run() });
}

async function runtimeMutants(): Promise<void> {
  await crew(
    mutants.map((_, n) => ({ kind: "mutant" as const, n, seeds, times })),
    (done) => {
      if (done.kind !== "mutant") return;
      const { n, hits, found, by } = done;
      report.planted({ name: mutants[n]?.fault ?? String(n), by, hits, found });
    },
  );
}

/** A guard's tests see the same every time: once is enough, however often `--times` asks. */
async function withoutGuards(): Promise<void> {
  const left = guards.filter((_, at) => at % every === 0);
  const worker = async (): Promise<void> => {
    for (let guard = left.shift(); guard; guard = left.shift()) {
      const by = await withoutGuard(guard);
      const found = by === null ? 0 : times;
      report.planted({ name: guard.fault, by, hits: times, found });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

async function run(): Promise<string> {
  const began = performance.now();
  const trace = createHash("sha256");
  const happened: Record<string, number> = {};
  let broken = 0;
  let told = began;
  let ready = 0;
  const jobs = Array.from({ length: seeds }, (_, n) => ({
    kind: "seed" as const,
    seed: first + n,
  }));
  const results = await crew(jobs, () => {
    ready++;
    if (performance.now() - told < 2_000) return;
    told = performance.now();
    report.say(`${ready} of ${seeds} seeds`);
  });
  for (const done of results) {
    if (done.kind !== "seed") continue;
    const { result } = done;
    trace.update(`${result.seed}:${result.hash}\n`);
    for (const [what, n] of Object.entries(result.happened))
      happened[what] = (happened[what] ?? 0) + n;
    if (result.violations.length > 0) {
      broken++;
      report.problem(`seed ${result.seed}. Again: npm run sim -- --seeds 1 --seed ${result.seed}`);
    }
    if (result.violations.length > 0 || seeds === 1) tell(result);
  }
  const seconds = (performance.now() - began) / 1_000;
  report.say(
    Object.entries(happened)
      .map(([what, n]) => `${what} ${n}`)
      .join(", "),
  );
  if (seeds >= ENOUGH)
    for (const [what, n] of Object.entries(happened))
      if (n < seeds / 20)
        report.problem(
          `${what} happened ${n} times in ${seeds} seeds: too seldom to prove anything`,
        );
  report.figure("sim.runtime.seeds", seeds, { unit: "seeds" });
  report.figure("sim.runtime.violations", broken, { unit: "seeds", goal: { op: "==", value: 0 } });
  report.figure("sim.runtime.seconds", seconds, {
    unit: "s",
    ...(seeds >= JUDGED_SEEDS && {
      goal: { op: "<=", value: (JUDGED_SECONDS * seeds) / JUDGED_SEEDS },
    }),
  });
  return trace.digest("hex");
}

function tell({ seed, hash, violations, happened, story }: Result): void {
  report.say(`seed ${seed}, trace ${hash}`);
  for (const [what, n] of Object.entries(happened)) report.say(`  ${what}: ${n}`);
  for (const line of story) report.say(`  at ms ${line}`);
  for (const violation of violations.slice(0, 20)) report.say(`  BROKEN ${violation}`);
}
