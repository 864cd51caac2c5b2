/**
 * The device's place in a Tailscale network, if it has one: a way to its gateway where only the daemon leads
 * there, and what the network's policy says that this gateway may ask.
 *
 * So a gateway whose database was stolen still gets no shell from a device whose network permits it only the
 * camera. It is a ceiling: what it permits still needs this device's own settings. It counts from the moment in
 * which it is heard, for whatever way the gateway is reached, and is on disk (`tailnet.json`) a moment later.
 */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { key16, list, str } from "@kith/shared/protocol/words";
import { isTailnet } from "@kith/shared/tailnet/address";
import { ceilingAfter, permits } from "@kith/shared/tailnet/ceiling";
import { LocalApi } from "@kith/shared/tailnet/local-api.node";
import * as v from "valibot";
import type { Home } from "./config.ts";
import { readText, writeDurably } from "./disk.ts";

/** How a gateway's machine is called or tagged. */
const NAME = "kith-gw";
const MOST_GATEWAYS = 8;
/** A daemon that did not answer, or a disk that took nothing, is asked again after that. */
const AGAIN_MS = 10_000;

/** Whose policy was seen, and what it permitted. */
const seenSchema = v.strictObject({
  gateway: key16,
  node: str(255),
  ip: str(64),
  may: v.optional(list(str(64), 4_096)),
});
type Seen = v.InferOutput<typeof seenSchema>;

export class Tailnet {
  readonly #api: LocalApi;
  readonly #clock: Clock;
  readonly #home: Pick<Home, "settings" | "path">;
  #seen: Seen | undefined;
  /** The gateway's address in the tailnet, while a link goes by it. */
  #at: string | undefined;
  #looking = Promise.resolve();
  #waiting = false;
  #stored = "";
  #changed: () => void = () => {};

  private constructor(clock: Clock, home: Pick<Home, "settings" | "path">, seen: Seen | undefined) {
    this.#clock = clock;
    this.#home = home;
    this.#seen = seen;
    this.#api = new LocalApi(clock, home.settings.tailnet?.socket);
  }

  /** @throws KithError config-invalid when what was seen cannot be read: a ceiling is not lost by damage */
  static async open(clock: Clock, home: Pick<Home, "settings" | "path">): Promise<Tailnet> {
    const path = home.path("tailnet.json");
    const text = await readText(path);
    if (text === undefined) return new Tailnet(clock, home, undefined);
    try {
      return new Tailnet(clock, home, v.parse(seenSchema, JSON.parse(text)));
    } catch (cause) {
      throw new KithError("config-invalid", `${path} cannot be read; remove it to begin anew`, {
        cause,
      });
    }
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
    const plain = remote.replace(/^::ffff:/i, "");
    this.#at = isTailnet(plain) ? plain : isTailnet(host) ? host : await this.#ipOf(host);
    await this.#look();
  }

  /** Whether the policy keeps this gateway from asking that. */
  beyond(cap: string): boolean {
    const mode = this.#home.settings.tailnet?.ceiling ?? "auto";
    if (mode === "off") return false;
    const may = this.#mine?.may;
    return may ? !permits(may, cap) : mode === "strict";
  }

  /** Calls `changed` after the policy became another one. Until `signal`. */
  watch(changed: () => void, signal: AbortSignal): void {
    this.#changed = changed;
    this.#api.watch(() => void this.#look(), signal);
  }

  /** What was seen of the gateway that is pinned; of an earlier one it says nothing. */
  get #mine(): Seen | undefined {
    const { id } = this.#home.settings.gateway ?? {};
    return this.#seen && this.#seen.gateway === id ? this.#seen : undefined;
  }

  /** One look after the other, each at whoever has that address, or had it when it was seen. Never rejects. */
  #look(): Promise<void> {
    this.#looking = this.#looking.then(async () => {
      const { id } = this.#home.settings.gateway ?? {};
      const before = this.#mine;
      const at = this.#at ?? before?.ip;
      if (at === undefined || id === undefined) return;
      const peer = await this.#api.whois(at);
      if (!peer) return this.#later();
      if (peer === "nobody") return;
      const may = ceilingAfter(before, { node: peer.node, may: peer.may.invoke });
      // Another machine is not taken for the one that was seen.
      const same = !before?.may || before.node === peer.node;
      const known = same ? { node: peer.node, ip: peer.ip } : { node: before.node, ip: before.ip };
      this.#seen = { gateway: id, ...known, ...(may && { may: [...may] }) };
      if (JSON.stringify(may) !== JSON.stringify(before?.may)) this.#changed();
      await this.#store();
    });
    return this.#looking;
  }

  async #store(): Promise<void> {
    const text = `${JSON.stringify(this.#seen)}\n`;
    if (text === this.#stored) return;
    try {
      await writeDurably(this.#home.path("tailnet.json"), text);
      this.#stored = text;
    } catch {
      this.#later(); // a full disk: it counts already, and is written as soon as there is room
    }
  }

  #later(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#clock.after(AGAIN_MS, () => {
      this.#waiting = false;
      void this.#look();
    });
  }

  async #ipOf(name: string): Promise<string | undefined> {
    if (isIP(name) > 0 || name === "localhost") return undefined;
    const peers = (await this.#api.status())?.peers;
    return peers?.find(({ dns }) => dns === name)?.ips[0];
  }
}
