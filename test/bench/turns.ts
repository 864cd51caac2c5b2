/** Turns: how many, how smoothly, and what a bad session does to the others. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { ActorId } from "@kith/gateway/runtime/effect";
import type { Performer } from "@kith/gateway/runtime/outbox";
import type { Write } from "@kith/gateway/runtime/store";
import type { Report } from "../report/report.ts";
import { median, quantile } from "../report/report.ts";
import { commitBare } from "./bare-commit.ts";
import { Town } from "./conversation.ts";
import type { BenchPart } from "./part.ts";
import { isFull, keptBytes, quickChat, quickModel, Rig, say } from "./rig.ts";
import { crashStorm } from "./storm.ts";

const SESSIONS = 1_000;
const ROUNDS = 3;
const RATE_MS = 3_000;
/** Messages that one session has under way: as many as keep the commits full. */
const DEEP = 2;
const MIB = 1_048_576;
const SMOOTH_MS = 2_000;
/** Turns a second, and how many of them one message makes. */
const STEADY = 2_000;
const TURNS_EACH = 3;

/**
 * Whole conversations: said, answered, shown. Three durable messages and so three turns, of which
 * two have a snapshot, a journal row and a step in the outbox each; the third changes nothing.
 */
async function rate(): Promise<{ turns: number; bare: number }> {
  const batches: Write[][] = [];
  let running = true;
  let rig: Rig;
  const next = (session: ActorId): void => {
    if (running) say(rig, session).catch((error: unknown) => void isFull(error));
  };
  rig = await Rig.start({
    performers: [quickModel, quickChat((chat) => next(chat as ActorId))],
    onCommit: (writes) => batches.push([...writes]),
  });
  await using _ = rig;
  const sessions = Array.from({ length: SESSIONS }, (_, n): ActorId => `session/${n}`);
  for (const session of sessions) for (let at = 0; at < DEEP; at++) next(session);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [turns, began, from] = [rig.turns, performance.now(), batches.length];
  await new Promise((resolve) => setTimeout(resolve, RATE_MS));
  const done = rig.turns - turns;
  const perSecond = (done * 1_000) / (performance.now() - began);
  running = false;
  const measured = batches.slice(from);
  await rig.runtime.settled();
  const inBare = measured.flat().filter(({ k }) => k === "taken").length;
  return { turns: perSecond, bare: (inBare * 1_000) / commitBare(measured) };
}

async function rates(report: Report): Promise<void> {
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await rate());
  report.figure("turns.rate", median(rounds.map(({ turns }) => turns)), {
    unit: "turns/s",
    baseline: median(rounds.map(({ bare }) => bare)),
    ratio: null,
    goal: { op: ">=", value: 25_000 },
  });
}

const FLOOD = 10_000;
const FLOOD_TEXT = "x".repeat(1_000);

/** RT-12: 10,000 messages at once for one session whose model does not answer. */
async function flood(report: Report): Promise<void> {
  const never: Performer = { op: "model", parallel: 8, run: () => new Promise(() => {}) };
  await using rig = await Rig.start({ performers: [never, quickChat(() => {})] });
  await say(rig, "session/other");
  const before = keptBytes();
  let [refused, answered, most] = [0, 0, 0];
  const look = async (): Promise<void> => {
    // Buffers of the last batches are given back a moment after they were collected.
    keptBytes();
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, keptBytes());
  };
  for (let at = 0; at < FLOOD; at++) {
    say(rig, "session/flooded", `${at} ${FLOOD_TEXT}`)
      .catch((error: unknown) => {
        if (!isFull(error)) throw error;
        refused++;
      })
      .finally(() => answered++);
    if (at % 2_500 === 2_499) await look();
    // The network hands them over in reads, not all in one turn of the event loop.
    if (at % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  while (answered < FLOOD) await new Promise((resolve) => setImmediate(resolve));
  await look();
  report.say(`refused ${refused} of ${FLOOD}, kept ${FLOOD - refused}`);
  report.figure("turns.flood_memory", (most - before) / MIB, {
    unit: "MiB",
    goal: { op: "<=", value: 8 },
  });
}

/** RT-10 and RT-13: people write so that 2,000 turns a second are committed. */
async function smooth(report: Report): Promise<void> {
  await using town = await Town.start(SESSIONS);
  await town.talk(STEADY / TURNS_EACH, SMOOTH_MS);
  town.forget();
  const [idle, busy, rate] = [[] as number[], [] as number[], [] as number[]];
  for (let round = 0; round < ROUNDS; round++) {
    idle.push(await delayOf(() => new Promise((resolve) => setTimeout(resolve, SMOOTH_MS))));
    const [turns, began] = [town.rig.turns, performance.now()];
    busy.push(await delayOf(() => town.talk(STEADY / TURNS_EACH, SMOOTH_MS)));
    rate.push(((town.rig.turns - turns) * 1_000) / (performance.now() - began));
  }
  report.say(`${Math.round(median(rate))} turns/s were committed`);
  report.figure("turns.loop_delay_p99", median(busy), {
    unit: "ms",
    baseline: median(idle),
    ratio: null,
    goal: { op: "<=", value: 3 },
  });
  report.figure("turns.ack_p95", quantile(town.acks, 0.95), {
    unit: "ms",
    goal: { op: "<=", value: 25 },
  });
  report.figure("turns.answer_p95", quantile(town.answers, 0.95), { unit: "ms" });
}

async function delayOf(what: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await what();
  delay.disable();
  return delay.percentile(99) / 1e6;
}

export const turns: BenchPart = {
  name: "turns",
  title: "durable turns, a flood, a crash storm",
  async run(report) {
    await rates(report);
    await smooth(report);
    await crashStorm(report);
    await flood(report);
  },
};
