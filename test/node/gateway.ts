/** The gateway's end of the wire, scripted by a test: real handshakes and frames over a real socket. */
import { keyId } from "@kith/shared/ids";
import { startHandshake } from "@kith/shared/noise/handshake";
import { generateKeyPair, type KeyPair } from "@kith/shared/noise/keys";
import { PREFIX_BYTES, prologue, readPrefix } from "@kith/shared/noise/prologue";
import { approvalCode, commitment } from "@kith/shared/noise/approval-code";
import type { Pattern } from "@kith/shared/noise/handshake";
import { Channel } from "@kith/shared/protocol/channel";
import { type Frame, toGateway, toGatewayPairing } from "@kith/shared/protocol/frames";
import type { PairBegin } from "@kith/shared/protocol/pairing";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

export type Received = Frame | { t: "chunk"; ch: number; offset: number; data: Uint8Array };
export type Of<T extends Received["t"]> = Extract<Received, { t: T }>;

/** One connection after its handshake, as the gateway sees it: what came in, and a way to answer. */
export class Peer {
  readonly all: Received[] = [];
  /** The close code that the node gave. */
  readonly closed: Promise<number>;
  readonly gone: (code: number) => void;
  answersPings = true;
  /** Sends a chunk as no honest gateway does to a node that wants none. */
  chunk: (ch: number, offset: number, data: Uint8Array) => void = () => {};
  #read = 0;
  #waiting: (() => void)[] = [];
  #gone = false;
  #send: (frame: Frame) => void = () => {};

  constructor() {
    const closed = Promise.withResolvers<number>();
    this.closed = closed.promise;
    this.gone = (code) => {
      this.#gone = true;
      closed.resolve(code);
      this.#ring();
    };
  }

  bind(send: (frame: Frame) => void): void {
    this.#send = send;
  }

  take(frame: Received): void {
    this.all.push(frame);
    this.#ring();
  }

  send(...frames: Frame[]): void {
    for (const frame of frames) this.#send(frame);
  }

  /** How many frames of this kind came so far. */
  count(t: Received["t"]): number {
    return this.all.filter((frame) => frame.t === t).length;
  }

  /** The next frame of this kind; others in between are passed over. */
  async next<T extends Received["t"]>(t: T): Promise<Of<T>> {
    for (;;) {
      while (this.#read < this.all.length) {
        const frame = this.all[this.#read++];
        if (frame?.t === t) return frame as Of<T>;
      }
      if (this.#gone)
        throw new Error(
          `closed while waiting for ${t}; there were ${this.all.map((one) => one.t).join(", ")}`,
        );
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** hello, and our welcome. */
  async welcome(epoch = 1, wantCaps = false): Promise<Of<"hello">> {
    const hello = await this.next("hello");
    this.send(welcomeFrame(epoch, wantCaps));
    return hello;
  }

  /** Takes one stream as a gateway does: credit, all chunks, `stream.done`. */
  async content(
    open: Of<"stream.open">,
    from = 0,
  ): Promise<{ bytes: Uint8Array; end: Of<"stream.end"> }> {
    this.send({ t: "stream.credit", ch: open.ch, upto: 64 * 1_048_576, from });
    const end = await this.next("stream.end");
    const parts = this.all.flatMap((frame) =>
      frame.t === "chunk" && frame.ch === open.ch ? [frame.data] : [],
    );
    this.send({ t: "stream.done", ch: open.ch, size: end.size });
    return { bytes: new Uint8Array(Buffer.concat(parts)), end };
  }

  #ring(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** One accepted connection of the real socket. */
export class Accepted extends Peer {
  readonly pattern: Pattern;
  /** What the node can be known by. */
  readonly remote: Uint8Array;
  readonly hash: Uint8Array;
  readonly socket: WebSocket;
  answersConfirm = true;

  constructor(socket: WebSocket, pattern: Pattern, remote: Uint8Array, hash: Uint8Array) {
    super();
    this.socket = socket;
    this.pattern = pattern;
    this.remote = remote;
    this.hash = hash;
    socket.on("close", this.gone);
  }

  /** The gateway's side of pairing by code, up to where the owner types. Returns what the owner would see. */
  async pairQuietly(): Promise<{ code: string; returnCode: string; begin: PairBegin }> {
    const begin = await this.next("pair.begin");
    if (begin.how !== "code") throw new Error("it has a ticket");
    const nG = new Uint8Array(16).fill(7);
    this.send({ t: "pair.nonce", nonce: nG, left_ms: 900_000 });
    const { nonce } = await this.next("pair.reveal");
    if (Buffer.compare(commitment(this.hash, nonce), begin.commit) !== 0)
      throw new Error("commitment");
    return { ...approvalCode(this.hash, nonce, nG), begin };
  }
}

export const welcomeFrame = (epoch: number, wantCaps = false): Frame => ({
  ...{
    t: "welcome",
    minor: 0,
    features: [],
    epoch,
    session: "01JCQ0000000000000000000SE",
    gateway: "home",
    ping_ms: 20_000,
  },
  ...{
    limits: { calls: 64, streams: 16, control: 65_536, chunk: 262_144 },
    want_caps: wantCaps,
    now: 0,
  },
});

export interface FakeGateway extends AsyncDisposable {
  readonly address: string;
  readonly key: KeyPair;
  readonly id: string;
  /** Handshakes that were begun, also those that were refused. */
  readonly tries: number;
  /** How the next handshakes are answered; a number closes with it. */
  admit: (pattern: Pattern, remote?: Uint8Array) => true | number;
  /** HTTP requests whose headers a test wants to see. */
  readonly headers: Record<string, unknown>[];
  accepted(): Promise<Accepted>;
}

export async function fakeGateway(key?: KeyPair, port = 0): Promise<FakeGateway> {
  const own = key ?? (await generateKeyPair());
  const id = keyId(own.publicKey);
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port,
    path: "/v1/mesh",
    perMessageDeflate: false,
    handleProtocols: () => "kith.v1",
  });
  await new Promise((resolve) => server.on("listening", resolve));
  const ready: Accepted[] = [];
  let waiting: (() => void)[] = [];
  const headers: Record<string, unknown>[] = [];
  let tries = 0;
  const gateway: FakeGateway = {
    ...{ address: `127.0.0.1:${(server.address() as AddressInfo).port}`, key: own, id, headers },
    get tries() {
      return tries;
    },
    admit: () => true,
    async accepted() {
      for (;;) {
        const one = ready.shift();
        if (one) return one;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    async [Symbol.asyncDispose]() {
      for (const client of server.clients) client.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on("connection", (socket, request) => {
    headers.push({ ...request.headers });
    const queue: Uint8Array[] = [];
    let next: ((message: Uint8Array) => void) | undefined;
    let sink: ((message: Uint8Array) => void) | undefined;
    socket.on("error", () => {});
    socket.on("message", (data: Buffer) => {
      const message = new Uint8Array(data);
      if (sink) return sink(message);
      if (next) next(message);
      else queue.push(message);
      next = undefined;
    });
    const receive = () =>
      new Promise<Uint8Array>((resolve) =>
        queue.length > 0 ? resolve(queue.shift()!) : (next = resolve),
      );
    void (async () => {
      const first = await receive();
      tries++;
      const opening = readPrefix(first);
      const { pattern } = opening;
      const handshake = startHandshake({
        pattern,
        initiator: false,
        s: own,
        prologue: prologue({
          ...opening,
          path: "/v1/mesh",
          ...(pattern === "IK" && { gateway: id }),
        }),
      });
      await handshake.read(first.subarray(PREFIX_BYTES));
      const verdict = gateway.admit(pattern, handshake.remoteStatic);
      if (verdict !== true) return socket.close(verdict);
      socket.send(await handshake.write());
      if (!handshake.done) await handshake.read(await receive());
      const remote = handshake.remoteStatic!;
      const { send, receive: opened, hash } = await handshake.split();
      const accepted = new Accepted(socket, pattern, remote, hash);
      const transport = {
        send: (bytes: Uint8Array) => socket.send(bytes),
        buffered: 0,
        close: (code: number) => socket.close(code),
        terminate: () => socket.terminate(),
        pause: () => {},
        resume: () => {},
      };
      const events = {
        onFrame: (frame: Frame) => {
          if (frame.t === "ping") channel.send({ t: "pong", n: frame.n });
          if (frame.t === "pair.confirm" && accepted.answersConfirm) {
            accepted.take(frame);
            channel.send({
              t: "pair.accepted",
              device: keyId(remote),
              gateway: id,
              name: "laptop",
              ceiling: [],
            });
            channel.expect(toGateway, events);
            return;
          }
          accepted.take(frame);
        },
        onChunk: (ch: number, offset: number, data: Uint8Array) =>
          accepted.take({ t: "chunk", ch, offset, data }),
        onMalformed: (error: Error) => void Promise.reject(error),
        onFault: (code: number) => socket.close(code),
        onRollover: () => {},
      };
      const channel = new Channel(
        transport,
        { send, receive: opened },
        pattern === "IK" ? toGateway : toGatewayPairing,
        events,
        (fn) => void setImmediate(fn),
      ) as Channel<typeof toGateway>;
      accepted.bind((frame) => channel.send(frame));
      sink = (message) => channel.receive(message);
      for (const message of queue.splice(0)) sink(message);
      ready.push(accepted);
      for (const resolve of waiting.splice(0)) resolve();
    })().catch(() => socket.close(4400));
  });
  return gateway;
}
