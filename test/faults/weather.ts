/** Networks and readers that are bad without being gone: a link that flaps, and those who do not read. */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { residentMiB, until } from "../support/home.ts";
import { Seeded } from "../support/world.ts";
import { assemble, ONCE } from "./assembly.ts";
import { ChaosProxy } from "./chaos-proxy.ts";
import { House } from "./house.ts";
import type { FaultPart } from "./part.ts";

/** Every device but the laptop has a good network. */
async function houseBehind(seed: number): Promise<{ house: House; network: ChaosProxy }> {
  let proxy: ChaosProxy | undefined;
  const house = await House.open(await assemble(ONCE), {
    prepare: async (world) => {
      proxy = await ChaosProxy.open(world.port, new Seeded(seed));
      world.via.set("laptop", proxy.port);
    },
  });
  if (!proxy) throw new Error("no proxy");
  return { house, network: proxy };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Late by 200 ms give or take 150, and reset every 2 to 10 s. */
export const flapping: FaultPart = {
  name: "flapping",
  waits: true,
  title: "a link that is late, jitters, and is reset every few seconds",
  async run(report, { quick }) {
    const seed = Number(process.env.KITH_SEED ?? 1);
    const { house, network } = await houseBehind(seed);
    await using _house = house;
    using _network = network;
    const chance = new Seeded(seed);
    const calls = quick ? 20 : 200;
    network.weather = { delayMs: 200, jitterMs: 150 };
    const resets = new AbortController();
    const storm = (async () => {
      while (!resets.signal.aborted) {
        await pause((quick ? 1_000 : 2_000) + chance.below(quick ? 2_000 : 8_000));
        network.reset();
      }
    })();
    for (let n = 0; n < calls; n++) {
      house.askIn(n % 3, n % 4 === 3 ? "desk" : "laptop");
      await pause(quick ? 400 : 3_000);
    }
    resets.abort();
    await storm;
    network.weather = {};
    const { failures, unknown } = await house.counted();
    const again = `KITH_SEED=${seed} npm run faults -- --only flapping`;
    for (const why of failures) report.problem(`flapping: ${why}; again: ${again}`);
    report.figure("flapping.calls", calls, { unit: "calls" });
    report.figure("flapping.connections", network.connections, {
      unit: "connections",
      goal: { op: ">=", value: 3 },
    });
    report.figure("flapping.failures", failures.length, { unit: "", goal: { op: "==", value: 0 } });
    report.figure("flapping.doubt_shown", unknown, { unit: "calls" });
  },
};

const LINE = `${JSON.stringify({ id: 1, op: "audit.list", args: { limit: 1_000 } })}\n`;
const MOST_MIB = 32;

/** An operator who asks and never reads. Resolves to the seconds until the gateway has had enough. */
async function deaf(home: string): Promise<number> {
  const here = process.cwd();
  process.chdir(home); // A home may be deeper than a socket's path can be long.
  const socket: Socket = connect("control.sock");
  process.chdir(here);
  socket.pause();
  const began = performance.now();
  let gone = false;
  socket.on("error", () => {}).on("close", () => (gone = true));
  for (let asked = 0; asked < 20_000 && !gone; asked++) {
    socket.write(LINE);
    if (asked % 16 === 0) await pause(5); // Below what counts as too much at once.
  }
  while (!gone && performance.now() - began < 60_000) await pause(50);
  socket.destroy();
  return gone ? (performance.now() - began) / 1_000 : Number.POSITIVE_INFINITY;
}

export const slowConsumer: FaultPart = {
  name: "slow-consumer",
  title: "a device behind 64 kbit/s, and an operator who never reads",
  alone: true,
  async run(report) {
    const { house, network } = await houseBehind(1);
    await using _house = house;
    using _network = network;
    const pid = house.world.gateway?.pid ?? 0;
    for (let n = 0; n < 30; n++) house.askIn(n % 3, "desk"); // Something to list, and warm.
    await until("thirty answers", () => house.runs.length >= 30);
    // What it takes to answer such questions is no growth by somebody who does not read.
    for (let n = 0; n < 10; n++)
      await Promise.all(
        Array.from({ length: 64 }, () => house.world.call("audit.list", { limit: 1_000 })),
      );
    const before = residentMiB(pid);
    network.weather = { bytesPerSecond: 8_000 };
    // Each picture would take half a minute there: it ends by its time, in words.
    const snaps = Array.from({ length: 4 }, () =>
      house.world.call("invoke", { device: "laptop", cap: "camera.snap", allow: "once" }).then(
        () => "done",
        (why: { code?: string }) => why.code ?? "lost",
      ),
    );
    const asked = performance.now();
    const known = house.runs.length;
    for (let n = 0; n < 9; n++) house.askIn(n % 3, "desk");
    await until("the others' answers", () => house.runs.length >= known + 9);
    const othersMs = performance.now() - asked;
    const heardFor = await deaf(join(house.world.folder, "gateway"));
    const grown = residentMiB(pid) - before;
    network.weather = {};
    const ends = await Promise.all(snaps);
    const { failures } = await house.counted();
    for (const why of failures) report.problem(`slow-consumer: ${why}`);
    report.say(`slow-consumer: the pictures ended as ${ends.join(", ")}`);
    report.figure("slow-consumer.failures", failures.length, {
      unit: "",
      goal: { op: "==", value: 0 },
    });
    report.figure("slow-consumer.silent_ends", ends.filter((end) => end === "lost").length, {
      unit: "calls",
      goal: { op: "==", value: 0 },
    });
    report.figure("slow-consumer.others", othersMs / 1_000, { unit: "s for nine calls" });
    report.figure("slow-consumer.cut_off_after", heardFor, {
      unit: "s",
      goal: { op: "<=", value: 30 },
    });
    report.figure("slow-consumer.memory", grown, {
      unit: "MiB",
      goal: { op: "<=", value: MOST_MIB },
    });
  },
};
