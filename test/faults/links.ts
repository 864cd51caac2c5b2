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

/** One device that can be made silent, among two others. */
interface Stage extends AsyncDisposable {
  readonly house: House;
  strike(): void;
  heal(): void;
}

/** Each time in a house of its own: after several broken links a device waits longer before it comes back. */
async function prove(
  report: Report,
  name: string,
  times: number,
  open: (time: number) => Promise<Stage>,
  doubt = false,
): Promise<void> {
  const all: Awaited<ReturnType<typeof silence>>[] = [];
  const failures: string[] = [];
  let unknown = 0;
  for (let time = 0; time < times; time++) {
    await using stage = await open(time);
    const { house, strike, heal } = stage;
    all.push(await silence(house, strike, heal, doubt));
    const counted = await house.counted();
    failures.push(...counted.failures);
    unknown += counted.unknown;
  }
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
  waits: true,
  title: "SIGSTOP of a device in the middle of a call that must not happen twice",
  async run(report, { quick }) {
    const assembly = await assemble(ONCE);
    const open = async (): Promise<Stage> => {
      const house = await House.open(assembly, { runMs: RUN_MS });
      const laptop = () => house.world.nodes.get("laptop")?.child;
      return {
        house,
        strike: () => void laptop()?.kill("SIGSTOP"),
        heal: () => void laptop()?.kill("SIGCONT"),
        [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
      };
    };
    await prove(report, "frozen", quick ? 1 : 10, open, true);
  },
};

/**
 * Where only what goes to the device is lost, its result still arrives; then no call is open, and
 * the silence is found in 45 s like that of any idle link.
 */
const WAYS = ["both", "up"] as const;

export const halfOpen: FaultPart = {
  name: "half-open",
  waits: true,
  title: "a network that forgets a device without a word: both ways, or what the device sends",
  async run(report, { quick }) {
    const assembly = await assemble(ONCE);
    const open = async (time: number): Promise<Stage> => {
      let proxy: ChaosProxy | undefined;
      const house = await House.open(assembly, {
        runMs: RUN_MS,
        prepare: async (world) => {
          proxy = await ChaosProxy.open(world.port, new Seeded(1));
          world.via.set("laptop", proxy.port);
        },
      });
      const network = proxy as unknown as ChaosProxy;
      return {
        house,
        strike: () => {
          network.weather = { silent: WAYS[time % WAYS.length] ?? "both" };
        },
        heal: () => {
          network.weather = {};
          network.reset();
        },
        async [Symbol.asyncDispose]() {
          network[Symbol.dispose]();
          await house[Symbol.asyncDispose]();
        },
      };
    };
    await prove(report, "half-open", quick ? 1 : 8, open);
  },
};
