/**
 * The device's place in a Tailscale network, if it has one: a way to its gateway where only the daemon leads
 * there, and what the network's policy says that this gateway may ask.
 *
 * So a gateway whose database was stolen still gets no shell from a device whose network permits it only the
 * camera. It is a ceiling: what it permits still needs this device's own settings.
 */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "@kith/shared/clock";
import { isTailnet } from "@kith/shared/tailnet/address";
import { permits } from "@kith/shared/tailnet/ceiling";
import { LocalApi } from "@kith/shared/tailnet/local-api.node";
import type { Home } from "./config.ts";

/** How a gateway's machine is called or tagged. */
const NAME = "kith-gw";
const MOST_GATEWAYS = 8;

export class Tailnet {
  readonly #api: LocalApi;
  readonly #home: Pick<Home, "settings" | "save">;
  /** Address of the gateway in the tailnet, while a link goes there. */
  #gateway: string | undefined;

  constructor(clock: Clock, home: Pick<Home, "settings" | "save">) {
    this.#home = home;
    this.#api = new LocalApi(clock, home.settings.tailnet?.socket);
  }

  /**
   * A connection by the daemon, in userspace mode and to an address of the tailnet; undefined: dial it as any other.
   * @throws KithError gateway-unreachable
   */
  async connect(host: string, port: number, signal: AbortSignal): Promise<Duplex | undefined> {
    if (isIP(host) > 0 && !isTailnet(host)) return undefined;
    const status = await this.#api.status();
    if (status?.tun !== false || status.state !== "Running") return undefined;
    const known = isTailnet(host) || status.peers.some(({ dns }) => dns === host);
    return known ? await this.#api.dial(host, port, signal) : undefined;
  }

  /** Addresses of machines in the tailnet that are marked as gateways. A mark is a hint: anybody may bear a name. */
  async gateways(): Promise<readonly string[]> {
    const peers = (await this.#api.status())?.peers ?? [];
    return peers
      .filter(({ online, host, tags }) => online && (host === NAME || tags.includes(`tag:${NAME}`)))
      .flatMap(({ ips: [first] }) => (first === undefined ? [] : [first]))
      .slice(0, MOST_GATEWAYS);
  }

  /** A link to this address begins: what may be asked by it? Resolves soon, whatever happens. */
  async reached(host: string, remote: string): Promise<void> {
    const ip = remote.replace(/^::ffff:/i, "");
    this.#gateway = isTailnet(ip) ? ip : isTailnet(host) ? host : await this.#ipOf(host);
    await this.look();
  }

  /** Asks again. What was seen stays, on disk as well, until the tailnet says otherwise. */
  async look(): Promise<void> {
    if (this.#gateway === undefined || this.#mode === "off") return;
    const peer = await this.#api.whois(this.#gateway);
    if (!peer) return;
    const { tailnet } = this.#home.settings;
    const { invoke: may } = peer.may;
    if (JSON.stringify(may) === JSON.stringify(tailnet?.may)) return;
    const { may: _, ...rest } = tailnet ?? {};
    await this.#home.save({ tailnet: { ...rest, ...(may && { may: [...may] }) } }).catch(() => {}); // a disk that is full: the next look tries again, and the gateway has its own ceiling
  }

  /** Whether the policy keeps this gateway from asking that. */
  beyond(cap: string): boolean {
    const may = this.#home.settings.tailnet?.may;
    if (this.#mode === "off") return false;
    return may ? !permits(may, cap) : this.#mode === "strict";
  }

  /** Calls `changed` after anything changed in the tailnet. Until `signal`. */
  watch(changed: () => void, signal: AbortSignal): void {
    this.#api.watch(() => void this.look().then(changed), signal);
  }

  get #mode() {
    return this.#home.settings.tailnet?.ceiling ?? "auto";
  }

  async #ipOf(name: string): Promise<string | undefined> {
    if (isIP(name) > 0 || name === "localhost") return undefined;
    const peers = (await this.#api.status())?.peers;
    return peers?.find(({ dns }) => dns === name)?.ips[0];
  }
}
