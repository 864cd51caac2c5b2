/** Who was talked to: hosts, how often, how much came from them, and when last. */
import type { Clock } from "@kith/shared/clock";

/** Beyond these the host that was quiet longest is forgotten. */
const MOST_HOSTS = 1_000;

export interface HostUse {
  /** With its port, where that is not the usual one. */
  readonly host: string;
  readonly requests: number;
  /** Of bodies that came, as they came. */
  readonly bytes: number;
  /** Unix ms. */
  readonly last: number;
}

/** In memory: it begins anew with the gateway, and says since when it counts. */
export class Register {
  /** Unix ms. */
  readonly since: number;
  readonly #clock: Pick<Clock, "now">;
  readonly #hosts = new Map<string, HostUse>();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
    this.since = clock.now();
  }

  count(host: string, requests: number, bytes: number): void {
    const before = this.#hosts.get(host);
    this.#hosts.delete(host); // So that the map is in the order of last use.
    this.#hosts.set(host, {
      host,
      requests: (before?.requests ?? 0) + requests,
      bytes: (before?.bytes ?? 0) + bytes,
      last: this.#clock.now(),
    });
    const [quietest] = this.#hosts.keys();
    if (this.#hosts.size > MOST_HOSTS && quietest !== undefined) this.#hosts.delete(quietest);
  }

  /** The last used first. */
  list(): HostUse[] {
    return [...this.#hosts.values()].toReversed();
  }
}
