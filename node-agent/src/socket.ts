/** A WebSocket to the gateway as the rest of the agent wants it: ordered, bounded, never waited for. */
import type { Duplex } from "node:stream";
import { hostAndPort } from "@kith/shared/address";
import { KithError } from "@kith/shared/errors";
import type { Clock } from "@kith/shared/clock";
import { budget } from "@kith/shared/budget";
import { limits } from "@kith/shared/protocol/limits";
import { release } from "@kith/shared/release";
import type { Transport } from "@kith/shared/transport";
import { takeMasked } from "@kith/shared/websocket-mask";
import { WebSocket } from "ws";

export const PATH = "/v1/mesh";

/** A socket whose messages wait for whoever takes them: first the handshake, then the channel. */
export interface Wire extends Transport {
  readonly address: string;
  /** The other end's address as the system says it; empty for a socket that somebody else dialled. */
  readonly remote: string;
  /** The next message, in order. Rejects when there will be none. */
  next(): Promise<Uint8Array>;
  /** From now on each message goes there in the tick in which it arrives; waiting ones go first. */
  deliver(to: (message: Uint8Array) => void): void;
  /** Resolves with the close code when the socket is gone; 1006 when nobody gave one. */
  readonly closed: Promise<number>;
}

/** Thrown by `dial` and the handshake: a socket, but nobody who wants us. */
export class Refused extends KithError {
  /** WebSocket close code or HTTP status; neither is authenticated. */
  readonly close: number;

  constructor(close: number, message: string) {
    super("not-accepted", message);
    this.close = close;
  }
}

/** Dials for us, where our own network does not lead there; undefined: it does. @throws KithError gateway-unreachable */
export type Connect = (
  host: string,
  port: number,
  signal: AbortSignal,
) => Promise<Duplex | undefined>;

/** Opens a socket to HOST:PORT. @throws KithError gateway-unreachable, Refused */
export async function dial(
  address: string,
  clock: Clock,
  signal: AbortSignal,
  connect?: Connect,
): Promise<Wire> {
  const { host, port } = hostAndPort(address);
  const dialled = await connect?.(host, port, signal);
  if (signal.aborted) {
    dialled?.destroy();
    throw new KithError("gateway-unreachable", "another address was faster");
  }
  return open(address, clock, signal, dialled);
}

function open(
  address: string,
  clock: Clock,
  signal: AbortSignal,
  dialled: Duplex | undefined,
): Promise<Wire> {
  const { promise, resolve, reject } = Promise.withResolvers<Wire>();
  const socket = new WebSocket(`ws://${address}${PATH}`, ["kith.v1"], {
    maxPayload: limits.frameBytes,
    maxFragments: 64,
    maxBufferedChunks: 1_024,
    perMessageDeflate: false,
    followRedirects: false,
    handshakeTimeout: limits.handshakeMs,
    ...(dialled && { createConnection: () => dialled }),
  });
  const queue: Uint8Array[] = [];
  const closed = Promise.withResolvers<number>();
  let gone: number | undefined;
  let waiter: PromiseWithResolvers<Uint8Array> | undefined;
  let sink: ((message: Uint8Array) => void) | undefined;
  const pings = budget(clock, limits.websocketPingsPer10s / 10, limits.websocketPingsPer10s);

  const end = (code: number): void => {
    if (gone !== undefined) return;
    gone = code;
    signal.removeEventListener("abort", abort);
    waiter?.reject(new Refused(code, "the gateway closed the connection"));
    reject(new KithError("gateway-unreachable", `no gateway answers at ${address}`));
    closed.resolve(code);
  };
  const fail = (code: number): void => {
    socket.close(code);
    socket.terminate();
    end(code);
  };
  const abort = (): void => fail(1000);
  signal.addEventListener("abort", abort, { once: true });

  // All listeners in this very tick: one await before them loses message 1.
  socket.on("message", (data: Buffer, isBinary) => {
    if (gone !== undefined) return;
    if (!isBinary) return fail(4400);
    const message = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (sink) return sink(message);
    if (waiter) {
      waiter.resolve(message);
      waiter = undefined;
    } else if (queue.push(message) > MOST_WAITING) fail(4400);
  });
  socket.on("ping", () => {
    if (!pings()) fail(4429);
  });
  socket.on("close", (code) => end(code));
  // What went wrong is told by `close`, which follows; without a listener it would end the process.
  socket.on("error", () => {});
  socket.on("unexpected-response", (_request, response) => {
    reject(
      new Refused(
        response.statusCode ?? 0,
        `${address} answered with HTTP ${response.statusCode}: no gateway, or it refuses this device`,
      ),
    );
    socket.terminate();
  });
  socket.on("upgrade", (response) => {
    remote = dialled ? "" : (response.socket.remoteAddress ?? "");
  });
  socket.on("open", () => {
    // From here on the link decides how it ends.
    signal.removeEventListener("abort", abort);
    resolve(wire);
  });

  let remote = "";
  const wire: Wire = {
    address,
    get remote() {
      return remote;
    },
    closed: closed.promise,
    send: (bytes) => {
      // The library masks into a copy. Where sending failed the system may still read from them.
      socket.send(bytes, (error) => {
        if (error) return;
        release(bytes);
        if (masked) release(masked);
      });
      const masked = takeMasked();
    },
    get buffered() {
      return socket.bufferedAmount;
    },
    close: (code) => socket.close(code),
    terminate: () => {
      socket.terminate();
      end(1006);
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    next: async () => {
      const message = queue.shift();
      if (message) return message;
      if (gone !== undefined) throw new Refused(gone, "the gateway closed the connection");
      waiter = Promise.withResolvers();
      return await waiter.promise;
    },
    deliver: (to) => {
      sink = to;
      for (const message of queue.splice(0)) to(message);
    },
  };
  return promise;
}

/** Frames may arrive while the last handshake step is still being worked out. */
const MOST_WAITING = 16;
