/**
 * A paired device whose agent says whatever it likes: the real handshake and the real seal, and
 * then no rule is kept.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock, systemRng } from "@kith/shared/clock";
import { fromHex, newId } from "@kith/shared/ids";
import { importStaticKey } from "@kith/shared/noise/keys";
import { Channel } from "@kith/shared/protocol/channel";
import { type Frame, type ToNode, toNode } from "@kith/shared/protocol/frames";
import { secure } from "@kith/node-agent/secure";
import { dial, type Wire } from "@kith/node-agent/socket";
import { until, type World } from "../support/home.ts";

type FrameOf<T extends Frame["t"]> = Extract<Frame, { t: T }>;

export const id = (): string => newId(systemClock, systemRng);

export const hello = (name: string, boot = id(), ledger = id()) => ({
  ...{ t: "hello", minor: 0, features: [], name, kind: "laptop", os: "linux", arch: "x64" },
  ...{ agent: "0.1.0", boot, ledger, last_epoch: 0 },
});

export class Liar implements Disposable {
  readonly frames: ToNode[] = [];
  readonly wire: Wire;
  readonly #channel: Channel<typeof toNode>;
  /** Close code, once it is cut off. */
  closed: number | undefined;

  private constructor(wire: Wire, open: (liar: Liar) => Channel<typeof toNode>) {
    this.wire = wire;
    this.#channel = open(this);
    wire.deliver((message) => this.#channel.receive(message));
    void wire.closed.then((code) => (this.closed = code));
  }

  /** With the key of a paired device that does not run. */
  static async open(
    world: World,
    device: string,
    { boot = id(), ledger = id() } = {},
  ): Promise<Liar> {
    const home = world.nodeHome(device);
    const own = await importStaticKey(new Uint8Array(readFileSync(join(home, "keys/node.key"))));
    const { gateway } = JSON.parse(readFileSync(join(home, "node.json"), "utf8"));
    const wire = await dial(world.address, systemClock, new AbortController().signal);
    const { keys } = await secure(wire, own, fromHex(gateway.key), systemClock);
    const soon = (fn: () => void): void => void setImmediate(fn);
    const liar = new Liar(wire, (self) => {
      const events = {
        onFrame: (frame: ToNode) => self.#hear(frame),
        onChunk: () => {},
        onMalformed: () => {},
        onFault: () => wire.terminate(),
        onRollover: () => {},
      };
      return new Channel(wire, keys, toNode, events, soon);
    });
    liar.say(hello(device, boot, ledger));
    return liar;
  }

  /** As `open`, and welcome; it offers what the real agent offered before. */
  static async welcome(world: World, device: string): Promise<Liar> {
    const liar = await Liar.open(world, device);
    await liar.hear("welcome");
    liar.say({ t: "capabilities.advertise", rev: 1, part: 1, parts: 1, hash: SET, caps: CAPS });
    await world.offers(device, (caps) => caps.some(({ cap }) => cap === "device.info"));
    return liar;
  }

  #hear(frame: ToNode): void {
    this.frames.push(frame);
    // It wants to be believed alive.
    if (frame.t === "ping") this.say({ t: "pong", n: frame.n });
  }

  /** Whatever it is: the type of frames is for those who keep the rules. */
  say(frame: object): void {
    this.#channel.send(frame as Frame);
    this.#channel.flush();
  }

  chunk(ch: number, offset: number, data: Uint8Array): void {
    this.#channel.sendChunk(ch, offset, data);
  }

  async hear<T extends ToNode["t"]>(
    t: T,
    fits: (frame: FrameOf<T>) => boolean = () => true,
  ): Promise<FrameOf<T>> {
    const is = (frame: ToNode): boolean => frame.t === t && fits(frame as FrameOf<T>);
    await until(`a frame ${t}`, () => this.frames.some(is) || this.closed !== undefined);
    const found = this.frames.find(is);
    if (!found) throw new Error(`cut off with ${this.closed} before ${t}`);
    return found as FrameOf<T>;
  }

  [Symbol.dispose](): void {
    this.#channel.close();
    this.wire.terminate();
  }
}

const SET = new Uint8Array(32).fill(1);
const usable = { state: "ready", policy: "allow", foreground: false, parallel: 16 } as const;
/** Of the build in which `device.info` is an act that must not be repeated. */
const CAPS = [
  { cap: "device.info", v: 1, effect: "once", max_ms: 10_000, max_bytes: 0 },
  { cap: "camera.snap", v: 1, effect: "idempotent", max_ms: 30_000, max_bytes: 33_554_432 },
].map((cap) => ({
  ...cap,
  ...usable,
  os: { permission: "not-required", name: "none" },
}));
