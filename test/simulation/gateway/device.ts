/**
 * One simulated device: the real agent with its real ledger on a simulated disk, drivers that can
 * be counted, and somebody who sits there and sometimes answers.
 */
import { Agent } from "@kith/node-agent/agent";
import { Home } from "@kith/node-agent/config";
import { Consent } from "@kith/node-agent/consent";
import type { AnyDriver } from "@kith/node-agent/drivers/driver";
import type { AgentEvent } from "@kith/node-agent/events";
import { Ledger } from "@kith/node-agent/ledger";
import { notices } from "@kith/node-agent/notice";
import { Incoming } from "@kith/node-agent/incoming";
import { Outgoing } from "@kith/node-agent/outgoing";
import { Policy } from "@kith/node-agent/policy";
import { Server } from "@kith/node-agent/serve";
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { type KeyId, hex, keyId, newId } from "@kith/shared/ids";
import type { Invoke } from "@kith/shared/protocol/call";
import type { Mortal, World } from "../../support/world.ts";
import { capabilities } from "./capabilities.ts";
import { Volume } from "./files.ts";
import type { Network } from "./network.ts";
import { dialers } from "./reach.ts";

/** What the rest of a run wants to know of a device. */
export interface DeviceEvents {
  /** A driver starts: something happens in the world. */
  ran(device: Device, cap: string, mark: string): void;
  /** A call arrived. */
  invoked(device: Device, frame: Invoke): void;
  said(device: Device, event: AgentEvent): void;
  /** Its process ended because of its disk. */
  ended(device: Device): void;
  defect(what: string, error: unknown): void;
}

export interface DeviceOptions {
  readonly world: World;
  readonly network: Network;
  readonly events: DeviceEvents;
  readonly gateway: { readonly id: string; readonly key: string };
  /** Capabilities that ask the person at the device first. */
  readonly asks: readonly string[];
  readonly trouble: ConstructorParameters<typeof Volume>[2];
  /** Whether faults happen now. */
  readonly chaos: () => boolean;
}

const DISK_CODES: readonly unknown[] = ["ENOSPC", "EIO", "disk-full", "store-damaged"];
const isDisk = (error: unknown): boolean =>
  error instanceof Error && "code" in error && DISK_CODES.includes(error.code);

/** Ms that a driver which was told to stop takes for it. */
const STOPPING_MS = 200;

export class Device {
  readonly name: string;
  readonly publicKey: Uint8Array;
  readonly id: KeyId;
  process: Mortal | undefined;
  /** Its owner ended the pairing; it does nothing until it pairs anew. */
  revoked = false;
  crashes = 0;
  readonly #options: DeviceOptions;
  readonly #volume: Volume;
  #processes = 0;

  constructor(name: string, options: DeviceOptions) {
    const { world, gateway, asks, trouble } = options;
    this.name = name;
    this.#options = options;
    this.publicKey = world.rng.bytes(32);
    this.id = keyId(this.publicKey);
    this.#volume = new Volume(name, world, trouble);
    const policy = capabilities.map((one) => [one.name, asks.includes(one.name) ? "ask" : "allow"]);
    const settings = {
      name,
      kind: "laptop",
      gateway: { addresses: ["gateway:1"], key: gateway.key, id: gateway.id },
      policy: Object.fromEntries(policy),
      cameras: [],
      roots: {},
    };
    this.#volume.put(`/${name}/node/node.json`, JSON.stringify(settings));
  }

  /** As `kith node --local` says it to the gateway. */
  get registration() {
    const about = { name: this.name, kind: "laptop", os: "simulated", arch: "x64", agent: "sim/1" };
    return { key: hex(this.publicKey), ...about, caps: capabilities.map(({ name }) => name) };
  }

  boot(): void {
    const process = { n: `${this.name}.${++this.#processes}`, dead: false };
    this.process = process;
    this.#volume.owner = process;
    this.#options.world.note(`boot ${process.n}`);
    this.#run(process).catch((error: unknown) => {
      if (process.dead) return;
      process.dead = true;
      this.process = undefined;
      if (error instanceof KithError && error.code === "revoked") this.revoked = true;
      // Whoever supervises it starts it again, when its disk has recovered.
      else if (isDisk(error)) this.#options.events.ended(this);
      else this.#options.events.defect(`${this.name} ended`, error);
    });
  }

  /** `power`: what was not synced goes as well. `lost`: it is set up anew, its memory of calls is gone. */
  crash(power: boolean, lost = false): void {
    const { process } = this;
    if (!process) return;
    this.#options.world.note(`crash ${process.n}${power ? " power" : ""}${lost ? " lost" : ""}`);
    this.crashes++;
    (process as { dead: boolean }).dead = true;
    this.process = undefined;
    if (power) this.#volume.crash();
    if (lost) this.#volume.files.delete(`/${this.name}/node/ledger.log`);
  }

  async #run(process: Mortal): Promise<void> {
    const { world, network, events } = this.#options;
    const { rng } = world;
    const clock = world.clock(process);
    const home = await Home.open(`/${this.name}/node`, { name: this.name, kind: "laptop" });
    const ledger = await Ledger.open(home.path("ledger.log"), clock, rng);
    const outgoing = new Outgoing(home.path("spool"), clock, rng);
    await outgoing.recover(ledger.streams());
    const policy = new Policy(home, clock);
    const consent = new Consent(clock);
    this.#answer(consent, process);
    const drivers = this.#drivers(clock);
    const say = async (event: AgentEvent): Promise<void> => {
      if (!process.dead) events.said(this, event);
    };
    const parts = {
      clock,
      rng,
      home,
      drivers,
      policy,
      ledger,
      outgoing,
      incoming: new Incoming(),
      say,
    };
    const log = (error: unknown): void => {
      if (!process.dead && !(error instanceof KithError) && !isDisk(error))
        events.defect(`${this.name}: a defect`, error);
    };
    const server = new Server({ ...parts, consent, notices: notices(say, clock), log });
    const serve = server.invoke.bind(server);
    server.invoke = (frame) => {
      events.invoked(this, frame);
      serve(frame);
    };
    dialers.set(this.publicKey, (key) => network.dial(key, process));
    const agent = new Agent({
      ...parts,
      ...{ server, boot: newId(clock, rng), network: () => "" },
      soon: (fn) => void world.in(0, `${process.n} end of turn`, fn, process),
      own: { publicKey: this.publicKey } as never,
      about: { name: this.name, kind: "laptop", os: "simulated", arch: "x64", agent: "sim/1" },
      person: { choose: async () => undefined, line: async () => undefined },
    });
    await agent.run(new AbortController().signal);
  }

  #drivers(clock: Clock): AnyDriver[] {
    const { world, events, chaos } = this.#options;
    const { rng } = world;
    return capabilities.map((capability) => ({
      capability,
      parallel: 2,
      maxMs: 8_000,
      probe: async () => ({ state: "ready" }),
      run: async ({ mark }: { mark: string }, tools) => {
        events.ran(this, capability.name, mark);
        const luck = chaos() ? rng.float() : 0;
        const ms = luck < 0.6 ? rng.below(40) : luck < 0.93 ? rng.below(2_000) : 20_000;
        await new Promise<void>((resolve, reject) => {
          const stop = (): void =>
            void clock.after(STOPPING_MS, () => reject(tools.signal.reason as Error));
          clock.after(Math.min(ms, 30_000), resolve);
          if (ms > 40) tools.signal.addEventListener("abort", stop);
        });
        if (luck > 0.55 && luck < 0.6) throw new KithError("driver", "it failed");
        if (capability.name === "sim.shot") {
          const size = 1_000 + rng.below(rng.chance(0.1) ? 400_000 : 20_000);
          tools.stream("image", "image/png", { bytes: new Uint8Array(size).fill(mark.length) });
        }
        return { mark };
      },
    }));
  }

  /** Whoever sits there says yes, no, or nothing. */
  #answer(consent: Consent, process: Mortal): void {
    const { world, chaos } = this.#options;
    consent.listen(({ call }) => {
      const luck = chaos() ? world.rng.float() : 0;
      if (luck > 0.85) return;
      const say = (): void => void consent.answer(call, luck < 0.7);
      world.in(world.rng.below(10_000), `${process.n} person`, say, process);
    });
  }
}
