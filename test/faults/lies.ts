/**
 * A lying device beside an honest one. Whatever it says, the honest one's call ends with the
 * honest result, questions stay open, and who does not stop is cut off.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Report } from "../report/report.ts";
import { type Owner, pairedWorld, until, type World } from "../support/home.ts";
import { assemble, ONCE, type Patch } from "./assembly.ts";
import { ATTACKS, type Attack, FAKE, UNSAFE } from "./attacks.ts";
import { Liar } from "./liar.ts";
import type { FaultPart } from "./part.ts";

const DEVICES = ["laptop", "desk"];
/** Long enough for a lie to arrive before the truth. */
const RUN_MS = 250;
const CUT_OFF_MS = 2_000;

const MUTANT: readonly Patch[] = [
  [
    "gateway/src/invocations/links.ts",
    "if (call?.device === link.device) return true;",
    "if (call) return true;",
  ],
  [
    "gateway/src/invocations/calls.ts",
    "return call?.device === device ? call : undefined;",
    "return call;",
  ],
];

interface Found {
  readonly effects: readonly string[];
  /** For attacks that must be cut off. */
  readonly cutMs: number | undefined;
}

/** An honest device, a question that waits, and the place of one that lies. */
class Stage implements AsyncDisposable {
  readonly world: World;
  readonly #runs: string;
  #owner: Owner | undefined;
  #cuts = 0;

  constructor(world: World) {
    this.world = world;
    this.#runs = join(world.folder, "runs");
  }

  static async open(patches: readonly Patch[]): Promise<Stage> {
    const programs = await assemble([...ONCE, ...patches]);
    const stage = new Stage(await pairedWorld(DEVICES, undefined, programs));
    await stage.begin();
    stage.#owner = await stage.world.owner();
    await stage.world.refused("invoke", { device: "desk", cap: "camera.snap" });
    return stage;
  }

  /** A gateway that has not met the liar: what it remembers of its conduct is gone. */
  async begin(): Promise<void> {
    this.#cuts = 0;
    const { world } = this;
    // The node too: after some restarts it would wait for longer and longer.
    // In order: after three crashes in five minutes it would be in safe mode.
    await Promise.all([world.gateway?.end("SIGTERM"), world.nodes.get("desk")?.end()]);
    await world.startGateway();
    const env = { KITH_TEST_RUNS: this.#runs, KITH_TEST_RUN_MS: String(RUN_MS) };
    await world.startNode("desk", { env });
  }

  runs(): string[] {
    return existsSync(this.#runs)
      ? readFileSync(this.#runs, "utf8").split("\n").filter(Boolean)
      : [];
  }

  get told(): string[] {
    return this.#owner?.messages.map(({ text }) => text) ?? [];
  }

  /** One lie, told while the honest device is at work. */
  async meet({ cutOff, keptOut, run }: Attack): Promise<Found> {
    const { world } = this;
    // The third within a minute would be kept out before it could do harm.
    if (this.#cuts >= 2) await this.begin();
    this.#cuts += keptOut ? 2 : cutOff ? 1 : 0;
    using liar = await Liar.welcome(world, "laptop");
    const before = this.runs().length;
    const asked = world.call("invoke", { device: "desk", cap: "device.info" });
    asked.catch(() => {}); // Looked at below.
    await until("the honest device at work", () => this.runs().length > before);
    const theirs = this.runs().at(-1) ?? "";
    const began = performance.now();
    await run(liar, { theirs, world });
    let cutMs: number | undefined;
    if (cutOff) {
      await until("the end of its link", () => liar.closed, undefined, 10_000);
      cutMs = performance.now() - began;
    }
    const effects: string[] = [];
    const outcome = await asked.then(
      ({ out }) => out,
      (why: Error) => ({ out: { os: `${why.name}: ${why.message}` } }),
    );
    if (outcome.out.os === FAKE || outcome.out.memory_bytes === undefined)
      effects.push(`the honest call ended as ${JSON.stringify(outcome.out)}`);
    if (this.runs().filter((call) => call === theirs).length !== 1)
      effects.push("the honest device ran twice");
    const { approvals } = (await world.call("approvals.list")).out;
    if (approvals.length !== 1) effects.push(`${approvals.length} questions are open, not one`);
    return { effects, cutMs };
  }

  /** Whatever a lie may have made of its words: names of files, text on a screen. */
  async traces(): Promise<{ paths: string[]; texts: string[] }> {
    const paths = readdirSync(this.world.folder, { recursive: true, encoding: "utf8" });
    const rows = (await this.world.audit()).map((row) => JSON.stringify(row));
    return {
      paths: paths.filter((path) => path.includes("escape")),
      texts: [...this.told, ...rows].filter((text) => UNSAFE.test(text)),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}

/** Two agents that take turns with one key are both kept out until the owner decides. */
async function copied({ world }: Stage): Promise<boolean> {
  const boots = ["A", "B"].map((letter) => letter.repeat(26));
  for (let turn = 0; turn < 6; turn++) {
    const boot = boots[turn % 2];
    using liar = await Liar.open(world, "laptop", boot === undefined ? {} : { boot });
    const welcome = await liar.hear("welcome").then(
      () => true,
      () => false,
    );
    if (!welcome) return liar.closed === 4409;
  }
  return false;
}

/** Who was cut off is told of, once, and has to wait. */
async function quarantined(stage: Stage): Promise<{ told: number; refused: boolean }> {
  const { world } = stage;
  const offended = async () =>
    (await world.audit()).filter(({ what }) => what === "device.offended");
  await until("the owner to hear of it", () =>
    stage.told.some((text) => text.includes("not its to say")),
  );
  using again = await Liar.open(world, "laptop");
  await until("its end", () => again.closed);
  const told = stage.told.filter((text) => text.includes("not its to say")).length;
  return {
    told: Math.max(told, (await offended()).length),
    refused: again.closed === 4429 && !again.frames.some(({ t }) => t === "welcome"),
  };
}

async function prove(report: Report, rounds: number): Promise<void> {
  await using stage = await Stage.open([]);
  let attacks = 0;
  let effects = 0;
  let slowestMs = 0;
  const tell = (name: string, found: Found): void => {
    attacks++;
    effects += found.effects.length;
    slowestMs = Math.max(slowestMs, found.cutMs ?? 0);
    if ((found.cutMs ?? 0) > CUT_OFF_MS)
      report.say(`${name}: cut off only after ${((found.cutMs ?? 0) / 1_000).toFixed(1)} s`);
    for (const what of found.effects) report.problem(`lies: ${name}: ${what}`);
  };
  for (let round = 0; round < rounds; round++)
    for (const attack of ATTACKS) tell(attack.name, await stage.meet(attack));

  const claims = ATTACKS.find(({ name }) => name === "a flood of results of another device's call");
  if (!claims) throw new Error("no flood of claims");
  tell(claims.name, await stage.meet(claims));
  const { told, refused } = await quarantined(stage);
  await stage.begin();
  const held = await copied(stage);
  const { paths, texts } = await stage.traces();
  for (const trace of [...paths, ...texts]) report.say(`trace: ${JSON.stringify(trace)}`);

  const none = { unit: "", goal: { op: "==", value: 0 } } as const;
  const one = { unit: "", goal: { op: "==", value: 1 } } as const;
  report.figure("lies.attacks", attacks, { unit: "" });
  report.figure("lies.effects", effects, none);
  report.figure("lies.paths", paths.length, none);
  report.figure("lies.unsafe_texts", texts.length, none);
  report.figure("lies.cut_off_most", slowestMs / 1_000, {
    unit: "s",
    goal: { op: "<=", value: CUT_OFF_MS / 1_000 },
  });
  report.figure("lies.owner_told", told, one);
  report.figure("lies.kept_out", refused ? 1 : 0, one);
  report.figure("lies.copied_key_held", held ? 1 : 0, one);
}

async function mutant(report: Report, least: number): Promise<void> {
  const attack = ATTACKS.find(({ name }) => name === "the result of another device's call");
  if (!attack) throw new Error("no such attack");
  let found = 0;
  for (let hit = 0; hit < least; hit++) {
    await using stage = await Stage.open(MUTANT);
    if ((await stage.meet(attack)).effects.length > 0) found++;
  }
  report.planted({
    name: "whose call it is is not checked",
    by: found > 0 ? "lies.effects" : null,
    hits: least,
    found,
  });
}

export const lies: FaultPart = {
  name: "lies",
  title: "a paired device that lies, floods and breaks the rules, beside an honest one",
  async run(report, { quick }) {
    await prove(report, quick ? 1 : 5);
    await mutant(report, quick ? 1 : 5);
  },
};
