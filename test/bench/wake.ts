/**
 * RT-7: from a message to a sleeping session to its answer, with and without a synced disk. A wake
 * is the recovery path: read the snapshot, restore, one turn, one commit.
 */
import { existsSync } from "node:fs";
import type { ActorId, Event } from "@kith/gateway/runtime/effect";
import type { Report } from "../report/report.ts";
import { quantile } from "../report/report.ts";
import type { BenchPart } from "./part.ts";
import { oneSync, Rig } from "./rig.ts";

const SESSIONS = 1_000;
/** Files here are memory: a sync costs nothing, and the product needs no switch for it. */
const MEMORY = "/dev/shm";

/** Each of them asleep; then one after the other is woken. Ms from `tell` to its committed answer. */
async function wakes(under?: string): Promise<number[]> {
  await using rig = await Rig.start({
    ...(under === undefined ? {} : { under }),
    // Asleep as soon as it is swept, not a minute later.
    kind: (kind) => ({ ...kind, idleMs: 0 }),
  });
  const { runtime } = rig;
  let answered = () => {};
  runtime.perform({
    op: "say",
    parallel: 1_000_000,
    run: () => {
      answered();
      return Promise.resolve({ type: "said" });
    },
  });
  const sessions = Array.from({ length: SESSIONS }, (_, n): ActorId => `session/${n}`);
  const ask = (to: ActorId, call: string) =>
    new Promise<number>((resolve) => {
      const began = performance.now();
      answered = () => resolve(performance.now() - began);
      const asked = { type: "approval.asked", chat: to, call, device: "k", name: "laptop" };
      runtime.tell(to, { ...asked, cap: "camera.snap" } as Event);
    });
  /** The turn that hears of the shown answer is none of the next wake's. */
  const quiet = async (): Promise<void> => {
    while (rig.turns < done) await new Promise((resolve) => setImmediate(resolve));
    await runtime.settled();
  };
  let done = 0;
  for (const session of sessions) {
    done++;
    await ask(session, "born");
    await quiet();
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  runtime.sweep();
  if (runtime.actors > 0) throw new Error(`${runtime.actors} actors are awake`);
  const times: number[] = [];
  for (const session of sessions) {
    done++;
    times.push(await ask(session, "woken"));
    await quiet();
  }
  return times;
}

async function measure(report: Report): Promise<void> {
  if (existsSync(MEMORY)) {
    const times = await wakes(MEMORY);
    report.figure("wake.p50", quantile(times, 0.5), {
      unit: "ms",
      goal: { op: "<=", value: 0.2 },
    });
    report.figure("wake.p99", quantile(times, 0.99), {
      unit: "ms",
      goal: { op: "<=", value: 5 },
    });
  } else report.skipped("wake without a synced disk", `there is no ${MEMORY}`);
  const sync = oneSync();
  const times = await wakes();
  report.figure("wake.synced_p50", quantile(times, 0.5), {
    unit: "ms",
    baseline: sync,
    ratio: null,
    goal: { op: "<=", value: 2 },
  });
  report.figure("wake.synced_p99", quantile(times, 0.99), {
    unit: "ms",
    goal: { op: "<=", value: 15 },
  });
}

export const wake: BenchPart = {
  name: "wake",
  title: "a sleeping session: message to committed answer",
  run: measure,
};
