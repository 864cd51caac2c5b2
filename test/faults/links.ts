/**
 * A device that goes silent in the middle of a call: its process is stopped, or its network
 * forgets it without a word. What must not happen twice becomes doubt that is shown, the others
 * go on, and the device comes back by itself.
 */
import type { Report } from "../report/report.ts";
import { until } from "../support/home.ts";
import { Seeded } from "../support/world.ts";
import { assemble, ONCE } from "./assembly.ts";
import { ChaosProxy } from "./chaos-proxy.ts";
import { House } from "./house.ts";
import type { FaultPart } from "./part.ts";

/** With a call open: 10 s of silence, and half a second. */
const DETECTED_MS = 10_500;
const BACK_MS = 5_000;
const RUN_MS = 1_500;

/** Messages of the chat that answer. */
const answers = (house: House, chat: number) =>
  house.chats[chat]?.messages.filter(({ result, error }) => result || error) ?? [];

/**
 * Asks the laptop, makes it silent in mid-call, asks the others, heals, and waits until it is
 * back. Returns how long each took, in ms.
 */
async function silence(house: House, strike: () => void, heal: () => void, doubt: boolean) {
  const before = house.runs.length;
  const answered = answers(house, 0).length;
  house.askIn(0, "laptop");
  await until("the run at the laptop", () => house.runs.length > before);
  strike();
  const struck = performance.now();
  const others: number[] = [];
  for (const [chat, device] of [
    [1, "desk"],
    [2, "shed"],
  ] as const) {
    const asked = performance.now();
    const known = answers(house, chat).length;
    house.askIn(chat, device);
    await until(`the answer of ${device}`, () => answers(house, chat).length > known);
    others.push(performance.now() - asked - RUN_MS);
  }
  const laptop = async () =>
    (await house.world.devices()).find(({ name }) => name === "laptop")?.state === "online";
  await until("the end of the silent link", async () => !(await laptop()), undefined, 60_000);
  const detectedMs = performance.now() - struck;
  // Past its deadline nobody waits any more: it is told as doubt, and the late result comes after.
  if (doubt) await until("the doubt", () => answers(house, 0).length > answered, undefined, 60_000);
  heal();
  const healed = performance.now();
  await until("the device", laptop, undefined, 60_000);
  return { detectedMs, backMs: performance.now() - healed, othersMs: Math.max(...others) };
}

async function prove(
  report: Report,
  name: string,
  house: House,
  times: number,
  strike: (time: number) => void,
  heal: () => void,
  doubt = false,
): Promise<void> {
  const all: Awaited<ReturnType<typeof silence>>[] = [];
  for (let time = 0; time < times; time++)
    all.push(await silence(house, () => strike(time), heal, doubt));
  const { failures, unknown } = await house.counted();
  for (const why of failures)
    report.problem(`${name}: ${why}; again: npm run faults -- --only ${name}`);
  report.figure(`${name}.failures`, failures.length, { unit: "", goal: { op: "==", value: 0 } });
  report.figure(`${name}.doubt_shown`, unknown, {
    unit: "calls",
    ...(doubt && { goal: { op: "==", value: times } }),
  });
  const most = (of: "detectedMs" | "backMs" | "othersMs") =>
    Math.max(...all.map((one) => one[of])) / 1_000;
  report.figure(`${name}.detected_most`, most("detectedMs"), {
    unit: "s",
    goal: { op: "<=", value: DETECTED_MS / 1_000 },
  });
  report.figure(`${name}.back_most`, most("backMs"), {
    unit: "s",
    goal: { op: "<=", value: BACK_MS / 1_000 },
  });
  report.figure(`${name}.others_most`, most("othersMs"), {
    unit: "s",
    goal: { op: "<=", value: 1 },
  });
}

export const frozen: FaultPart = {
  name: "frozen",
  title: "SIGSTOP of a device in the middle of a call that must not happen twice",
  async run(report, { quick }) {
    await using house = await House.open(await assemble(ONCE), { runMs: RUN_MS });
    const laptop = () => house.world.nodes.get("laptop")?.child;
    const strike = () => void laptop()?.kill("SIGSTOP");
    const heal = () => void laptop()?.kill("SIGCONT");
    await prove(report, "frozen", house, quick ? 1 : 10, strike, heal, true);
  },
};

export const halfOpen: FaultPart = {
  name: "half-open",
  title: "a network that forgets a device without a word, one way and both",
  async run(report, { quick }) {
    let proxy: ChaosProxy | undefined;
    await using house = await House.open(await assemble(ONCE), {
      runMs: RUN_MS,
      prepare: async (world) => {
        proxy = await ChaosProxy.open(world.port, new Seeded(1));
        world.via.set("laptop", proxy.port);
      },
    });
    using network = proxy as unknown as ChaosProxy;
    const ways = ["both", "up", "down"] as const;
    await prove(
      report,
      "half-open",
      house,
      quick ? 1 : 9,
      (time) => {
        network.weather = { silent: ways[time % ways.length] ?? "both" };
      },
      () => {
        network.weather = {};
        network.reset();
      },
    );
  },
};
