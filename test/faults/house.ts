/**
 * Three devices that do what must not be done twice, several chats that ask for it, and the
 * count at the end: asked once, answered once, done at most once, doubt shown.
 *
 *   chats ── /info DEVICE ──► gateway ══ nodes ──► a line in `runs` for each run, with its call
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type How,
  type Owner,
  pairedWorld,
  type Running,
  until,
  type World,
} from "../support/home.ts";

export const DEVICES = ["laptop", "desk", "shed"] as const;
/** Answered sentences: a call counts once, also when doubt about it is lifted later. */
const told = (messages: Owner["messages"]): number =>
  new Set(
    messages.flatMap(({ id, final, result, error }) => {
      if (result) return [result.call as string];
      return final || error ? [id] : [];
    }),
  ).size;
const CHATS = ["console", "kitchen", "garden"];

export class House implements AsyncDisposable {
  readonly world: World;
  readonly chats: Owner[] = [];
  /** Acknowledgements that are on their way, and sentences per chat. */
  readonly #saying: Promise<void>[] = [];
  readonly said: number[] = CHATS.map(() => 0);
  #turn = 0;
  #talking: NodeJS.Timeout | undefined;

  private constructor(world: World) {
    this.world = world;
  }

  /** Everything is up and every device has been heard to offer what it does. */
  static async open(
    programs: string,
    { runMs = 20, prepare = async (_: World) => {} } = {},
  ): Promise<House> {
    const world = await pairedWorld(DEVICES, undefined, programs);
    const house = new House(world);
    house.#runMs = runMs;
    await prepare(world);
    await world.startGateway();
    await Promise.all(DEVICES.map((name) => house.startNode(name)));
    for (const name of DEVICES) await world.offers(name, (caps) => caps.length > 0);
    // The first offers again what was acknowledged, as some networks do; the others trust.
    for (const [n, chat] of CHATS.entries()) house.chats.push(await world.owner(chat, n > 0));
    return house;
  }

  #runMs = 20;

  get #runs(): string {
    return join(this.world.folder, "runs");
  }

  startNode(name: string): Promise<unknown> {
    return this.spawnNode(name).event("ready");
  }

  spawnNode(name: string, how: How = {}): Running {
    return this.world.spawnNode(name, {
      ...how,
      env: { KITH_TEST_RUNS: this.#runs, KITH_TEST_RUN_MS: String(this.#runMs) },
    });
  }

  /** Says it in this chat; the acknowledgement is awaited at the end. */
  askIn(chat: number, device: string): void {
    this.said[chat] = (this.said[chat] ?? 0) + 1;
    const saying = this.chats[chat]?.say(`/info ${device}`) ?? Promise.resolve();
    saying.catch(() => {}); // Awaited in `counted`.
    this.#saying.push(saying);
  }

  /** So many sentences a second, until `quiet`. */
  talk(perSecond: number): void {
    this.#talking = setInterval(() => {
      const turn = this.#turn++;
      // Every chat asks every device.
      const device = DEVICES[(turn + Math.floor(turn / CHATS.length)) % DEVICES.length];
      this.askIn(turn % CHATS.length, device ?? "laptop");
    }, 1_000 / perSecond);
  }

  quiet(): void {
    clearInterval(this.#talking);
  }

  get runs(): string[] {
    return existsSync(this.#runs)
      ? readFileSync(this.#runs, "utf8").split("\n").filter(Boolean)
      : [];
  }

  /** Waits until all that was said is acknowledged and answered, and returns what is wrong. */
  async counted(
    patienceMs = 60_000,
  ): Promise<{ readonly failures: readonly string[]; readonly unknown: number }> {
    this.quiet();
    const failures: string[] = [];
    await Promise.all(this.#saying);
    const answers = (chat: number) => told(this.chats[chat]?.messages ?? []);
    await until(
      "the last answer",
      async () => {
        await Promise.all(this.chats.map((owner) => owner.stay()));
        return CHATS.every((_, chat) => answers(chat) >= (this.said[chat] ?? 0));
      },
      undefined,
      patienceMs,
    ).catch(() => {});
    // What would be said twice is said by now: an answer to this comes behind it.
    for (const [chat, owner] of this.chats.entries()) {
      const before = answers(chat);
      if (before !== this.said[chat])
        failures.push(`${CHATS[chat]}: ${this.said[chat]} were accepted, ${before} were answered`);
      this.said[chat] = before + 1;
      await owner.say("/help");
      await owner.hear("help", ({ text }) => text.includes("/unlock"));
      if (answers(chat) !== before + 1) failures.push(`${CHATS[chat]}: an answer came twice`);
    }
    const { runs } = this;
    const twice = runs.length - new Set(runs).size;
    if (twice > 0) failures.push(`${twice} acts were done twice`);
    const ends = this.chats.flatMap(({ messages }) =>
      messages.flatMap(({ result }) => result ?? []),
    );
    const states = ends.map(({ call, state }) => `${call} ${state}`);
    if (new Set(states).size !== states.length) failures.push("an end was told twice");
    const ran = new Set(runs);
    for (const { call, state, failure } of ends) {
      if (state === "done" && !ran.has(call)) failures.push(`${call} was told as done and was not`);
      if (ran.has(call) && failure?.effect === "none")
        failures.push(`${call} was done and told as if it was not`);
    }
    for (const call of ran)
      if (!ends.some((end) => end.call === call)) failures.push(`${call} was done and never told`);
    const unknown = ends.filter(({ state }) => state === "unknown").length;
    if (!(await this.world.auditIsWhole())) failures.push("the audit chain is broken");
    return { failures, unknown };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.quiet();
    await this.world[Symbol.asyncDispose]();
  }
}
