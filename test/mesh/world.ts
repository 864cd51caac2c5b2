/**
 * A real mesh on loopback and a node that speaks to it through a real `ws`, with the shared
 * Noise code. The gateway's time is a fake clock; nothing here waits for time, only for events.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { type Clock, systemRng } from "@kith/shared/clock";
import { type KeyId, keyId, newId } from "@kith/shared/ids";
import { seal } from "@kith/shared/noise/cipher";
import { type KeyPair, generateKeyPair } from "@kith/shared/noise/keys";
import { type Handshake, type Pattern, startHandshake } from "@kith/shared/noise/handshake";
import { type Role, prefix, prologue } from "@kith/shared/noise/prologue";
import { Channel, type ChannelKeys } from "@kith/shared/protocol/channel";
import { type Frame, toNode, toNodePairing } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import type { Hello } from "@kith/shared/protocol/session";
import type {
  CallFrame,
  DeviceLink,
  LinkHandlers,
  PairingHandlers,
  TicketHandlers,
} from "@kith/gateway/devices/link";
import { type Mesh, startMesh } from "@kith/gateway/mesh/server";
import * as v from "valibot";
import { WebSocket } from "ws";

export const gatewayKeys = await generateKeyPair();
export const nodeKeys = await generateKeyPair();
export const node = keyId(nodeKeys.publicKey);
export const gateway = keyId(gatewayKeys.publicKey);

/** Time that moves only when told. */
export interface FakeClock extends Clock {
  pass(ms: number): void;
}

export function fakeClock(): FakeClock {
  let now = 1_000;
  const waiting = new Set<{ due: number; fn: () => void }>();
  return {
    now: () => 1_700_000_000_000 + now,
    mono: () => now,
    after(ms, fn) {
      const timer = { due: now + ms, fn };
      waiting.add(timer);
      return () => void waiting.delete(timer);
    },
    pass(ms) {
      const until = now + ms;
      for (;;) {
        const [next] = [...waiting].sort((a, b) => a.due - b.due);
        if (!next || next.due > until) break;
        waiting.delete(next);
        now = Math.max(now, next.due);
        next.fn();
      }
      now = until;
    },
  };
}

/** What the gateway's decisions heard, in order. */
export interface Heard {
  readonly up: DeviceLink[];
  readonly down: { link: DeviceLink; why: string }[];
  readonly hellos: Hello[];
  readonly frames: CallFrame[];
  readonly streams: { stream: string; failed: string | undefined }[];
  readonly problems: unknown[];
}

export interface World extends AsyncDisposable {
  readonly mesh: Mesh;
  readonly clock: FakeClock;
  readonly heard: Heard;
  readonly port: number;
  /** Resolves when `look` finds something, looked at whenever the gateway heard something. */
  until<T>(look: () => T | undefined | false): Promise<T>;
}

export interface Changes {
  readonly handlers?: Partial<LinkHandlers>;
  readonly pairing?: Partial<PairingHandlers>;
  readonly tickets?: TicketHandlers;
  /** The file that /agent serves. */
  readonly agent?: string;
}

const noTickets: TicketHandlers = {
  live: () => [],
  redeem: () => Promise.reject(new Error("no ticket in this test")),
};

export async function world({
  handlers = {},
  pairing = {},
  tickets = noTickets,
  agent,
}: Changes = {}): Promise<World> {
  const clock = fakeClock();
  const heard: Heard = { up: [], down: [], hellos: [], frames: [], streams: [], problems: [] };
  const lookers = new Set<() => void>();
  const changed = () => {
    for (const look of lookers) look();
  };
  let epoch = 6;
  const usual: LinkHandlers = {
    standing: (device) => (device === node ? "paired" : "unknown"),
    hello: async () => ({ epoch: ++epoch, wantCaps: false }),
    up: (link) => void heard.up.push(link),
    frame: (_, frame) => void heard.frames.push(frame),
    sink: async () => Promise.reject(new Error("no sink in this test")),
    stream: (_, _call, stream, failed) => void heard.streams.push({ stream, failed: failed?.code }),
    busy: () => false,
    down: (link, why) => void heard.down.push({ link, why }),
    ...handlers,
  };
  const mesh = await startMesh({
    listen: [{ host: "127.0.0.1", port: 0 }],
    ...(agent === undefined ? {} : { agent }),
    gateway: { id: gateway, name: "home", keys: gatewayKeys },
    handlers: {
      ...usual,
      hello(device, hello, source, tailnet) {
        heard.hellos.push(hello);
        changed();
        return usual.hello(device, hello, source, tailnet);
      },
      up: (link) => (usual.up(link), changed()),
      frame: (link, frame) => (usual.frame(link, frame), changed()),
      stream: (link, call, stream, failed) => (usual.stream(link, call, stream, failed), changed()),
      down: (link, why, broke) => (usual.down(link, why, broke), changed()),
    },
    tickets,
    pairing: {
      open: () => false,
      begin: async () => ({ leftMs: 900_000 }),
      revealed: async () => {},
      confirmed: async () => ({ device: node, name: "laptop", ceiling: [] }),
      abandoned() {},
      ...pairing,
    },
    clock,
    rng: systemRng,
    log: (what, error) => void heard.problems.push(error ?? what),
  });
  return {
    mesh,
    clock,
    heard,
    port: mesh.addresses[0]?.port ?? 0,
    until: (look) =>
      new Promise((resolve) => {
        const again = () => {
          const found = look();
          if (!found) return;
          lookers.delete(again);
          resolve(found);
        };
        lookers.add(again);
        again();
      }),
    async [Symbol.asyncDispose]() {
      const closing = mesh.close();
      clock.pass(1_000);
      await closing;
    },
  };
}

export const hello = (changes: Partial<Hello> = {}): Hello => ({
  ...{
    t: "hello",
    minor: 0,
    features: [],
    name: "laptop",
    kind: "laptop",
    os: "linux",
    arch: "x64",
    agent: "test",
  },
  boot: newId(fakeClock(), systemRng),
  ledger: newId(fakeClock(), systemRng),
  last_epoch: 0,
  ...changes,
});

type FrameOf<T extends Frame["t"]> = Extract<Frame, { t: T }>;

/** The node's end of a socket, before and after the handshake. */
export class NodeEnd {
  readonly ws: WebSocket;
  readonly frames: Frame[] = [];
  /** Sees every frame first; what it takes (true) nobody else hears. */
  taker: (frame: Frame) => boolean = () => false;
  /** The close code as the node sees it; 1006 when there was none. */
  readonly closed: Promise<number>;
  readonly #messages: Uint8Array[] = [];
  #channel: Channel<v.GenericSchema> | undefined;
  #keys: ChannelKeys | undefined;
  #sent = 0;
  #atOpen = 0;
  #hash: Uint8Array = new Uint8Array(0);
  #wake = () => {};
  #gone = false;

  constructor(port: number) {
    // Pongs are sent on purpose only, so that raw bytes can be counted.
    this.ws = new WebSocket(`ws://127.0.0.1:${port}/v1/mesh`, "kith.v1", {
      perMessageDeflate: false,
      autoPong: false,
    });
    this.ws.on("message", (data) => {
      if (this.#channel) this.#channel.receive(data as Buffer);
      else this.#messages.push(data as Buffer);
      this.#wake();
    });
    this.ws.on("error", () => {}); // a refusal before the 101; `closed` tells
    this.closed = new Promise((resolve) => {
      this.ws.on("close", (code) => {
        this.#gone = true;
        resolve(code);
        this.#wake();
      });
    });
  }

  /** `h` of the handshake. */
  get hash(): Uint8Array {
    return this.#hash;
  }

  async open(): Promise<this> {
    if (this.ws.readyState === WebSocket.OPEN) return this;
    await once(this.ws, "open");
    this.#atOpen = this.socket.bytesWritten;
    return this;
  }

  get socket(): Socket {
    return (this.ws as unknown as { _socket: Socket })._socket;
  }

  /** Raw bytes sent since the 101. */
  get written(): number {
    return this.socket.bytesWritten - this.#atOpen;
  }

  /** Sends WebSocket frames that mean nothing until `bytes` raw bytes were sent in all. */
  fill(bytes: number): this {
    let left = bytes - this.written;
    while (left > 0) {
      const size = left > 131 + 6 ? 131 : left > 131 ? left - 6 : left;
      this.ws.pong(Buffer.alloc(size - 6));
      left -= size;
    }
    return this;
  }

  /** One hand-made message, sealed in its place; the channel is of no use afterwards. */
  async sealed(type: number, plaintext: Uint8Array, spoil = 0): Promise<this> {
    if (!this.#keys) throw new Error("no handshake yet");
    const bytes = await seal(this.#keys.send, this.#sent++, Uint8Array.of(type), plaintext);
    bytes[0] = (bytes[0] ?? 0) ^ spoil;
    this.ws.send(Buffer.concat([Uint8Array.of(type), bytes]));
    return this;
  }

  /** The next handshake message. */
  async message(): Promise<Uint8Array> {
    return this.#find(() => this.#messages.shift());
  }

  async handshake(
    pattern: Pattern,
    {
      keys = nodeKeys,
      role = "node",
      rs = gatewayKeys.publicKey,
      psk,
    }: { keys?: KeyPair; role?: Role; rs?: Uint8Array; psk?: Uint8Array } = {},
  ): Promise<this> {
    await this.open();
    const handshake = startHandshake({
      ...initiator(pattern, keys, role, rs),
      ...(psk && { psks: [psk] }),
    });
    this.ws.send(await first(handshake, pattern, role));
    await handshake.read(await this.message());
    if (pattern !== "IK") this.ws.send(await handshake.write());
    const { hash, ...sealed } = await handshake.split();
    this.#hash = hash;
    this.#keys = sealed;
    const events = {
      onFrame: (frame: unknown) => {
        if (!this.taker(frame as Frame)) this.frames.push(frame as Frame);
        this.#wake();
      },
      onChunk() {},
      onMalformed: (error: Error) => {
        throw error;
      },
      onFault() {},
      onRollover() {},
    };
    this.#channel = new Channel<v.GenericSchema>(
      transport(this.ws, () => this.#sent++),
      sealed,
      v.union([toNode, toNodePairing]),
      events,
      setImmediate,
    );
    for (const early of this.#messages.splice(0)) this.#channel.receive(early);
    return this;
  }

  get channel(): Channel<v.GenericSchema> {
    if (!this.#channel) throw new Error("no handshake yet");
    return this.#channel;
  }

  say(...frames: Frame[]): this {
    for (const frame of frames) this.channel.send(frame);
    this.channel.flush();
    return this;
  }

  /** Says something that no schema knows. */
  mumble(frame: object): this {
    return this.say(frame as Frame);
  }

  /** The next frame of this name; earlier others are kept. */
  async hears<T extends Frame["t"]>(t: T): Promise<FrameOf<T>> {
    return this.#find(() => {
      const index = this.frames.findIndex((frame) => frame.t === t);
      return index < 0 ? undefined : (this.frames.splice(index, 1)[0] as FrameOf<T>);
    });
  }

  [Symbol.dispose](): void {
    this.ws.terminate();
  }

  async #find<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.#gone) throw new Error(`the socket closed with ${await this.closed}`);
      await new Promise<void>((resolve) => {
        const before = this.#wake;
        this.#wake = () => (before(), resolve());
      });
    }
  }
}

export function initiator(
  pattern: Pattern,
  s = nodeKeys,
  role: Role = "node",
  rs: Uint8Array = gatewayKeys.publicKey,
  path: "/v1/mesh" | "/v1/web" = "/v1/mesh",
) {
  const opening = { pattern, role, path, ...(pattern === "IK" && { gateway: keyId(rs) as KeyId }) };
  return {
    pattern,
    initiator: true,
    prologue: prologue(opening),
    s,
    ...(pattern === "IK" && { rs }),
  };
}

/** Prefix and message 1. */
export async function first(
  handshake: Handshake,
  pattern: Pattern,
  role: Role = "node",
): Promise<Uint8Array> {
  const noise = await handshake.write();
  return Buffer.concat([prefix({ pattern, role }), noise]);
}

const transport = (ws: WebSocket, sent: () => void) => ({
  send(bytes: Uint8Array) {
    sent();
    ws.send(bytes);
  },
  get buffered() {
    return ws.bufferedAmount;
  },
  close: (code: number) => ws.close(code),
  terminate: () => ws.terminate(),
  pause: () => ws.pause(),
  resume: () => ws.resume(),
});

/** Lowers a limit that no test can reach, for as long as the result lives. */
export function lowered(changes: Partial<Record<keyof typeof limits, number>>): Disposable {
  const before = { ...limits };
  Object.assign(limits, changes);
  return { [Symbol.dispose]: () => void Object.assign(limits, before) };
}

/** A paired node with a link that is up. */
export async function connected(of: World, changes: Partial<Hello> = {}): Promise<NodeEnd> {
  const end = await new NodeEnd(of.port).handshake("IK");
  end.say(hello(changes));
  await end.hears("welcome");
  return end;
}
