/**
 * The network between devices and the gateway: connections that keep their order, until somebody
 * cuts them, silences them, holds everything back for a while, or meddles with what they carry.
 * Handshakes are taken as done (the fuzzer looks after those): both ends start with fresh keys.
 */
import { heard } from "@kith/gateway/mesh/heard";
import type { House } from "@kith/gateway/mesh/house";
import { Link } from "@kith/gateway/mesh/link";
import type { Wire as GatewayWire, WireEvents } from "@kith/gateway/mesh/wire";
import type { Secured } from "@kith/node-agent/secure";
import { Refused, type Wire as NodeWire } from "@kith/node-agent/socket";
import { KithError } from "@kith/shared/errors";
import { type KeyId, keyId } from "@kith/shared/ids";
import { importKey } from "@kith/shared/noise/cipher";
import { Channel, type ChannelKeys } from "@kith/shared/protocol/channel";
import type { Mortal, World } from "../../support/world.ts";

/** Between a close and the end of the socket. */
const LINGER_MS = 1_000;
const NO_CODE = 1006;

type Item = Uint8Array | { readonly close: number };

/** One way of a connection. */
class Direction {
  bytes = 0;
  silent = false;
  readonly #world: World;
  readonly #label: string;
  readonly #reader: Mortal;
  readonly #arrive: (item: Item) => void;
  readonly #meddle: () => boolean;
  readonly #waiting: Item[] = [];
  #last = 0;
  #heldUntil = 0;
  #due = 0;

  constructor(
    world: World,
    label: string,
    reader: Mortal,
    arrive: (item: Item) => void,
    meddle: () => boolean,
  ) {
    this.#world = world;
    this.#label = label;
    this.#reader = reader;
    this.#arrive = arrive;
    this.#meddle = meddle;
  }

  push(item: Item): void {
    if (this.silent) return;
    if (item instanceof Uint8Array && this.#meddle()) return this.#spoil(item);
    this.#carry(item instanceof Uint8Array ? item.slice() : item);
  }

  /** Nothing arrives for so long; then all of it, in order. */
  hold(ms: number): void {
    this.#heldUntil = this.#world.mono + ms;
    this.#world.in(ms, `${this.#label} goes on`, () => this.#deliver(), this.#reader);
  }

  #carry(item: Item): void {
    const { mono, rng } = this.#world;
    const arrival = Math.max(this.#last, mono + (rng.chance(0.9) ? rng.below(8) : rng.below(400)));
    this.#last = arrival;
    this.#waiting.push(item);
    if (item instanceof Uint8Array) this.bytes += item.length;
    const due = (): void => {
      this.#due++;
      this.#deliver();
    };
    this.#world.in(arrival - mono, this.#label, due, this.#reader);
  }

  /** Tasks of one moment come in any order, what they carry does not. */
  #deliver(): void {
    while (this.#due > 0 && this.#world.mono >= this.#heldUntil && !this.silent) {
      this.#due--;
      const item = this.#waiting.shift();
      if (!item) return;
      if (item instanceof Uint8Array) this.bytes -= item.length;
      this.#arrive(item);
    }
  }

  /** Somebody in between loses, doubles, changes or swaps messages. */
  #spoil(bytes: Uint8Array): void {
    const copy = bytes.slice();
    switch (this.#world.rng.below(4)) {
      case 0:
        return;
      case 1:
        this.#carry(copy);
        return this.#carry(bytes.slice());
      case 2:
        copy[this.#world.rng.below(copy.length)]! ^= 1;
        return this.#carry(copy);
      default: {
        const before = this.#waiting.pop();
        this.#carry(copy);
        if (before) this.#waiting.push(before);
        return;
      }
    }
  }
}

export interface Gateway {
  readonly process: Mortal;
  readonly house: House;
}

export class Network {
  /** Who listens now. */
  gateway: Gateway | undefined;
  /** Whether a message meets somebody who meddles. */
  meddles: () => boolean = () => false;
  /** Devices that reach nobody until then, ms of the world. */
  readonly cutOff = new Map<string, number>();
  readonly open = new Set<Connection>();
  links = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** A device dials. @throws KithError gateway-unreachable; Refused */
  async dial(publicKey: Uint8Array, device: Mortal): Promise<{ wire: NodeWire; secured: Secured }> {
    const { rng } = this.#world;
    const id = keyId(publicKey);
    await this.#pass(rng.below(30), device);
    const { gateway } = this;
    if (!gateway || (this.cutOff.get(id) ?? 0) > this.#world.mono) {
      await this.#pass(rng.chance(0.5) ? 0 : 5_000, device);
      throw new KithError("gateway-unreachable", "no gateway answers");
    }
    const standing = gateway.house.handlers.standing(id, publicKey);
    if (standing === "unknown") throw new Refused(4401, "the gateway closed the connection");
    const [up, down] = [
      importKey(rng.bytes(32)),
      importKey(rng.bytes(32)),
    ] as ChannelKeys["send"][];
    const connection = new Connection(this.#world, this, id, device, gateway.process);
    this.open.add(connection);
    this.links++;
    const keys = { send: down, receive: up } as ChannelKeys;
    const soon = (fn: () => void) => void this.#world.in(0, "end of turn", fn, gateway.process);
    if (standing === "revoked") sayRevoked(connection, keys, soon);
    else void this.#serve(gateway, connection, keys, soon);
    await this.#pass(rng.below(10), device);
    return {
      wire: connection.near,
      secured: {
        keys: { send: up, receive: down } as ChannelKeys,
        hash: up as never,
        gateway: publicKey,
      },
    };
  }

  #serve(
    { house }: Gateway,
    { far, device }: Connection,
    keys: ChannelKeys,
    soon: (fn: () => void) => void,
  ): Link {
    return new Link(
      house,
      far as unknown as GatewayWire,
      { trusted() {}, excused() {}, left() {} },
      { device: device as KeyId, source: "simulated", port: 0 },
      (events) => new Channel(far, keys, heard, events, soon),
    );
  }

  #pass(ms: number, of: Mortal): Promise<void> {
    return new Promise((resolve) => void this.#world.in(ms, "dial", resolve, of));
  }
}

/** As mesh/stranger.ts: inside the channel, where it proves something. */
function sayRevoked(
  connection: Connection,
  keys: ChannelKeys,
  soon: (fn: () => void) => void,
): void {
  const deaf = { onFrame() {}, onChunk() {}, onMalformed() {}, onFault() {}, onRollover() {} };
  const channel = new Channel(connection.far, keys, heard, deaf, soon);
  channel.send({ t: "bye", code: "revoked", text: "the owner ended this pairing" });
  channel.flush();
  channel.close();
  connection.far.close(4403);
}

export class Connection {
  readonly near: NodeWire;
  readonly far: FarEnd;
  readonly device: string;
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #network: Network;
  readonly #closed = Promise.withResolvers<number>();

  constructor(world: World, network: Network, device: string, node: Mortal, gateway: Mortal) {
    this.device = device;
    this.#network = network;
    const meddles = () => network.meddles();
    const waiting: Uint8Array[] = [];
    let sink: ((message: Uint8Array) => void) | undefined;
    let over = false;
    const gone = (code: number): void => {
      over = true;
      this.#closed.resolve(code);
      this.#end();
    };
    this.#down = new Direction(
      world,
      `to ${node.n}`,
      node,
      (item) => {
        if (over) return;
        if (!(item instanceof Uint8Array)) return gone(item.close);
        if (sink) sink(item);
        else waiting.push(item);
      },
      meddles,
    );
    this.#up = new Direction(
      world,
      `from ${node.n}`,
      gateway,
      (item) => this.far.take(item),
      meddles,
    );
    this.far = new FarEnd(world, gateway, this.#down, () => this.cut());
    const send = (item: Item): void => {
      if (!over && !node.dead) this.#up.push(item);
    };
    const direction = this.#up;
    this.near = {
      address: "simulated",
      remote: "",
      closed: this.#closed.promise,
      send,
      get buffered() {
        return direction.bytes;
      },
      close: (code) => {
        send({ close: code });
        world.in(LINGER_MS, "linger", () => gone(code), node);
      },
      terminate: () => {
        send({ close: NO_CODE });
        gone(NO_CODE);
      },
      pause: () => {},
      resume: () => {},
      next: () => Promise.reject(new Error("there is no handshake here")),
      deliver: (to) => {
        sink = to;
        for (const message of waiting.splice(0)) to(message);
      },
    };
  }

  /** Both ends learn of it at once; what was on its way is lost. */
  cut(): void {
    this.silence();
    this.far.take({ close: NO_CODE });
    this.#closed.resolve(NO_CODE);
  }

  /** Nobody learns of it: only silence tells. */
  silence(): void {
    this.#up.silent = this.#down.silent = true;
    this.#end();
  }

  hold(ms: number): void {
    this.#up.hold(ms);
    this.#down.hold(ms);
  }

  #end(): void {
    this.#network.open.delete(this);
  }
}

/** The gateway's end, as mesh/wire.ts is to its stages. */
class FarEnd {
  readonly #world: World;
  readonly #process: Mortal;
  readonly #out: Direction;
  readonly #drop: () => void;
  #events: WireEvents | undefined;
  #waiting: Uint8Array[] = [];
  #over = false;
  #paused = false;
  #held = false;

  constructor(world: World, process: Mortal, out: Direction, drop: () => void) {
    this.#world = world;
    this.#process = process;
    this.#out = out;
    this.#drop = drop;
  }

  get buffered(): number {
    return this.#out.bytes;
  }

  hear(events: WireEvents): void {
    this.#events = events;
  }

  allow(): void {}

  send(bytes: Uint8Array): void {
    if (!this.#over && !this.#process.dead) this.#out.push(bytes);
  }

  close(code: number): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#process.dead) this.#out.push({ close: code });
    this.#world.in(LINGER_MS, "linger", this.#drop, this.#process);
  }

  terminate(): void {
    this.#over = true;
    this.#drop();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flush();
  }

  hold(ms: number): void {
    this.#held = true;
    const resume = (): void => {
      this.#held = false;
      this.#flush();
    };
    this.#world.in(ms, "hold", resume, this.#process);
  }

  take(item: Item): void {
    if (this.#over || this.#process.dead) return;
    if (item instanceof Uint8Array) {
      this.#waiting.push(item);
      return this.#flush();
    }
    const events = this.#events;
    this.#over = true;
    this.#events = undefined;
    events?.gone("closed");
  }

  #flush(): void {
    while (this.#waiting.length > 0 && !this.#paused && !this.#held && !this.#over) {
      try {
        this.#events?.message(this.#waiting.shift() as Uint8Array);
      } catch {
        this.close(4400);
      }
    }
  }
}
