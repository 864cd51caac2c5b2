/** Pairs a device as somebody at the gateway's own machine does it: again and again, until it was taken. */
import type { Process, World } from "../../support/world.ts";
import type { Device } from "./device.ts";
import type { Reachable } from "./gateways.ts";

export class Registrar {
  readonly #world: World;
  readonly #reachable: () => Reachable | undefined;
  /** Devices that are being paired. */
  readonly #pairing = new Set<Device>();

  constructor(world: World, reachable: () => Reachable | undefined) {
    this.#world = world;
    this.#reachable = reachable;
  }

  register(device: Device): void {
    if (this.#pairing.has(device)) return;
    this.#pairing.add(device);
    let asked: Process | undefined;
    const look = (): void => {
      if (!this.#pairing.has(device)) return;
      this.#world.in(100 + this.#world.rng.below(400), "register", look);
      const now = this.#reachable();
      if (!now || asked === now.process) return;
      asked = now.process;
      const method = now.core.methods.get("node.register");
      method?.call(device.registration, { by: "console:owner" }).then(
        () => {
          if (now.process.dead || !this.#pairing.delete(device)) return;
          device.revoked = false;
          if (!device.process) device.boot();
        },
        () => {
          if (asked === now.process) asked = undefined;
        },
      );
    };
    look();
  }
}
