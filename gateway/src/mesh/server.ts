/**
 * The port: HTTP until the 101, then strangers, then links.
 *
 *   GET /.well-known/kith ──► {"v":1,"id":...}        upgrade of /v1/mesh ──► stranger.ts
 *   GET /agent ──► the agent's file, while a ticket lives
 *   upgrade with Origin or Sec-Fetch-Site ──► 403     without kith.v1 ──► 400
 *   anything else ──► 404                             too many ──► 429, 503
 *
 * Nothing here is identity: no address, no header, no cookie. Who somebody is, a key says.
 */
import { createReadStream } from "node:fs";
import {
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
  createServer,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Duplex, pipeline } from "node:stream";
import { KithError } from "@kith/shared/errors";
import { budget } from "@kith/shared/budget";
import { limits } from "@kith/shared/protocol/limits";
import { WebSocketServer } from "ws";
import { admission, canonicalSource, plainAddress } from "./admission.ts";
import { type HouseOptions, house as makeHouse } from "./house.ts";
import { meet } from "./stranger.ts";
import { Wire } from "./wire.ts";

const PATH = "/v1/mesh";
const PROBE = "/.well-known/kith";
const AGENT = "/agent";
/** Downloads of the agent at once, and so many ms for each. */
const DOWNLOADS = 4;
const DOWNLOAD_MS = 60_000;
const SUBPROTOCOL = "kith.v1";
/** A WebSocket upgrade has about 300 bytes of headers; a proxy adds some. */
const HEADER_BYTES = 4_096;
const FRAGMENTS = 64;
const BUFFERED_CHUNKS = 1_024;
/** How often an address is tried again that this machine does not have now: a tailnet's, before its daemon is up. */
const AWAY_MS = 5_000;
/** What `close` gives the peers to take our `bye`. */
const FAREWELL_MS = 1_000;

export interface Address {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface MeshOptions extends HouseOptions {
  readonly listen: readonly Address[];
  /** The agent's file, for whoever has a ticket and nothing else. */
  readonly agent?: string;
}

export interface Mesh {
  /** Where it really listens. */
  readonly addresses: readonly Address[];
  /** Binds one more address at once. @throws KithError port-taken */
  listen(more: Address): Promise<Address>;
  /** Says `bye` to everybody and resolves when all sockets are gone, after a second at most. */
  close(): Promise<void>;
}

/**
 * An address that this machine does not have now is listened on as soon as it has; with none at all it does not start.
 * @throws KithError port-taken, config-invalid
 */
export async function startMesh({ listen, agent, ...options }: MeshOptions): Promise<Mesh> {
  const { clock, gateway, log } = options;
  const house = makeHouse(options);
  const doors = admission(clock);
  const probes = budget(clock, limits.probesPerSecond, limits.probesPerSecond);
  const card = JSON.stringify({ v: 1, id: gateway.id });
  const servers: { server: Server; address: Address }[] = [];
  const wires = new Set<Wire>();
  /** Ends the patience with a TCP connection that has not upgraded. */
  const arrived = new WeakMap<Duplex, () => void>();

  const upgrades = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: limits.frameBytes,
    maxFragments: FRAGMENTS,
    maxBufferedChunks: BUFFERED_CHUNKS,
    perMessageDeflate: false,
    autoPong: false, // wire.ts answers, and only those it trusts
    skipUTF8Validation: true, // a text message closes the link, whatever it says
    handleProtocols: () => SUBPROTOCOL,
  });

  const onConnection = (socket: Socket) => {
    const left = doors.knock(canonicalSource(socket.remoteAddress));
    if (!left) return socket.destroy();
    const cancel = clock.after(limits.handshakeMs, () => socket.destroy());
    const done = () => {
      cancel();
      left();
    };
    arrived.set(socket, done);
    socket.once("close", done);
  };

  let downloads = 0;
  /** It is no secret, but a gateway that lets nobody in serves nothing either. */
  const sendAgent = (request: IncomingMessage, response: ServerResponse) => {
    if (agent === undefined || house.tickets.live().length === 0)
      return void response.writeHead(404).end();
    if (downloads >= DOWNLOADS) return void response.writeHead(429).end();
    downloads++;
    // The patience with a connection that has not upgraded is shorter than a slow download.
    arrived.get(request.socket)?.();
    const cancel = clock.after(DOWNLOAD_MS, () => request.socket.destroy());
    const over = () => {
      downloads--;
      cancel();
    };
    const file = createReadStream(agent);
    file.once("error", () => {
      if (response.headersSent) return; // pipeline cut it off
      over();
      response.writeHead(404).end();
    });
    file.once("open", () => {
      if (response.destroyed) {
        // Whoever asked is gone already.
        file.destroy();
        return over();
      }
      response.writeHead(200, { "content-type": "text/javascript" });
      pipeline(file, response, over);
    });
  };

  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    response.setHeader("connection", "close");
    if (request.method === "GET" && request.url === AGENT) return sendAgent(request, response);
    if (request.method !== "GET" || request.url !== PROBE)
      return void response.writeHead(404).end();
    if (!probes()) return void response.writeHead(429).end();
    response.writeHead(200, { "content-type": "application/json" }).end(card);
  };

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const status = unwelcome(request);
    if (status) return refuse(socket, status);
    const address = request.socket.remoteAddress;
    const guest = doors.admit(canonicalSource(address));
    if (typeof guest === "number") return refuse(socket, guest);
    socket.once("close", () => guest.left());
    // Calls back before it returns, or has refused by itself. No `await` up to the listeners:
    // the first message may stand in the same TCP segment as the upgrade.
    upgrades.handleUpgrade(request, socket, head, (ws) => {
      arrived.get(socket)?.();
      const wire = new Wire(ws, socket, clock);
      wires.add(wire);
      socket.once("close", () => wires.delete(wire));
      meet(house, wire, guest, {
        source: plainAddress(address),
        port: request.socket.remotePort ?? 0,
      });
    });
  };

  const bind = async (wanted: Address): Promise<Address> => {
    const server = createServer({
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: limits.handshakeMs,
      requestTimeout: limits.handshakeMs,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 1_000,
    });
    server.on("connection", onConnection).on("request", onRequest).on("upgrade", onUpgrade);
    const address = await listening(server, wanted);
    server.on("error", (error) => log("the listening socket failed", error));
    servers.push({ server, address });
    return address;
  };

  let closing = false;
  const later = (address: Address): void => {
    clock.after(AWAY_MS, () => {
      if (closing) return;
      bind(address).then(
        () => log(`${address.host} is there now, and listened on`),
        () => later(address),
      );
    });
  };

  const close = async (): Promise<void> => {
    closing = true;
    const closed = servers.map(
      ({ server }) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const { server } of servers) server.closeAllConnections(); // those that have not upgraded
    for (const wire of wires) wire.shutdown();
    const cancel = clock.after(FAREWELL_MS, () => {
      for (const wire of wires) wire.terminate();
    });
    await Promise.all(closed);
    cancel();
  };

  try {
    let away: unknown;
    for (const address of listen) {
      try {
        await bind(address);
      } catch (error) {
        if (!isAway(error)) throw error;
        away = error;
        log(`${address.host} is no address of this machine now; it is tried again`);
        later(address);
      }
    }
    if (servers.length === 0) throw away;
  } catch (error) {
    await close();
    throw error;
  }
  return {
    get addresses() {
      return servers.map(({ address }) => address);
    },
    listen: bind,
    close,
  };
}

/** Why an upgrade is refused before the 101, as an HTTP status; `undefined` when it is in order. */
function unwelcome({ url, headers }: IncomingMessage): number | undefined {
  if (url !== PATH) return 404; // /v1/web, for browsers, comes later
  // A browser: it has no business here, and its user may not know that it knocks.
  if ("origin" in headers || "sec-fetch-site" in headers) return 403;
  const protocols = headers["sec-websocket-protocol"]?.split(",").map((one) => one.trim()) ?? [];
  return protocols.includes(SUBPROTOCOL) ? undefined : 400;
}

function refuse(socket: Duplex, status: number): void {
  socket.on("error", () => socket.destroy()); // whoever is refused may be gone already
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  socket.end(head, () => socket.destroy());
}

const isAway = (error: unknown): boolean =>
  error instanceof KithError &&
  (error.cause as NodeJS.ErrnoException | undefined)?.code === "EADDRNOTAVAIL";

async function listening(server: Server, { host, port }: Address): Promise<Address> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EADDRINUSE")
      throw new KithError("port-taken", `port ${port} of ${host} is taken`, { cause: error });
    throw new KithError("config-invalid", `cannot listen on ${host} port ${port}`, {
      cause: error,
    });
  });
  return { host, port: (server.address() as AddressInfo).port }; // a TCP server has one
}
