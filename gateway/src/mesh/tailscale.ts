/**
 * The gateway's place in a Tailscale network, if it has one: ways to dial it, and what the network says
 * about whoever comes by it.
 *
 * In userspace mode every peer that the policy lets in arrives from 127.0.0.1, at whatever port listens
 * there. So loopback proves nothing, and the daemon is asked whose connection it is.
 */
import type { Clock } from "@kith/shared/clock";
import {
  LocalApi,
  type TailnetNode,
  type TailnetPeer,
  type TailnetStatus,
} from "@kith/shared/tailnet/local-api.node";
import type { TailnetFacts } from "../devices/device.ts";
import { reachOf } from "./reachable.ts";
import type { Address } from "./server.ts";

export interface TailnetOptions {
  readonly clock: Clock;
  /** Where the daemon listens, if not in its usual place. */
  readonly socket?: string | undefined;
}

/** Asks the daemon of this machine. Its answers may be missing at any time; nothing waits for more than 2 s. */
export class Tailnet {
  readonly #api: LocalApi;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #status: TailnetStatus | undefined;
  /** As it was said last: a daemon that is silent for a moment does not change its mode. */
  #kernel = false;
  #first: Promise<unknown>;

  constructor({ clock, socket }: TailnetOptions) {
    this.#api = new LocalApi(clock, socket);
    this.#first = this.look();
    this.#api.watch(() => void this.look().then(() => this.#tell()), this.#stop.signal);
  }

  /** Asks anew. Undefined: nobody answers. */
  async look(): Promise<TailnetStatus | undefined> {
    this.#status = await this.#api.status();
    if (this.#status) this.#kernel = this.#status.tun;
    return this.#status;
  }

  async facts(address: string, port: number): Promise<TailnetFacts | undefined> {
    await this.#first;
    const peer = await this.#peer(address, port);
    return peer && peer !== "nobody" ? factsOf(peer) : undefined;
  }

  /** Who has that address of the tailnet. Undefined: no daemon answers. */
  async of(ip: string): Promise<TailnetFacts | "nobody" | undefined> {
    const peer = await this.#api.whois(ip);
    return peer && peer !== "nobody" ? factsOf(peer) : peer;
  }

  async #peer(address: string, port: number): Promise<TailnetPeer | "nobody" | undefined> {
    switch (reachOf(address)) {
      case "tailnet":
        return await this.#api.whois(address, port);
      case "machine":
        return this.#kernel ? undefined : await this.#api.whois(address, port);
      case "network":
        return undefined;
    }
  }

  changed(again: () => void): () => void {
    this.#listeners.add(again);
    return () => void this.#listeners.delete(again);
  }

  /**
   * Further ways to dial what listens here: the machine's MagicDNS name, and in userspace mode its addresses
   * in the tailnet, which lead to loopback.
   */
  ways(listen: readonly Address[]): Address[] {
    const status = this.#status;
    const self = status?.state === "Running" ? status.self : undefined;
    if (!status || !self) return [];
    const [first] = self.ips;
    return listen.flatMap(({ host, port }) => {
      const forwarded = !status.tun && first !== undefined && reachOf(host) === "machine";
      if (!forwarded && !self.ips.includes(host)) return [];
      return [...(forwarded ? [first] : []), ...(self.dns ? [self.dns] : [])].map((way) => ({
        host: way,
        port,
      }));
    });
  }

  /** How a device's traffic goes: `direct`, `relayed by fra`, or nothing known. */
  route(facts: Pick<TailnetFacts, "node">): string | undefined {
    const peer = this.#status?.peers.find(({ id }) => id === facts.node);
    return peer && routeOf(peer);
  }

  stop(): void {
    this.#stop.abort();
    this.#listeners.clear();
  }

  #tell(): void {
    for (const again of this.#listeners) again();
  }
}

const factsOf = ({ node, ip, name, login, tags, may }: TailnetPeer): TailnetFacts => ({
  ...{ node, ip, name, login, tags },
  ...(may.node && { may: may.node }),
});

export const routeOf = ({ direct, relay }: TailnetNode): string | undefined =>
  direct ? "direct" : relay ? `relayed by ${relay}` : undefined;
