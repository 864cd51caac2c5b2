/**
 * Pairing at the gateway. By code, a stranger inside a window that the owner opened:
 *
 *   begin ──► spending ──► reveal ──► deciding ──► approved ──► committing ──► a paired link
 *      pair.begin   (slot)    pair.reveal   (owner)     pair.confirm   (row on disk)
 *
 * By ticket, which the handshake has proved: begin ── pair.begin ──► committing ──► a paired link
 *
 * Every step is legal once, in this order; whatever else comes ends the attempt. Who may pair
 * is decided by the desk (`PairingHandlers`); here are h, the nonces, the codes and the socket.
 */
import { KithError } from "@kith/shared/errors";
import { type KeyId, keyId, newId } from "@kith/shared/ids";
import { approvalCode, commitment, sameBytes } from "@kith/shared/noise/approval-code";
import { Channel, type ChannelKeys } from "@kith/shared/protocol/channel";
import { type ToGatewayPairing, toGatewayPairing } from "@kith/shared/protocol/frames";
import { type Heartbeat, heartbeat } from "@kith/shared/protocol/heartbeat";
import { limits, times } from "@kith/shared/protocol/limits";
import type { PairBegin, TicketBegin } from "@kith/shared/protocol/pairing";
import type { ByeCode } from "@kith/shared/protocol/session";
import { tame } from "@kith/shared/protocol/words";
import type { Guest } from "./admission.ts";
import { type House, type Source, soon } from "./house.ts";
import { heard } from "./heard.ts";
import { Link } from "./link.ts";
import { later } from "./recent.ts";
import type { Wire } from "./wire.ts";

/** Beyond the window that the desk keeps: time to type the return code after a late approval. */
const GRACE_MS = 120_000;

interface Peer extends Source {
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
  /** The ticket that it proved; without one it pairs by code. */
  readonly ticket?: string;
}

type Step = "begin" | "spending" | "reveal" | "deciding" | "approved" | "committing" | "over";

export class PairingLink {
  readonly #house: House;
  readonly #wire: Wire;
  readonly #guest: Guest;
  readonly #peer: Peer;
  readonly #id: string;
  readonly #channel: Channel<typeof toGatewayPairing>;
  readonly #heartbeat: Heartbeat;
  #step: Step = "begin";
  #begin: PairBegin | undefined;
  #nonce: Uint8Array = new Uint8Array(0);
  /** A slot was spent; the desk hears how it ends. */
  #begun = false;
  #accepted = false;
  /** The desk's answer that is under way. Never rejects. */
  #asking: Promise<void> = Promise.resolve();
  /** Cancels the time for the node's next step, and for the whole attempt. */
  #due: () => void;
  #expiry = () => {};

  constructor(house: House, wire: Wire, guest: Guest, peer: Peer, keys: ChannelKeys) {
    this.#house = house;
    this.#wire = wire;
    this.#guest = guest;
    this.#peer = peer;
    this.#id = newId(house.clock, house.rng);
    const broken = (code: number) => this.#end(code);
    this.#channel = new Channel(
      wire,
      keys,
      toGatewayPairing,
      {
        frameBytes: limits.pairFrameBytes,
        onFrame: (frame) => this.#take(frame),
        onChunk: () => broken(4400),
        onMalformed: () => broken(4400), // a stranger gets no second try
        onFault: broken,
        onRollover() {},
      },
      soon,
    );
    this.#heartbeat = heartbeat({
      clock: house.clock,
      // A person is typing: we keep the connection open through NATs and notice when it is not.
      everyMs: times.pingMs,
      busy: () => false,
      ping: (n) => this.#channel.send({ t: "ping", n }),
      dead: () => this.#end(4408),
    });
    this.#due = house.clock.after(limits.helloMs, () => this.#end(4401));
    wire.hear({
      message: (bytes) => this.message(bytes),
      fault: broken,
      gone: () => this.#end(undefined),
      shutdown: () => this.#sayBye("shutdown", 1000),
    });
  }

  message(bytes: Uint8Array): void {
    this.#channel.receive(bytes);
  }

  #take(frame: ToGatewayPairing): void {
    this.#heartbeat.alive();
    switch (frame.t) {
      case "ping":
        return this.#channel.send({ t: "pong", n: frame.n });
      case "pong":
        return this.#heartbeat.pong(frame.n);
      case "bye":
      case "pair.refused":
        return this.#end(1000);
      case "pair.begin": {
        const { ticket } = this.#peer;
        if ((frame.how === "ticket") !== (ticket !== undefined)) return this.#refuse("order", 4400);
        if (frame.how === "code")
          return this.#follow("begin", "spending", () => this.#spend(frame));
        return this.#follow("begin", "committing", () => this.#redeem(ticket ?? "", frame));
      }
      case "pair.reveal":
        return this.#follow("reveal", "deciding", () => this.#reveal(frame.nonce));
      case "pair.confirm":
        return this.#follow("approved", "committing", () => this.#accept());
    }
  }

  /** The next step, when it is this one's turn. */
  #follow(from: Step, to: Step, ask: () => Promise<void>): void {
    if (this.#step !== from) return this.#refuse("order", 4400);
    this.#step = to;
    this.#due();
    this.#asking = ask().catch((error: unknown) => {
      if (error instanceof KithError) return this.#refuse(error.code, 4401);
      this.#house.log("pairing failed here", error);
      this.#sayBye("overload", 4503);
    });
  }

  async #spend(begin: PairBegin): Promise<void> {
    const { key, source } = this.#peer;
    const { leftMs } = await this.#house.pairing.begin({ id: this.#id, key, about: begin, source });
    this.#begun = true;
    if (this.#step === "over") return;
    this.#begin = begin;
    this.#nonce = this.#house.rng.bytes(16);
    this.#step = "reveal";
    this.#channel.send({ t: "pair.nonce", nonce: this.#nonce, left_ms: leftMs });
    this.#due = this.#house.clock.after(limits.helloMs, () => this.#end(4401));
    this.#expiry = later(this.#house.clock, leftMs + GRACE_MS, () => this.#refuse("expired", 4401));
  }

  async #reveal(nN: Uint8Array): Promise<void> {
    const { hash } = this.#peer;
    // It was chosen before the node saw our nonce, or it may have been chosen to fit a code.
    if (!this.#begin || !sameBytes(commitment(hash, nN), this.#begin.commit))
      return this.#refuse("commit", 4400);
    await this.#house.pairing.revealed(this.#id, approvalCode(hash, nN, this.#nonce), {
      approved: () => {
        if (this.#step !== "deciding") return;
        this.#step = "approved";
        this.#channel.send({ t: "pair.approved" });
      },
      refused: (why) => this.#refuse(why, 4401),
    });
  }

  async #redeem(ticket: string, about: TicketBegin): Promise<void> {
    const { key, source } = this.#peer;
    this.#enter(await this.#house.tickets.redeem(ticket, { key, about, source }));
  }

  async #accept(): Promise<void> {
    const row = await this.#house.pairing.confirmed(this.#id);
    this.#accepted = true;
    this.#enter(row);
  }

  #enter({ device, name, ceiling }: { device: KeyId; name: string; ceiling: string[] }): void {
    if (this.#step === "over") return;
    const { gateway } = this.#house;
    this.#channel.send({ t: "pair.accepted", device, gateway: gateway.id, name, ceiling });
    this.#leave();
    const { key, source, port } = this.#peer;
    const peer = { device: keyId(key), source, port };
    // The same link goes on as a paired one: hello is due.
    new Link(this.#house, this.#wire, this.#guest, peer, (events) =>
      this.#channel.expect(heard, events),
    ).trust();
  }

  #refuse(why: string, code: number): void {
    if (this.#step === "over") return;
    this.#channel.send({ t: "pair.refused", why: tame(why, 32) });
    this.#channel.flush();
    this.#end(code);
  }

  /** Nobody refused it: the device may try again. */
  #sayBye(code: ByeCode, close: number): void {
    if (this.#step === "over") return;
    this.#channel.send({ t: "bye", code, text: "" });
    this.#channel.flush();
    this.#end(close);
  }

  #end(code: number | undefined): void {
    if (this.#step === "over") return;
    this.#leave();
    this.#channel.close();
    if (code !== undefined) this.#wire.close(code);
    // Once the desk has answered what it was asked, so that the two never cross.
    this.#asking
      .then(() => {
        if (this.#begun && !this.#accepted) this.#house.pairing.abandoned(this.#id);
      })
      .catch((error: unknown) => this.#house.log("the pairing desk failed", error));
  }

  #leave(): void {
    this.#step = "over";
    this.#heartbeat.stop();
    this.#due();
    this.#expiry();
  }
}
