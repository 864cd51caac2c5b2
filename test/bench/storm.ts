/** A kind that fails: sessions whose every message throws, and what the others notice of it. */
import type { ActorId } from "@kith/gateway/runtime/effect";
import type { MachineKind } from "@kith/gateway/runtime/kind";
import { sessionMachine } from "@kith/gateway/sessions/session.machine";
import type { Report } from "../report/report.ts";
import { median, quantile } from "../report/report.ts";
import { Town } from "./conversation.ts";

const CHATS = 200;
const PER_SECOND = 200;
const CRASHES_PER_SECOND = 1_000;
const ATTEMPTS = 3;
const ROUNDS = 3;
const ROUND_MS = 2_500;
const TICK_MS = 5;
/** Retries come within a few ms of one another; the last ones need that long to end. */
const AFTERMATH_MS = 1_000;

/** The session's machine under a restart rule that never gives up, so that the storm goes on. */
const storm: MachineKind = {
  name: "storm",
  machine: sessionMachine,
  version: 1,
  migrate: {},
  mailbox: { normal: 256, control: 32 },
  idleMs: 60_000,
  restart: { max: 1_000_000, withinMs: 1_000, backoffMs: [1, 2] },
};

/** Poison comes so fast that its three tries each make the wanted number of crashes. */
async function blow(town: Town, ms: number): Promise<number> {
  const began = performance.now();
  let sent = 0;
  for (let now = began; now - began < ms; now = performance.now()) {
    const due = Math.floor(((now - began) * CRASHES_PER_SECOND) / ATTEMPTS / 1_000);
    for (; sent < due; sent++) {
      const to: ActorId = `storm/${storms++}`;
      // An end of a call without its outcome: the guard that reads it throws.
      town.rig.runtime.tell(to, { type: "call.ended" });
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  return sent;
}

let storms = 0;

/** RT-9. */
export async function crashStorm(report: Report): Promise<void> {
  let uncaught = 0;
  const count = () => void uncaught++;
  process.on("uncaughtException", count).on("unhandledRejection", count);
  await using town = await Town.start(CHATS, { more: [storm] });
  await town.talk(PER_SECOND, ROUND_MS / 2);
  const calm: number[] = [];
  const stormy: number[] = [];
  let poison = 0;
  const before = town.rig.failures;
  let blowing = 0;
  for (let round = 0; round < ROUNDS; round++) {
    town.forget();
    await town.talk(PER_SECOND, ROUND_MS);
    calm.push(quantile(town.answers, 0.99));
    town.forget();
    const failed = town.rig.failures;
    const [, sent] = await Promise.all([town.talk(PER_SECOND, ROUND_MS), blow(town, ROUND_MS)]);
    stormy.push(quantile(town.answers, 0.99));
    blowing += ((town.rig.failures - failed) * 1_000) / ROUND_MS / ROUNDS;
    poison += sent;
    await new Promise((resolve) => setTimeout(resolve, AFTERMATH_MS));
  }
  await town.rig.runtime.settled();
  process.off("uncaughtException", count).off("unhandledRejection", count);
  const aside = town.rig.store
    .dead(poison + 1)
    .filter(({ env }) => env.to.startsWith("storm/")).length;
  report.figure("turns.crash_storm_rate", blowing, {
    unit: "crashes/s",
    goal: { op: ">=", value: CRASHES_PER_SECOND * 0.9 },
  });
  report.figure("turns.crash_storm_ratio", median(stormy), {
    unit: "ms p99",
    baseline: median(calm),
    ratio: median(stormy.map((ms, at) => ms / (calm[at] ?? 0))),
    goal: { op: "<=", value: 2 },
  });
  report.figure("turns.poison_tries", (town.rig.failures - before) / aside, {
    unit: "tries",
    goal: { op: "==", value: ATTEMPTS },
  });
  report.figure("turns.poison_left", poison - aside, {
    unit: "messages",
    goal: { op: "==", value: 0 },
  });
  report.figure("turns.uncaught", uncaught, {
    unit: "errors",
    goal: { op: "==", value: 0 },
  });
}
