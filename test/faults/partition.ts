/**
 * A device whose network goes away in the middle of a call that must not happen twice: the cable, the
 * address, or every packet without a word. It comes back by itself, nothing is done twice, doubt is shown.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/home.ts";
import { assemble, ONCE } from "./assembly.ts";
import { House } from "./house.ts";
import { OwnNetwork } from "./own-network.ts";
import type { FaultPart } from "./part.ts";

const RUN_MS = 1_500;
/** Longer than the ten seconds in which silence with a call open must be found. */
const AWAY_MS = 15_000;
/** With a call open: 10 s of silence, and half a second. */
const DETECTED_S = 10.5;
/**
 * What a device that was away for 15 s may still wait: the try that is under way when the network comes
 * back ends after 5 s, the next comes within the backoff, 8 s after five tries in vain.
 */
const BACK_S = 13;
/** A change of address: the next look, within 5 s; a second of rest; 3 s for an answer on the old link; the new one. */
const CHANGED_S = 9.5;

interface Case {
  readonly name: string;
  readonly backS: number;
  strike(network: OwnNetwork): void;
  /** Absent: it heals at once. */
  heal?(network: OwnNetwork): void;
}

const CASES: readonly Case[] = [
  {
    name: "link-down",
    backS: BACK_S,
    strike: (network) => network.linkDown(),
    heal: (network) => network.linkUp(),
  },
  { name: "address", backS: CHANGED_S, strike: (network) => network.changeAddress() },
  {
    name: "silent",
    backS: BACK_S,
    strike: (network) => network.silence(),
    heal: (network) => network.speak(),
  },
];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const partition: FaultPart = {
  name: "partition",
  waits: true,
  title: "a device in a network of its own: link down, another address, silence",
  async run(report, { quick }) {
    try {
      OwnNetwork.open()[Symbol.dispose]();
    } catch (error) {
      report.say(
        `skipped: partition, because networks cannot be made here (${(error as Error).message})`,
      );
      return;
    }
    const assembly = await assemble(ONCE);
    const found = await Promise.all(
      CASES.map(async (one) => {
        const [detected, back, failures]: [number[], number[], string[]] = [[], [], []];
        for (let time = 0; time < (quick ? 1 : 5); time++) {
          const told = await strike(assembly, one);
          if (told.detectedS !== undefined) detected.push(told.detectedS);
          back.push(told.backS);
          failures.push(...told.failures);
        }
        return { one, detected, back, failures };
      }),
    );
    for (const { one, detected, back, failures } of found) {
      const name = `partition.${one.name}`;
      for (const why of failures)
        report.problem(`${name}: ${why}; again: npm run faults -- --only partition`);
      report.figure(`${name}.failures`, failures.length, {
        unit: "",
        goal: { op: "==", value: 0 },
      });
      report.figure(`${name}.back_most`, Math.max(...back), {
        unit: "s",
        goal: { op: "<=", value: one.backS },
      });
      if (detected.length > 0)
        report.figure(`${name}.detected_most`, Math.max(...detected), {
          unit: "s",
          goal: { op: "<=", value: DETECTED_S },
        });
    }
  },
};

/** One break, in a house of its own: after several a device waits longer before it comes back. */
async function strike(assembly: string, { strike: cut, heal }: Case) {
  using network = OwnNetwork.open();
  await using house = await House.open(assembly, {
    runMs: RUN_MS,
    prepare: async (world) => {
      const listen = [world.address, `${network.gateway}:${world.port}`];
      writeFileSync(join(world.home, "config.yaml"), `listen: [${listen.join(", ")}]\n`, {
        mode: 0o600,
      });
      world.via.set("laptop", `${network.gateway}:${world.port}`);
      world.through.set("laptop", network.through);
    },
  });
  const laptop = house.world.nodes.get("laptop");
  const links = () => laptop?.events.filter(({ event }) => event === "ready").length ?? 0;
  const isOnline = async () =>
    (await house.world.devices()).find(({ name }) => name === "laptop")?.state === "online";
  const before = links();
  house.askIn(0, "laptop");
  await until("the run at the laptop", () => house.runs.length > 0);
  cut(network);
  const struck = performance.now();
  let detectedS: number | undefined;
  let healed = struck;
  if (heal) {
    await until("the end of the link", async () => !(await isOnline()), undefined, 60_000);
    detectedS = (performance.now() - struck) / 1_000;
    await pause(Math.max(0, AWAY_MS - (performance.now() - struck)));
    heal(network);
    healed = performance.now();
  }
  await until(
    "the next link",
    () => links() > before,
    () => laptop?.words ?? "",
    60_000,
  );
  const backS = (performance.now() - healed) / 1_000;
  // It serves: what is asked now is done and told.
  house.askIn(0, "laptop");
  const { failures } = await house.counted();
  return { detectedS, backS, failures };
}
