/**
 * SIGKILL at random moments under load, also of a process that still recovers from the last one:
 *
 *   talk (5 a second) ── kill ─ start ─ kill ─ start … (depth 1 to 5) ─► first new turn ─► again
 *
 * Named points prove what we know of; this is for what we do not. Several houses at once.
 */
import { quantile } from "../report/report.ts";
import { Seeded } from "../support/world.ts";
import { assemble, ONCE } from "./assembly.ts";
import { DEVICES, House } from "./house.ts";
import type { FaultPart } from "./part.ts";

const HOUSES = 3;
const PER_SECOND = 5;
/** How many times in a row a process may be killed before it may recover. */
const DEPTH = 5;
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Toll {
  kills: number;
  unknown: number;
  readonly firstTurns: number[];
  readonly failures: string[];
}

/** One house, killed until `kills` or until time is over. */
async function suffer(programs: string, seed: number, kills: number, untilMs: number) {
  const rng = new Seeded(seed);
  const toll: Toll = { kills: 0, unknown: 0, firstTurns: [], failures: [] };
  await using house = await House.open(programs);
  const { world } = house;
  const probe = await world.owner("probe");
  house.talk(PER_SECOND);
  while (toll.kills < kills && performance.now() < untilMs) {
    await wait(rng.below(150));
    const victim = rng.chance(0.5) ? "gateway" : (DEVICES[rng.below(DEVICES.length)] ?? "laptop");
    let depth = 1;
    while (depth < DEPTH && rng.chance(0.4)) depth++;
    let began = 0;
    for (; depth > 0; depth--) {
      const running = victim === "gateway" ? world.gateway : world.nodes.get(victim);
      if (running?.over) toll.failures.push(`${victim} ended by itself: ${running.words}`);
      const ended = await running?.end();
      if (ended?.signal === "SIGKILL") toll.kills++;
      began = performance.now();
      if (victim === "gateway") world.spawnGateway();
      else house.spawnNode(victim);
      if (depth > 1) await wait(rng.below(250));
    }
    if (victim !== "gateway") continue;
    await probe.say("/help");
    await probe.hear("the first answer", ({ final }) => final);
    toll.firstTurns.push(performance.now() - began);
  }
  const counted = await house.counted();
  toll.unknown = counted.unknown;
  toll.failures.push(...counted.failures);
  return toll;
}

export const kills: FaultPart = {
  name: "kills",
  title: "SIGKILL at random moments under load, and during recovery",
  alone: true,
  async run(report, { quick }) {
    const seed = Number(process.env.KITH_SEED ?? 1);
    const programs = await assemble(ONCE);
    const wanted = quick ? 200 : 3_000;
    const untilMs = performance.now() + (quick ? 240_000 : 25 * 60_000);
    const tolls = await Promise.all(
      Array.from({ length: HOUSES }, (_, n) =>
        suffer(programs, seed + n, Math.ceil(wanted / HOUSES), untilMs),
      ),
    );
    const failures = tolls.flatMap((toll) => toll.failures);
    const again = `KITH_SEED=${seed} npm run faults -- ${quick ? "--quick " : ""}--only kills`;
    for (const why of failures) report.problem(`kills: ${why}; again: ${again}`);
    const count = tolls.reduce((sum, toll) => sum + toll.kills, 0);
    report.figure("kills.count", count, { unit: "kills", goal: { op: ">=", value: wanted } });
    report.figure("kills.failures", failures.length, { unit: "", goal: { op: "==", value: 0 } });
    report.figure(
      "kills.doubt_shown",
      tolls.reduce((sum, { unknown }) => sum + unknown, 0),
      {
        unit: "calls",
      },
    );
    report.figure(
      "kills.first_turn_p95",
      quantile(
        tolls.flatMap((toll) => toll.firstTurns),
        0.95,
      ) / 1_000,
      {
        unit: "s",
        // Judged where many kills make a quantile; the small set counts what is lost or doubled.
        ...(!quick && { goal: { op: "<=", value: 2 } as const }),
      },
    );
  },
};
