/**
 * A TCP proxy that makes a network as bad as asked, by a seed, without root: delay, jitter, rate,
 * cut, reset, and silence (half-open), which a link that goes down never shows.
 *
 *   node ──► proxy ──► gateway      each direction: chunks leave in order, each at its own time
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Seeded } from "../support/world.ts";

export interface Weather {
  /** ms that every chunk takes, and by how much that varies both ways. */
  delayMs?: number;
  jitterMs?: number;
  /** Bytes a second, per direction. */
  bytesPerSecond?: number;
  /** Nothing of this direction arrives, and nobody is told. `up`: from the node. */
  silent?: "up" | "down" | "both";
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class ChaosProxy implements Disposable {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #rng: Seeded;
  weather: Weather = {};
  /** Connections that were made so far. */
  connections = 0;

  private constructor(to: number, rng: Seeded) {
    this.#rng = rng;
    this.#server = createServer({ noDelay: true }, (near) => {
      this.connections++;
      const far = connect({ port: to, host: "127.0.0.1", noDelay: true });
      const pair = { near, far };
      this.#pairs.add(pair);
      this.#carry(near, far, "up");
      this.#carry(far, near, "down");
      const over = (): void => {
        this.#pairs.delete(pair);
        // A silent network does not tell either side that the other one left.
        if (this.weather.silent !== undefined) return;
        near.destroy();
        far.destroy();
      };
      for (const socket of [near, far]) socket.on("error", () => {}).on("close", over);
    });
  }

  /** Listens on loopback in front of the port `to`. */
  static open(to: number, rng: Seeded): Promise<ChaosProxy> {
    const proxy = new ChaosProxy(to, rng);
    return new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", () => resolve(proxy)));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Every connection ends with a RST. */
  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  #carry(from: Socket, to: Socket, way: "up" | "down"): void {
    let free = performance.now();
    from.on("data", (chunk: Buffer) => {
      const { silent, delayMs = 0, jitterMs = 0, bytesPerSecond } = this.weather;
      if (silent === "both" || silent === way) return;
      const now = performance.now();
      const late = Math.max(0, delayMs + jitterMs * (2 * this.#rng.float() - 1));
      const takes = bytesPerSecond === undefined ? 0 : (chunk.length / bytesPerSecond) * 1_000;
      // In order: a chunk never overtakes the one before it.
      free = Math.max(free + takes, now + takes + late);
      if (free <= now) return void to.write(chunk);
      from.pause();
      setTimeout(() => {
        if (!to.destroyed) to.write(chunk);
      }, free - now);
      // Only the rate holds the sender up; what is merely late is on its way.
      setTimeout(() => from.resume(), takes);
    });
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }
}
