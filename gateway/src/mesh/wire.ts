/**
 * One accepted WebSocket, the only place that touches it. Listens from the tick in which it
 * was accepted, counts raw bytes until its peer is trusted, and never waits for `close`.
 */
import type { Duplex } from "node:stream";
import type { Clock } from "@kith/shared/clock";
import { limits } from "@kith/shared/protocol/limits";
import type { Transport } from "@kith/shared/transport";
import type { WebSocket } from "ws";
import { recent } from "./recent.ts";
import { messageRead } from "./young.ts";

/** Between our close frame and dropping the socket. */
const LINGER_MS = 1_000;
const PINGS_MS = 10_000;

/** The stage that has the socket now: stranger, pairing or link. Nothing is called after `close`. */
export interface WireEvents {
  /** One binary message, in order. A throw closes this socket with 4400. */
  message(bytes: Uint8Array): void;
  /** A rule of the socket itself was broken; the stage decides with which last words to close. */
  fault(code: number, why: string): void;
  /** The socket is gone, or the mesh goes. */
  gone(why: string): void;
  /** The gateway stops. */
  shutdown(): void;
}

export class Wire implements Transport {
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  readonly #clock: Clock;
  #events: WireEvents | undefined;
  #raw = 0;
  #ceiling: number = limits.rawBytesBeforeAuth;
  #over = false;
  #held = false;
  #paused = false;
  #cancel = () => {};

  /** Call it in the tick of the upgrade, and `hear` in the same one. */
  constructor(ws: WebSocket, socket: Duplex, clock: Clock) {
    this.#ws = ws;
    this.#socket = socket;
    this.#clock = clock;
    const pings = recent(clock, limits.websocketPingsPer10s, PINGS_MS);
    // Before the library's own listener: what is over the ceiling must not be parsed first.
    socket.prependListener("data", this.#count);
    ws.on("message", (data, binary) => {
      if (!binary) this.#fault(4400, "a text message");
      else {
        const bytes = data as Buffer; // `nodebuffer`, the default of ws
        messageRead(bytes.length);
        this.#tell((events) => events.message(bytes));
      }
    });
    ws.on("ping", (data) => {
      if (pings.hit() === undefined) this.#fault(4429, "WebSocket pings");
      // Strangers get no answer but the handshake's.
      else if (this.#ceiling === Infinity && !this.#over) ws.pong(data);
    });
    ws.on("error", (error: Error & { code?: string }) => {
      this.#gone(error.code ?? "error"); // too large (1009) and broken framing land here; ws closes by itself
      this.#linger();
    });
    ws.on("close", () => {
      this.#gone("closed");
      this.#cancel();
    });
  }

  /** From now on this stage has the socket. */
  hear(events: WireEvents): void {
    this.#events = events;
  }

  /** Raw bytes that may have arrived in all; `Infinity` once the peer is trusted. */
  allow(bytes: number): void {
    this.#ceiling = bytes;
    if (bytes === Infinity) this.#socket.off("data", this.#count);
  }

  send(bytes: Uint8Array): void {
    if (!this.#over) this.#ws.send(bytes);
  }

  get buffered(): number {
    return this.#ws.bufferedAmount;
  }

  close(code: number): void {
    if (this.#over) return;
    this.#end();
    this.#ws.close(code); // no reason: it would not be authenticated
    this.#linger();
  }

  terminate(): void {
    this.#end();
    this.#cancel();
    this.#ws.terminate();
  }

  pause(): void {
    this.#paused = true;
    this.#ws.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#held) this.#ws.resume();
  }

  /** Reads nothing for a while, whatever else pauses and resumes. */
  hold(ms: number): void {
    if (this.#held || this.#over) return;
    this.#held = true;
    this.#ws.pause();
    this.#clock.after(ms, () => {
      this.#held = false;
      if (!this.#paused && !this.#over) this.#ws.resume();
    });
  }

  shutdown(): void {
    this.#tell((events) => events.shutdown());
    this.close(1000);
  }

  readonly #count = (data: Uint8Array): void => {
    this.#raw += data.length;
    if (this.#raw <= this.#ceiling || this.#over) return;
    this.#gone("too many bytes before authentication");
    this.terminate();
  };

  #fault(code: number, why: string): void {
    this.#tell((events) => events.fault(code, why));
    this.close(code);
  }

  #gone(why: string): void {
    this.#tell((events) => events.gone(why));
    this.#end();
  }

  /** One bad socket closes only itself, whatever its stage throws. */
  #tell(what: (events: WireEvents) => void): void {
    if (this.#over || !this.#events) return;
    try {
      what(this.#events);
    } catch {
      this.close(4400); // the stages report their own defects; here only the socket must go
    }
  }

  #end(): void {
    this.#over = true;
    this.#events = undefined;
    // A paused socket would never show its end.
    if (this.#paused || this.#held) this.#ws.resume();
  }

  #linger(): void {
    this.#cancel();
    this.#cancel = this.#clock.after(LINGER_MS, () => this.#ws.terminate());
  }
}
