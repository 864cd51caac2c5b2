/**
 * One seed, one run of the whole gateway: three devices with their agents, two chats, a network
 * and disks in which everything fails, and people who answer when they feel like it.
 */
// First of all: crash points look for their hook when their module loads.
import "../../support/crash.ts";
import { capabilities } from "./capabilities.ts";
import { commandModel } from "@kith/gateway/model/commands";
import type { Model } from "@kith/gateway/model/model";
import { hex, keyId } from "@kith/shared/ids";
import { type Seeded, World } from "../../support/world.ts";
import type { Result } from "../runtime/simulate.ts";
import { alone } from "./alone.ts";
import { Media } from "./contents.ts";
import { Device } from "./device.ts";
import { Fates } from "./fates.ts";
import { Gateways, NO_MIND } from "./gateways.ts";
import { History } from "./history.ts";
import { Network } from "./network.ts";
import { Person } from "./person.ts";
import { Registrar } from "./registrar.ts";
import { Watch } from "./watch.ts";

const DEVICES = ["laptop", "phone", "server"] as const;
const CHATS = ["ann", "ben"] as const;
const MESSAGES = 12;
const CHAOS_MS = 60_000;
/** How long all may take to come to rest after the last fault: devices wait minutes after several. */
const REST_MS = 20 * 60_000;
const LOOK_MS = 10_000;
/** Tasks of one run. More means that it does not come to rest. */
const MOST_STEPS = 200_000;

export const simulate = (seed: number): Promise<Result> => alone(new Simulation(seed), seed);

class Simulation {
  readonly #world: World;
  readonly #rng: Seeded;
  readonly #history = new History((what) => this.broken(what));
  readonly #watch: Watch;
  readonly #network: Network;
  readonly #media: Media;
  readonly #devices: Device[];
  readonly #people: Person[];
  readonly #key: Uint8Array;
  readonly #violations: string[] = [];
  readonly #happened = {
    cuts: 0,
    silences: 0,
    holds: 0,
    revoked: 0,
    slept: 0,
    asked: 0,
  };
  #story: readonly string[] | undefined;
  #chaos = true;
  #steps = 0;
  readonly #registrar: Registrar;
  readonly #gateways: Gateways;

  constructor(seed: number) {
    this.#world = new World({
      seed,
      kinds: [],
      make: (parts, process) => this.#gateways.assemble(parts, process),
      recover: (opened, process) => this.#gateways.start(opened, process),
    });
    const world = this.#world;
    this.#rng = world.rng;
    this.#key = world.rng.bytes(32);
    this.#network = new Network(world);
    this.#media = new Media(world);
    this.#gateways = new Gateways({
      ...{ world, network: this.#network, media: this.#media, key: this.#key },
      mind: () => ({ ...NO_MIND, answers: () => this.#model() }),
      broken: (what) => this.broken(what),
    });
    this.#watch = new Watch(
      () => world.disk,
      (what) => this.broken(what),
    );
    world.onCommit = (writes) => this.#watch.committed(writes);
    this.#registrar = new Registrar(world, () => this.#gateways.now);
    const fates = new Fates(world, () => this.#chaos);
    world.fate = () => fates.next();
    world.soonMs = () => (this.#rng.chance(0.9) ? 0 : this.#rng.below(3));
    world.onCrash = () => {
      this.#watch.died();
      this.#gateways.gone();
    };
    world.atCrashpoint = () => {
      if (this.#chaos && world.process && this.#rng.chance(0.002)) world.crash("at a crash point");
    };
    this.#network.meddles = () => this.#chaos && this.#rng.chance(0.0005);
    const chaos = () => this.#chaos;
    this.#devices = DEVICES.map(
      (name, n) =>
        new Device(name, {
          ...{ world, network: this.#network, chaos },
          gateway: { id: keyId(this.#key), key: hex(this.#key) },
          asks: n === 1 ? ["sim.act"] : [],
          trouble: {
            syncMs: () => (this.#rng.chance(0.9) ? this.#rng.below(4) : this.#rng.below(60)),
            full: () => this.#chaos && this.#rng.chance(0.002),
            broken: () => this.#chaos && this.#rng.chance(0.001),
          },
          events: {
            ran: (device, cap, mark) => {
              world.note(`${device.name} does ${cap} ${mark}`);
              this.#history.ran(cap, mark);
              if (this.#chaos && this.#rng.chance(0.2)) this.#loseSoon(device);
            },
            invoked: (device, frame) => {
              world.note(`${device.name} is asked for ${frame.cap} ${String(frame.args.mark)}`);
              this.#watch.invoked(device.id, frame);
            },
            said: (device, event) => {
              const why = "why" in event ? event.why : "error" in event ? event.error.message : "";
              world.note(`${device.name} says ${event.event} ${why}`);
              if (event.event === "failed" && event.error.code === "fenced")
                this.broken(`${device.name} was kept out: ${event.error.message}`);
            },
            ended: (device) => this.#again(device),
            defect: (what, error) =>
              this.broken(`${what}: ${error instanceof Error ? error.stack : String(error)}`),
          },
        }),
    );
    this.#people = CHATS.map(
      (chat) =>
        new Person(chat, {
          ...{ world, chaos, history: this.#history },
          reachable: () => this.#gateways.now,
          broken: (what) => this.broken(what),
          shown: (message) => {
            if (message.question) this.#happened.asked++;
            this.#watch.shown(message);
          },
        }),
    );
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
    while (world.mono < CHAOS_MS && (await this.#step())) await this.#trouble();
    await this.#rest();
    this.#history.finish((call) => this.#watch.markOf(call));
  }

  result(seed: number): Result {
    const { crashes, rollbacks, hash, recent } = this.#world;
    const { done = 0, failed = 0, denied = 0, unknown = 0, expired = 0 } = this.#history.ends;
    const deviceCrashes = this.#devices.reduce((sum, device) => sum + device.crashes, 0);
    return {
      seed,
      hash,
      violations: this.#violations,
      story: this.#story ?? recent,
      happened: {
        ...{ crashes, rollbacks, deviceCrashes, links: this.#network.links },
        ...{ done, failed, denied, unknown, expired, contents: this.#media.stored },
        ...this.#happened,
        ...{ stops: this.#gateways.stops, safe: this.#gateways.safe },
      },
    };
  }

  #model(): Model {
    const world = this.#world;
    return {
      name: "simulated",
      ask: (question, signal) => commandModel.ask(question, signal),
      answer: async (turn) => {
        const [verb, cap = "", device = "", mark = ""] = turn.text.split(" ");
        const ms = world.rng.chance(0.8) ? 0 : world.rng.below(500);
        if (ms > 0)
          await new Promise<void>(
            (resolve) => void world.in(ms, "model", resolve, this.#gateways.now?.process),
          );
        if (verb === "do") return { do: "call", cap, device, args: { mark } };
        if (verb === "echo") return { do: "say", text: turn.text.slice(5) };
        return await commandModel.answer(turn);
      },
    };
  }

  /** What people say, over the first part of the run. */
  #talk(): void {
    for (const person of this.#people) {
      for (let n = 0; n < MESSAGES; n++) {
        const at = this.#rng.below(CHAOS_MS - 10_000);
        this.#world.in(at, `${person.chat} thinks of something`, () =>
          person.say(this.#line(`${person.chat}${n}`)),
        );
      }
    }
  }

  #line(mark: string): string {
    const rng = this.#rng;
    const luck = rng.float();
    if (luck < 0.15) return `echo ${mark}`;
    if (luck < 0.18) return "/devices";
    if (luck < 0.19) return "/lock";
    const cap = capabilities[rng.below(capabilities.length)]?.name;
    return `do ${cap} ${DEVICES[rng.below(DEVICES.length)]} ${mark}`;
  }

  async #step(until = Infinity): Promise<boolean> {
    if (++this.#steps > MOST_STEPS) throw new Error("it does not come to rest");
    return this.#world.step(until);
  }

  /** Something breaks, now and then. */
  async #trouble(): Promise<void> {
    const rng = this.#rng;
    const world = this.#world;
    if (!world.process) {
      await this.#comeBack();
    } else if (rng.chance(0.0008)) world.crash("at random");
    else if (rng.chance(0.0003)) this.#gateways.stop();
    if (rng.chance(0.004)) {
      const device = this.#devices[rng.below(this.#devices.length)] as Device;
      if (device.process) {
        device.crash(rng.chance(0.5), rng.chance(0.2));
        this.#again(device);
      }
    }
    const connections = [...this.#network.open];
    const connection = connections[rng.below(connections.length)];
    if (connection && rng.chance(0.006)) {
      const what = rng.float();
      if (what < 0.4) {
        connection.cut();
        this.#happened.cuts++;
      } else if (what < 0.6) {
        connection.silence();
        this.#happened.silences++;
      } else if (what < 0.8) {
        this.#network.cutOff.set(connection.device, world.mono + rng.below(8_000));
        connection.silence();
        this.#happened.silences++;
      } else {
        connection.hold(rng.below(20_000));
        this.#happened.holds++;
      }
    }
    if (rng.chance(0.0006)) this.#revoke();
    if (rng.chance(0.0002)) {
      world.setClock(rng.chance(0.5) ? rng.below(120_000) : -rng.below(5_000));
      this.#happened.slept++;
    }
  }

  #again(device: Device): void {
    const ms = this.#rng.chance(0.2) ? this.#rng.below(15_000) : this.#rng.below(500);
    this.#world.in(ms, `${device.name} again`, () => {
      if (!device.process && !device.revoked) device.boot();
    });
  }

  /** The power goes in the middle of what the device does. */
  #loseSoon(device: Device): void {
    this.#world.in(this.#rng.below(60), `${device.name} loses its power`, () => {
      if (!device.process) return;
      device.crash(true, this.#rng.chance(0.1));
      this.#again(device);
    });
  }

  /** The owner ends a pairing, and pairs the device anew a while later. */
  #revoke(): void {
    const device = this.#devices[2] as Device;
    const person = this.#people[0] as Person;
    if (device.revoked) return;
    this.#happened.revoked++;
    person.say(`/revoke ${device.name}`);
    this.#world.in(2_000 + this.#rng.below(10_000), "pairs anew", () =>
      this.#registrar.register(device),
    );
  }

  async #comeBack(): Promise<void> {
    const down = this.#rng.chance(0.2) ? this.#rng.below(15_000) : this.#rng.below(300);
    const until = this.#world.mono + down;
    while (await this.#step(until));
    this.#world.mono = until;
    if (!this.#world.process) await this.#world.boot();
  }

  /** Nothing breaks any more: what is open comes to its end. */
  async #rest(): Promise<void> {
    const world = this.#world;
    this.#chaos = false;
    const until = world.mono + REST_MS;
    let calm = 0;
    while (world.mono < until && calm < 2) {
      if (!world.process) await world.boot();
      for (const device of this.#devices) {
        if (device.revoked) this.#registrar.register(device);
        else if (!device.process) device.boot();
      }
      for (const person of this.#people) {
        person.settle();
      }
      const next = world.mono + LOOK_MS;
      while (await this.#step(next)) if (!world.process) await world.boot();
      world.mono = next;
      calm = this.#isQuiet() ? calm + 1 : 0;
    }
    if (calm < 2) this.broken(`it never came to rest: ${this.#left()}`);
  }

  #left(): string {
    const { disk } = this.#world;
    const steps = [...disk.steps.values()].filter(({ end }) => !end).map(({ step }) => step.op);
    const people = this.#people.filter((person) => !person.quiet).map(({ chat }) => chat);
    const calls = this.#watch.open.map(({ id, state, name }) => `${id} ${state} at ${name}`);
    const absent = this.#devices.filter(({ id }) => !this.#isConnected(id)).map(({ name }) => name);
    return [
      ...(disk.inbox.size > 0 ? [`${disk.inbox.size} messages in the inbox`] : []),
      ...steps.map((op) => `a step ${op}`),
      ...people.map((chat) => `${chat} has something to say`),
      ...calls.map((call) => `call ${call}`),
      ...absent.map((name) => `${name} is not connected`),
    ].join("; ");
  }

  #isConnected(id: string): boolean {
    return [...this.#network.open].some(({ device }) => device === id);
  }

  #isQuiet(): boolean {
    return this.#left() === "";
  }
}
