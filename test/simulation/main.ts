/**
 * `npm run sim`: the runtime alone, the whole gateway with devices and chats, and the same with ten assistants
 * and their models, under everything that can go wrong at once, driven by seeds. What must hold is in
 * runtime/checker.ts, in gateway/watch.ts and gateway/history.ts, and in talks/judge.ts.
 */
import { type Hash, createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { count, misused, readOptions } from "../report/options.ts";
import { Report } from "../report/report.ts";
import { crew } from "./crew.ts";
import { guards } from "./guards/guards.ts";
import { withoutGuard } from "./guards/run.ts";
import type { Kind } from "./mutant.ts";
import { mutants } from "./mutants.ts";
import type { Result } from "./runtime/simulate.ts";

const HELP = `npm run sim -- [--world runtime|gateway|talks] [--seeds N] [--seed S] [--beside] [--json]
npm run sim -- --mutants [--world runtime|gateway|talks] [--seeds N] [--times T] [--every K] [--json]

Runs N seeds (500; of talks, where each is long, a twentieth, unless --world names it) from S on in each world: virtual time, disks that crash, fill and forget, messages that
come twice. "runtime": actors with questions, timers and steps. "gateway": all of it, with three
devices, two chats and a network that breaks. "talks": ten assistants whose models do what they read; one
seed of six has a chat of 500 turns. The same seed makes the same trace.
--mutants plants known faults instead: each must be found T times (1) within N seeds (100); then
every guard of grants, pairing, the port, limits and ledger is taken away, one at a time
(--every K: only each K-th), and the unit tests must notice.
--beside: other work runs on this machine; the time is told and not judged.

Examples
  npm run sim -- --seeds 2000
  npm run sim -- --world gateway --seeds 1 --seed 17
  npm run sim -- --mutants --json
`;

/** From here on every fault must have happened, and the time is judged. */
const ENOUGH = 100;
/** So many seeds may take so many seconds. */
const JUDGED: Readonly<Record<Kind, { readonly seeds: number; readonly seconds: number }>> = {
  runtime: { seeds: 2_000, seconds: 30 },
  gateway: { seeds: 500, seconds: 60 },
  talks: { seeds: 100, seconds: 120 },
};
const WORLDS: readonly Kind[] = ["runtime", "gateway", "talks"];

const options = readOptions(HELP, {
  world: { type: "string" },
  every: { type: "string", default: "1" },
  beside: { type: "boolean", default: false },
  seeds: { type: "string" },
  seed: { type: "string", default: "1" },
  mutants: { type: "boolean", default: false },
  times: { type: "string", default: "1" },
});
const { world } = options;
if (world !== undefined && !WORLDS.some((one) => one === world))
  misused(`there is no world ${world}`, HELP);
const worlds = WORLDS.filter((one) => world === undefined || one === world);
const seeds = count("seeds", options.seeds ?? (options.mutants ? "100" : "500"), HELP);
const first = count("seed", options.seed, HELP);
const every = count("every", options.every, HELP);
const times = count("times", options.times, HELP);
const report = new Report({ json: options.json, least: times });
if (options.mutants) {
  await plantMutants();
  if (options.world !== "runtime") await withoutGuards();
  report.end({ trace: null });
} else {
  const trace = createHash("sha256");
  for (const one of worlds)
    await run(one, world === undefined && one === "talks" ? Math.ceil(seeds / 20) : seeds, trace);
  report.end({ trace: trace.digest("hex") });
}

async function plantMutants(): Promise<void> {
  const jobs = worlds.flatMap((one) =>
    mutants[one].map((_, n) => ({ kind: "mutant" as const, world: one, n, seeds, times })),
  );
  await crew(jobs, (done) => {
    if (done.kind !== "mutant") return;
    const { n, hits, found, by } = done;
    report.planted({ name: mutants[done.world][n]?.fault ?? String(n), by, hits, found });
  });
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

async function run(kind: Kind, seeds: number, trace: Hash): Promise<void> {
  const began = performance.now();
  const happened: Record<string, number> = {};
  let broken = 0;
  let told = began;
  let ready = 0;
  const jobs = Array.from({ length: seeds }, (_, n) => ({
    kind: "seed" as const,
    world: kind,
    seed: first + n,
  }));
  const results = await crew(jobs, () => {
    ready++;
    if (performance.now() - told < 2_000) return;
    told = performance.now();
    report.say(`${kind}: ${ready} of ${seeds} seeds`);
  });
  for (const done of results) {
    if (done.kind !== "seed") continue;
    const { result } = done;
    trace.update(`${kind} ${result.seed}:${result.hash}\n`);
    for (const [what, n] of Object.entries(result.happened))
      happened[what] = (happened[what] ?? 0) + n;
    if (result.violations.length > 0) {
      broken++;
      report.problem(
        `seed ${result.seed}. Again: npm run sim -- --world ${kind} --seeds 1 --seed ${result.seed}`,
      );
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
          `${kind}: ${what} happened ${n} times in ${seeds} seeds: too seldom to prove anything`,
        );
  report.figure(`sim.${kind}.seeds`, seeds, { unit: "seeds" });
  report.figure(`sim.${kind}.violations`, broken, { unit: "seeds", goal: { op: "==", value: 0 } });
  const most = JUDGED[kind];
  report.figure(`sim.${kind}.seconds`, seconds, {
    unit: "s",
    ...(seeds >= most.seeds &&
      !options.beside && {
        goal: { op: "<=", value: (most.seconds * seeds) / most.seeds },
      }),
  });
}

function tell({ seed, hash, violations, happened, story }: Result): void {
  report.say(`seed ${seed}, trace ${hash}`);
  for (const [what, n] of Object.entries(happened)) report.say(`  ${what}: ${n}`);
  for (const line of story) report.say(`  at ms ${line}`);
  for (const violation of violations.slice(0, 20)) report.say(`  BROKEN ${violation}`);
}
