/** The gateway's processes, one after the other: the product's own core, on the simulated disk and network. */
import { type Core, type CoreOptions, assemble } from "@kith/gateway/core";
import { fingerprinter } from "@kith/gateway/audit/fingerprint";
import { house } from "@kith/gateway/mesh/house";
import { CAREFUL } from "@kith/gateway/grants/boundaries";
import { Agents } from "@kith/gateway/model/agents";
import type { Runtime, RuntimeOptions } from "@kith/gateway/runtime/runtime";
import type { Opened } from "@kith/gateway/runtime/store";
import { KithError } from "@kith/shared/errors";
import { hex, keyId } from "@kith/shared/ids";
import type { Process, World } from "../../support/world.ts";
import type { Media } from "./contents.ts";
import type { Network } from "./network.ts";

/** Why a hello may fail here; anything else is a defect. */
const REASONS: readonly string[] = ["disk-full", "gateway-away", "timeout"];

/** The gateway that people can reach now. */
export interface Reachable {
  readonly core: Core;
  readonly process: Process;
}

export interface GatewaysOptions {
  readonly world: World;
  readonly network: Network;
  readonly media: Media;
  /** Public key. */
  readonly key: Uint8Array;
  /** What thinks in it. */
  readonly mind: (process: Process) => Mind;
  readonly broken: (what: string) => void;
}

export type Mind = Pick<CoreOptions, "answers" | "tools" | "agents" | "limits">;
export const NO_MIND = { tools: [], agents: new Agents({}), limits: {} };

export class Gateways {
  now: Reachable | undefined;
  /** Stops in order, and starts in safe mode. */
  stops = 0;
  safe = 0;
  readonly #options: GatewaysOptions;
  readonly #cores = new WeakMap<Process, Core>();
  #stopping = false;

  constructor(options: GatewaysOptions) {
    this.#options = options;
  }

  /** What stands around the runtime of one process. */
  assemble(parts: Omit<RuntimeOptions, "kinds">, process: Process): Runtime {
    const core = assemble({
      ...parts,
      ...{
        home: "/gateway",
        addresses: () => ["gateway:1"],
        open: async () => "gateway:1",
        attach: () => Promise.reject(new KithError("gone", "there are no files here")),
        agentHash: async () => undefined,
        setName: () => {},
        tailnet: undefined,
        ceiling: "auto",
        local: () => "",
        model: undefined,
        timezone: "UTC",
        boundaries: CAREFUL,
        prices: () => undefined,
      },
      ...this.#options.mind(process),
      contents: this.#options.media.of(process),
      gateway: {
        id: keyId(this.#options.key),
        name: "gateway",
        key: hex(this.#options.key),
        version: "0",
      },
      fingerprint: fingerprinter(new Uint8Array(32)),
      lastWallMs: this.#options.world.disk.lastWallMs,
      noticed: (text) => {
        if (process.dead) return;
        this.#options.world.note(`notice ${text.slice(0, 60)}`);
        if (text.startsWith("Safe mode")) this.safe++;
      },
    });
    this.#cores.set(process, core);
    return core.runtime;
  }

  /** Takes up what the last one left; then devices and people may come. */
  start(opened: Opened, process: Process): void {
    const core = this.#cores.get(process);
    if (!core) throw new Error("a process without a core");
    const { world } = this.#options;
    const { rng } = world;
    const clock = world.clock(process);
    const ready = (): void => {
      if (process.dead) return;
      this.now = { core, process };
      const gateway = { id: keyId(this.#options.key), name: "gateway", keys: {} as never };
      const log = (what: string, error?: unknown): void => {
        // A full disk, a slow one and an orderly stop are reasons; anything else here is a defect.
        const reason = error instanceof KithError && REASONS.includes(error.code);
        if (!process.dead && error !== undefined && !reason)
          this.#options.broken(`${what}: ${error instanceof Error ? error.stack : String(error)}`);
      };
      const { links: handlers, pairing, tickets } = core;
      this.#options.network.gateway = {
        process,
        house: house({ gateway, handlers, pairing, tickets, clock, rng, log }),
      };
    };
    core.start(opened).then(ready, (error: unknown) => {
      if (!process.dead) this.#options.world.crash(`could not start: ${String(error)}`);
    });
  }

  /** The gateway died. Who was connected learns of it, or not. */
  gone(): void {
    this.now = undefined;
    this.#options.network.gateway = undefined;
    this.#stopping = false;
    const power = this.#options.world.rng.chance(0.3);
    for (const connection of [...this.#options.network.open])
      if (power) connection.silence();
      else connection.cut();
  }

  /** `kith down`: in order, and a clean start after it. */
  stop(): void {
    const { process } = this.#options.world;
    if (!process || this.#stopping) return;
    this.#stopping = true;
    this.stops++;
    this.now = undefined;
    this.#options.network.gateway = undefined;
    process.runtime.stop().then(
      () => {
        if (process.dead) return;
        this.#options.world.disk.clean = true;
        this.#options.world.crash("stopped");
      },
      () => process.dead || this.#options.world.crash("could not stop in order"),
    );
  }
}
