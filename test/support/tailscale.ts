/**
 * A stand-in for the Tailscale daemon: LocalAPI on a Unix socket, with the shapes that tailscale v1.98 answers.
 * It refuses what the real one refuses: another Host, an Origin, a write by GET.
 */
import { type Server, type ServerResponse, createServer } from "node:http";
import { type Socket, connect } from "node:net";
import { join } from "node:path";
import { freshFolder } from "./home.ts";

/** A machine of the pretended network. */
export interface Machine {
  readonly id: string;
  readonly host: string;
  readonly ip: string;
  readonly tags?: readonly string[];
  readonly login?: string;
  readonly online?: boolean;
  /** Address of its direct path; without one it is relayed by `relay`. */
  readonly direct?: string;
  readonly relay?: string;
  /** What the policy grants it towards this machine: capability → values. */
  caps?: Readonly<Record<string, readonly unknown[]>>;
}

const SUFFIX = "tail1234.ts.net";

export class FakeTailscale {
  readonly socket = join(freshFolder("kith-tail-"), "ts.sock");
  readonly asked: string[] = [];
  state = "Running";
  tun = true;
  self: Machine = { id: "nSELF", host: "kith-gw", ip: "100.64.0.1" };
  peers: Machine[] = [];
  /** Connections that a daemon in userspace mode forwarded: our side of them, by port. */
  readonly forwarded = new Map<number, string>();
  /** Where `dial` leads: `100.64.0.1:5484` or a name to a real port of loopback. */
  readonly routes = new Map<string, number>();
  /** Hears of each connection that `dial` made, by our side's port: what a gateway's daemon knows. */
  connected: (port: number) => void = () => {};
  /** Answers nothing any more, but takes connections. */
  hangs = false;
  readonly #server: Server;
  readonly #buses = new Set<ServerResponse>();
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((request, response) => {
      const { host, origin, referer } = request.headers;
      const url = new URL(request.url ?? "", "http://local");
      this.asked.push(`${request.method} ${url.pathname.slice("/localapi/v0/".length)}`);
      if (this.hangs) return;
      if (host !== "local-tailscaled.sock" || origin !== undefined || referer !== undefined)
        return void response.writeHead(403).end("bad host");
      const json = (value: unknown) => void response.end(JSON.stringify(value));
      switch (url.pathname) {
        case "/localapi/v0/status":
          return json(this.#status());
        case "/localapi/v0/whois": {
          const known = this.#whois(url.searchParams.get("addr") ?? "");
          return known ? json(known) : void response.writeHead(404).end("no match for IP:port");
        }
        case "/localapi/v0/watch-ipn-bus":
          this.#buses.add(response);
          response.once("close", () => this.#buses.delete(response));
          return void response.write(`${JSON.stringify({ State: 6 })}\n`);
        case "/localapi/v0/dial":
          return void response.writeHead(400).end("bad ts-dial upgrade");
        default:
          return void response.writeHead(404).end();
      }
    });
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#server.on("upgrade", (request, socket: Socket) => {
      const { "dial-host": host = "", "dial-port": port = "" } = request.headers;
      this.asked.push(`DIAL ${String(host)}:${String(port)}`);
      const to = this.routes.get(`${String(host)}:${String(port)}`);
      if (request.method !== "POST" || request.headers.upgrade !== "ts-dial")
        return socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      if (to === undefined)
        return socket.end(
          String(host).startsWith("100.")
            ? "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
            : "HTTP/1.1 200 OK\r\nDial-Self: true\r\nContent-Length: 0\r\n\r\n",
        );
      const out = connect(to, "127.0.0.1", () => {
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: ts-dial\r\nConnection: upgrade\r\n\r\n",
        );
        this.connected(out.localPort ?? 0);
        out.pipe(socket).pipe(out);
      });
      for (const one of [out, socket]) one.on("error", () => (out.destroy(), socket.destroy()));
    });
  }

  static async start(change: (fake: FakeTailscale) => void = () => {}): Promise<FakeTailscale> {
    const fake = new FakeTailscale();
    change(fake);
    await new Promise<void>((resolve) => fake.#server.listen(fake.socket, resolve));
    return fake;
  }

  /** Something in the network changed: whoever watches hears of it. */
  notify(): void {
    for (const bus of this.#buses) bus.write(`${JSON.stringify({ NetMap: {} })}\n`);
  }

  get watchers(): number {
    return this.#buses.size;
  }

  dns({ host }: Machine): string {
    return `${host}.${SUFFIX}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #peer(machine: Machine) {
    const { id, host, ip, tags, online = true, direct = "", relay = "" } = machine;
    return {
      ...{ ID: id, HostName: host, DNSName: `${this.dns(machine)}.`, OS: "linux" },
      ...{ TailscaleIPs: [ip], Online: online, CurAddr: direct, Relay: relay },
      ...(tags && { Tags: tags }),
    };
  }

  #status() {
    return {
      ...{ Version: "1.98.10", TUN: this.tun, BackendState: this.state, Health: [] },
      Self: this.#peer(this.self),
      CurrentTailnet: { Name: "test", MagicDNSSuffix: SUFFIX },
      Peer: Object.fromEntries(this.peers.map((peer, at) => [`nodekey:${at}`, this.#peer(peer)])),
    };
  }

  #whois(asked: string) {
    const [, host = asked, port] = /^\[?([^\]]+?)\]?(?::(\d+))?$/.exec(asked) ?? [];
    const ip = host === "127.0.0.1" ? this.forwarded.get(Number(port)) : host;
    const machine = [this.self, ...this.peers].find((one) => one.ip === ip);
    if (!machine) return undefined;
    const { id, tags, login = "anna@example.com", caps } = machine;
    return {
      Node: {
        ...{ ID: 1, StableID: id, Name: `${this.dns(machine)}.`, Addresses: [`${machine.ip}/32`] },
        ...(tags && { Tags: tags }),
      },
      UserProfile: { ID: 2, LoginName: tags ? "tagged-devices" : login, DisplayName: "" },
      CapMap: caps ?? null,
    };
  }
}
