/**
 * What the gateway was told of this device, and whether that is still so.
 *
 *   look ─► same set: nothing    hello carries the hash, so a gateway that has the set asks for nothing;
 *     └───► another set ─► advertise on the link, with the next rev
 */
import type { Clock } from "@kith/shared/clock";
import type { ToGateway } from "@kith/shared/protocol/frames";
import type { AnyDriver } from "./drivers/driver.ts";
import { advertisement, makeOffer, type Offer } from "./offer.ts";
import type { Policy } from "./policy.ts";

interface Listener {
  send(frame: ToGateway): void;
}

export class Offering {
  readonly #drivers: readonly AnyDriver[];
  readonly #policy: Policy;
  readonly #clock: Clock;
  /** Grows for the life of the process. */
  #rev = 0;
  #offer: Offer | undefined;
  #told: Offer | undefined;
  #link: Listener | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(drivers: readonly AnyDriver[], policy: Policy, clock: Clock) {
    this.#drivers = drivers;
    this.#policy = policy;
    this.#clock = clock;
  }

  /** Looks at what the device can do. One look after the other: an older one never overwrites a newer. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(async () => {
      const offer = await makeOffer(this.#drivers, this.#policy, this.#clock);
      if (offer.hash.every((byte, at) => byte === this.#offer?.hash[at])) return;
      this.#offer = offer;
      this.#advertise();
    });
    return this.#looking;
  }

  /** What we knew is over, and nobody waits for the next look. */
  stale(): void {
    this.#offer = undefined;
    void this.look(); // never rejects: a driver that throws is an unavailable one
  }

  /** The hash for `hello`; undefined before the first look. */
  greet(): Uint8Array<ArrayBuffer> | undefined {
    this.#told = this.#offer;
    return this.#offer?.hash;
  }

  /** A link is ready: tells what the gateway wants, or does not know. */
  ready(link: Listener, wanted: boolean): void {
    this.#link = link;
    if (wanted || this.#offer !== this.#told) this.#advertise();
  }

  gone(): void {
    this.#link = undefined;
  }

  #advertise(): void {
    if (!this.#offer || !this.#link) return;
    this.#told = this.#offer;
    for (const part of advertisement(this.#offer, ++this.#rev)) this.#link.send(part);
  }
}
