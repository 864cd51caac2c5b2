/**
 * Tells the local network that a gateway is here, by multicast DNS (`_kith._tcp`), while somebody may pair and
 * others can reach it: not longer, and no name of a machine or a person. It is a hint; the key decides.
 */
import { isIPv6 } from "node:net";
import { budget } from "@kith/shared/budget";
import type { Clock } from "@kith/shared/clock";
import multicastDns, { type MulticastDNS } from "multicast-dns";
import { reachOf } from "./reachable.ts";
import type { Address } from "./server.ts";

const SERVICE = "_kith._tcp.local";
/** Seconds that others may remember it. A window is open for minutes. */
const TTL_S = 120;
/** Said again once, since a datagram may be lost. */
const AGAIN_MS = 1_000;
/** Answers go to everybody in the network: no more of them than a few devices need. */
const ANSWERS_PER_SECOND = 2;
const ANSWERS_BURST = 10;

export interface AnnouncerOptions {
  readonly id: string;
  readonly clock: Clock;
  /** Where devices reach the gateway now. */
  readonly addresses: () => readonly Address[];
  readonly log: (what: string, error?: unknown) => void;
}

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #mayAnswer: () => boolean;
  #mdns: MulticastDNS | undefined;
  #cancel = () => {};

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#mayAnswer = budget(options.clock, ANSWERS_PER_SECOND, ANSWERS_BURST);
  }

  /** Whether somebody may pair now. Call it again when an address was opened. */
  set(open: boolean): void {
    if (open && this.#records(TTL_S)) this.#begin();
    else this.stop();
  }

  /** Takes the word back, and is silent. */
  stop(): void {
    const mdns = this.#mdns;
    if (!mdns) return;
    this.#mdns = undefined;
    this.#cancel();
    const last = this.#records(0);
    if (last) mdns.respond(last, () => mdns.destroy());
    else mdns.destroy();
  }

  #begin(): void {
    if (!this.#mdns) {
      const mdns = multicastDns();
      this.#mdns = mdns;
      // Another program that keeps the port for itself, or no network: pairing goes on without.
      mdns.on("error", (error: Error) => {
        this.#options.log("the local network is not told", error);
        this.#mdns = undefined;
        this.#cancel();
        mdns.destroy();
      });
      mdns.on("warning", () => {}); // packets of others that are none
      mdns.on("query", ({ questions = [] }) => {
        const asked = questions.some(
          ({ name, type }) =>
            name.toLowerCase() === SERVICE && (type === "PTR" || (type as string) === "ANY"),
        );
        if (asked && this.#mayAnswer()) this.#say();
      });
    }
    this.#say();
    this.#cancel();
    this.#cancel = this.#options.clock.after(AGAIN_MS, () => this.#say());
  }

  #say(): void {
    const records = this.#records(TTL_S);
    if (records) this.#mdns?.respond(records);
  }

  /** Only what is listened on, and only in this network. */
  #records(ttl: number) {
    const { id, addresses } = this.#options;
    const near = addresses().filter(({ host }) => reachOf(host) === "network");
    const [first] = near;
    if (!first) return undefined;
    const [name, host] = [`kith-${id}.${SERVICE}`, `kith-${id}.local`];
    return [
      { name: SERVICE, type: "PTR" as const, ttl, data: name },
      { name, type: "SRV" as const, ttl, data: { port: first.port, target: host } },
      { name, type: "TXT" as const, ttl, data: ["v=1", `id=${id}`] },
      ...near
        .filter(({ port }) => port === first.port)
        .map((one) => ({
          ...{ name: host, ttl, data: one.host },
          type: isIPv6(one.host) ? ("AAAA" as const) : ("A" as const),
        })),
    ];
  }
}
