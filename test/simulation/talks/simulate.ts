/**
 * One seed, one run of ten assistants and a chat without one, each with a model that does what it is told: two
 * devices, own tools, tasks, summaries, questions, stops and budgets, while the gateway crashes and links break.
 * In one of six seeds the chat is 500 turns long.
 */
// First of all: crash points look for their hook when their module loads.
import "../../support/crash.ts";
import "../gateway/capabilities.ts";
import { Agents } from "@kith/gateway/model/agents";
import { several } from "@kith/gateway/model/agents";
import { assistant } from "@kith/gateway/model/assistant";
import { hex, keyId } from "@kith/shared/ids";
import { type Seeded, World } from "../../support/world.ts";
import { alone } from "../gateway/alone.ts";
import { Media } from "../gateway/contents.ts";
import { Device } from "../gateway/device.ts";
import { Fates } from "../gateway/fates.ts";
import { Gateways, type Mind as Parts } from "../gateway/gateways.ts";
import { Network } from "../gateway/network.ts";
import { Person } from "../gateway/person.ts";
import { Registrar } from "../gateway/registrar.ts";
import type { Result } from "../runtime/simulate.ts";
import { Judge } from "./judge.ts";
import { Mind, type Step, steps } from "./mind.ts";
import { toolsOf } from "./tools.ts";

const AGENTS = Array.from({ length: 10 }, (_, n) => `agent${n}`);
const CHATS = ["home", ...AGENTS];
const DEVICES = ["laptop", "phone"] as const;
/** What each chat says, in a run that has no long chat, and beside one. */
const MESSAGES = 12;
const FEW = 2;
const LONG = 500;
/** Chaos lasts so long at most. */
const CHAOS_MS = 60_000;
const LONG_MS = 30 * 60_000;
const REST_MS = 30 * 60_000;
const LOOK_MS = 10_000;
const MOST_STEPS = 400_000;
const RISKY: readonly Step[] = ["fetch", "task", "act", "act"];
/** Tokens: so small that conversations are summed up after some turns. */
const WINDOW = 1_600;
const BUDGET = 60_000;

export const simulate = (seed: number): Promise<Result> => alone(new Simulation(seed), seed);

class Simulation {
  readonly #world: World;
  readonly #rng: Seeded;
  readonly #long: boolean;
  /** With one, nothing crashes: what a crash makes of a question is asked and paid twice. */
  readonly #budget: number | undefined;
  readonly #judge: Judge;
  readonly #mind: Mind;
  readonly #network: Network;
  readonly #gateways: Gateways;
  readonly #registrar: Registrar;
  readonly #devices: Device[];
  readonly #people: Person[];
  readonly #key: Uint8Array;
  readonly #violations: string[] = [];
  readonly #spoken = new Map<string, number>();
  #cuts = 0;
  #stops = 0;
  #story: readonly string[] | undefined;
  #chaos = true;
  #steps = 0;

  constructor(seed: number) {
    this.#long = seed % 6 === 5;
    this.#budget = seed % 3 === 0 ? BUDGET : undefined;
    this.#world = new World({
      seed,
      kinds: [],
      make: (parts, process) => this.#gateways.assemble(parts, process),
      recover: (opened, process) => this.#gateways.start(opened, process),
    });
    const world = this.#world;
    const chaos = (): boolean => this.#chaos;
    this.#rng = world.rng;
    this.#key = world.rng.bytes(32);
    this.#judge = new Judge({
      broken: (what) => this.broken(what),
      budget: this.#budget,
      window: WINDOW,
    });
    const judge = this.#judge;
    this.#mind = new Mind({ world, judge, chaos });
    this.#network = new Network(world);
    this.#gateways = new Gateways({
      ...{ world, network: this.#network, media: new Media(world), key: this.#key },
      mind: (process) => this.#parts(process),
      broken: (what) => this.broken(what),
    });
    this.#registrar = new Registrar(world, () => this.#gateways.now);
    const fates = new Fates(world, () => this.#chaos && this.#budget === undefined);
    world.fate = () => fates.next();
    world.soonMs = () => (this.#rng.chance(0.9) ? 0 : this.#rng.below(3));
    world.onCommit = (writes) => judge.committed(writes);
    world.onCrash = () => this.#gateways.gone();
    world.atCrashpoint = () => {
      const may = this.#chaos && this.#budget === undefined && world.process;
      if (may && this.#rng.chance(this.#long ? 0.0001 : 0.001)) world.crash("at a crash point");
    };
    this.#devices = DEVICES.map(
      (name) =>
        new Device(name, {
          ...{ world, network: this.#network, chaos },
          gateway: { id: keyId(this.#key), key: hex(this.#key) },
          asks: [],
          trouble: { syncMs: () => this.#rng.below(4), full: () => false, broken: () => false },
          events: {
            ran: (_, cap, mark) => judge.ran(cap, mark),
            invoked: (device, frame) => judge.invoked(device.id, frame),
            said: () => {},
            ended: (device) => this.broken(`${device.name} ended`),
            defect: (what, error) =>
              this.broken(`${what}: ${error instanceof Error ? error.stack : String(error)}`),
          },
        }),
    );
    this.#people = CHATS.map(
      (chat) =>
        new Person(chat, {
          // In a long chat everybody answers what they are asked: it would wait for a quarter of an hour.
          ...{ world, chaos: () => this.#chaos && !this.#long, history: judge },
          reachable: () => this.#gateways.now,
          broken: (what) => this.broken(what),
          shown: ({ final }) => {
            if (chat === "home" && final) this.#sayNext();
          },
        }),
    );
  }

  /** What thinks in one process of the gateway. */
  #parts(process: Parameters<Mind["of"]>[1]): Parts {
    const by = (parts: Parameters<Parts["answers"]>[0], agent: string) =>
      assistant({
        ...parts,
        ...{ name: "m", window: WINDOW, provider: this.#mind.of(agent, process) },
        briefing: async (whose) => `(the assistant ${whose})`,
      });
    return {
      answers: (parts) =>
        several(by(parts, "main"), new Map(AGENTS.map((agent) => [agent, by(parts, agent)]))),
      tools: toolsOf(this.#world, this.#judge, process),
      agents: new Agents(Object.fromEntries(AGENTS.map((agent) => [agent, {}]))),
      limits: this.#budget === undefined ? {} : { day: { tokens: this.#budget } },
    };
  }

  broken(what: string): void {
    this.#story ??= this.#world.recent;
    if (this.#violations.length < 5) this.#violations.push(`${this.#world.mono} ms: ${what}`);
  }

  async run(): Promise<void> {
    const world = this.#world;
    await world.boot();
    for (const device of this.#devices) {
      device.boot();
      this.#registrar.register(device);
    }
    this.#talk();
    const until = this.#long ? LONG_MS : CHAOS_MS;
    while (world.mono < until && !this.#isDone() && (await this.#step())) await this.#trouble();
    await this.#rest();
    if (this.#long && !this.#isDone()) this.broken(`only ${this.#turns} turns were said`);
    // Whatever was broken by then: each chat goes on.
    const last = new Map(this.#people.map((person) => [person.chat, this.#say(person, "")]));
    await this.#rest();
    this.#judge.finish((chat) => (this.#budget === undefined ? last.get(chat) : undefined));
  }

  result(seed: number): Result {
    const { crashes, rollbacks, hash, recent } = this.#world;
    const answers = CHATS.reduce((sum, chat) => sum + this.#judge.answers(chat), 0);
    return {
      seed,
      hash,
      violations: this.#violations,
      story: this.#story ?? recent,
      happened: {
        ...{ crashes, rollbacks, links: this.#network.links, cuts: this.#cuts },
        ...{ stops: this.#stops, answers, ...this.#judge.counts },
      },
    };
  }

  get #turns(): number {
    return this.#spoken.get("home") ?? 0;
  }

  #isDone(): boolean {
    return this.#long && this.#turns >= LONG;
  }

  /** What people say, over the first part of the run; in a long chat, one after the other. */
  #talk(): void {
    for (const person of this.#people) {
      if (this.#long && person.chat === "home") {
        this.#sayNext();
        continue;
      }
      for (let n = 0; n < (this.#long ? FEW : MESSAGES); n++)
        this.#world.in(this.#rng.below(CHAOS_MS - 10_000), `${person.chat} thinks`, () =>
          this.#speak(person),
        );
    }
  }

  #sayNext(): void {
    const [person] = this.#people;
    if (person && this.#long && this.#chaos && !this.#isDone()) this.#speak(person);
  }

  #speak(person: Person): void {
    const rng = this.#rng;
    const luck = rng.float();
    if (luck < 0.02) return this.#stop(person);
    if (luck < 0.05) return person.say(rng.chance(0.5) ? "/new" : "/queue followup");
    const wishes = Array.from({ length: rng.below(4) }, () => this.#wish(person.chat));
    this.#say(person, wishes.join());
    if (wishes.includes("slow") && rng.chance(0.5))
      this.#world.in(500 + rng.below(6_000), `${person.chat} is tired of it`, () =>
        this.#stop(person),
      );
  }

  #stop(person: Person): void {
    if (!this.#chaos) return;
    this.#stops++;
    person.say("/stop");
  }

  /** Half of the assistants never read what others wrote; the others do little else than that, and act on it. */
  #wish(chat: string): Step {
    const reads = chat === "home" || Number(chat.at(-1)) % 2 === 0;
    const among = reads
      ? this.#rng.chance(0.6)
        ? RISKY
        : steps
      : steps.filter((step) => step !== "fetch" && step !== "task");
    return among[this.#rng.below(among.length)] ?? "act";
  }

  #say(person: Person, wish: string): string {
    const n = (this.#spoken.get(person.chat) ?? 0) + 1;
    this.#spoken.set(person.chat, n);
    const mark = `${person.chat}.${n}`;
    person.say(`please ${wish || "answer"} ${mark}`);
    return mark;
  }

  async #step(until = Infinity): Promise<boolean> {
    if (++this.#steps > MOST_STEPS) throw new Error("it does not come to rest");
    return this.#world.step(until);
  }

  async #trouble(): Promise<void> {
    const rng = this.#rng;
    const world = this.#world;
    const often = this.#long ? 0.1 : 1;
    if (!world.process) {
      const until = world.mono + rng.below(300);
      while (await this.#step(until));
      world.mono = until;
      await world.boot();
    } else if (this.#budget === undefined && rng.chance(0.0006 * often)) world.crash("at random");
    const connections = [...this.#network.open];
    if (connections.length > 0 && rng.chance(0.001 * often)) {
      connections[rng.below(connections.length)]?.cut();
      this.#cuts++;
    }
  }

  /** Nothing breaks any more: what is open comes to its end. */
  async #rest(): Promise<void> {
    const world = this.#world;
    this.#chaos = false;
    const until = world.mono + REST_MS;
    let calm = 0;
    while (world.mono < until && calm < 2) {
      if (!world.process) await world.boot();
      for (const person of this.#people) person.settle();
      const next = world.mono + LOOK_MS;
      while (await this.#step(next)) if (!world.process) await world.boot();
      world.mono = next;
      calm = this.#left() === "" ? calm + 1 : 0;
    }
    if (calm < 2) this.broken(`it never came to rest: ${this.#left()}`);
  }

  #left(): string {
    const { disk } = this.#world;
    const open = [...disk.steps.values()].filter(({ end }) => !end).map(({ step }) => step.op);
    const people = this.#people.filter((person) => !person.quiet).map(({ chat }) => chat);
    const sessions = [...disk.actors].filter(
      ([id, { status }]) => id.startsWith("session/") && status === "live",
    );
    return [
      ...(sessions.length > CHATS.length ? [`${sessions.length - CHATS.length} tasks`] : []),
      ...(disk.inbox.size > 0 ? [`${disk.inbox.size} messages in the inbox`] : []),
      ...open.map((op) => `a step ${op}`),
      ...people.map((chat) => `${chat} has something to say`),
    ].join("; ");
  }
}
