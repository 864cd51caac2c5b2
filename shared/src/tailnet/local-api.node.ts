/**
 * What this machine's Tailscale daemon knows, by its LocalAPI (tailscale v1.98; paths `/localapi/v0/`).
 *
 * None of it is identity: who a device is, its key says. It tells ways to dial, what people call a machine,
 * and the ceiling that the network's policy sets. Without a daemon, or with one that does not answer, there
 * are no such facts: never an error, never trust.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import * as v from "valibot";
import { hostPort } from "../address.ts";
import type { Clock } from "../clock.ts";
import { KithError } from "../errors.ts";
import { tame } from "../protocol/words.ts";
import { INVOKE_CAP, NODE_CAP, ceilingOf } from "./ceiling.ts";

const ANSWER_MS = 2_000;
const DIAL_MS = 10_000;
/** A status names every peer, about 1 KB each. */
const MOST_BYTES = 16 * 1024 * 1024;
/** A connection that the daemon forwards to us is known to it a moment after it is known to us. */
const RACE_MS = [0, 10, 20, 50, 100];
const SETTLE_MS = 500;
const FIRST_WAIT_MS = 1_000;
const MOST_WAIT_MS = 30_000;
/** InitialState, so that something comes at once, and RateLimit. */
const BUS_MASK = (1 << 1) | (1 << 8);

/** Where the daemon listens: a Unix socket, or on macOS a port of loopback with a token. */
export type Endpoint =
  | { readonly socketPath: string }
  | { readonly port: number; readonly token: string };

export interface TailnetNode {
  /** The stable id; it outlives keys and names. */
  readonly id: string;
  /** MagicDNS name without the last dot; empty where the network has none. */
  readonly dns: string;
  readonly host: string;
  readonly ips: readonly string[];
  readonly tags: readonly string[];
  readonly online: boolean;
  /** Address of the direct path, and the relay that is used without one; both empty: no traffic yet. */
  readonly direct: string;
  readonly relay: string;
}

export interface TailnetStatus {
  /** NoState, NeedsLogin, NeedsMachineAuth, Stopped, Starting or Running. */
  readonly state: string;
  /** False in userspace mode: then a tailnet peer's connection arrives from 127.0.0.1. */
  readonly tun: boolean;
  readonly self: TailnetNode | undefined;
  readonly peers: readonly TailnetNode[];
}

/** Whoever is behind an address of the tailnet, as its control server says. */
export interface TailnetPeer {
  readonly node: string;
  /** Its first address in the tailnet. */
  readonly ip: string;
  readonly name: string;
  /** Empty for tagged machines, which share one. */
  readonly login: string;
  readonly tags: readonly string[];
  /** What it may be asked (`node`), and may ask (`invoke`), by the policy; see ceiling.ts. */
  readonly may: {
    readonly node: readonly string[] | undefined;
    readonly invoke: readonly string[] | undefined;
  };
}

const text = v.optional(v.string(), "");
const texts = v.optional(v.nullable(v.array(v.string())));
const peerSchema = v.object({
  ...{ ID: v.string(), HostName: text, DNSName: text, CurAddr: text, Relay: text },
  ...{ TailscaleIPs: texts, Tags: texts, Online: v.optional(v.boolean(), false) },
});
const statusSchema = v.object({
  BackendState: v.string(),
  TUN: v.boolean(),
  Self: v.optional(v.nullable(peerSchema)),
  Peer: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
});
const whoisSchema = v.object({
  Node: v.object({ StableID: v.string(), Name: text, Tags: texts, Addresses: texts }),
  UserProfile: v.object({ LoginName: text }),
  CapMap: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
});

/** Names come from other people's machines. */
const short = (said: string): string => tame(said, 255);
const bare = (dns: string): string => short(dns).replace(/\.$/, "");
const few = (said: readonly string[] | null | undefined): string[] =>
  (said ?? []).slice(0, 16).map(short);

const nodeOf = (said: v.InferOutput<typeof peerSchema>): TailnetNode => ({
  ...{ id: short(said.ID), dns: bare(said.DNSName), host: short(said.HostName) },
  ...{ ips: few(said.TailscaleIPs), tags: few(said.Tags), online: said.Online },
  ...{ direct: short(said.CurAddr), relay: short(said.Relay) },
});

/** One daemon. Nothing is kept open but what `watch` opens. */
export class LocalApi {
  readonly #clock: Clock;
  readonly #find: () => Endpoint | undefined;

  /** `socket`: where it listens, if not in its usual place. */
  constructor(clock: Clock, socket?: string) {
    this.#clock = clock;
    this.#find = socket === undefined ? usual : () => ({ socketPath: socket });
  }

  /** Undefined: no daemon answers here. */
  async status(): Promise<TailnetStatus | undefined> {
    const answer = await this.#get("status?peers=true", AbortSignal.timeout(ANSWER_MS));
    const said = v.safeParse(statusSchema, answer);
    if (!said.success) return undefined;
    const { BackendState: state, TUN: tun, Self: self, Peer: peers } = said.output;
    return {
      ...{ state: short(state), tun },
      self: self ? nodeOf(self) : undefined,
      peers: Object.values(peers ?? {}).flatMap((one) => {
        const peer = v.safeParse(peerSchema, one);
        return peer.success ? [nodeOf(peer.output)] : [];
      }),
    };
  }

  /**
   * Who is behind an address of the tailnet. With a port also behind one of 127.0.0.1 that a daemon in
   * userspace mode forwards. Undefined: no daemon answers. In 2 s at most.
   */
  async whois(address: string, port?: number): Promise<TailnetPeer | "nobody" | undefined> {
    const where = port === undefined ? address : hostPort(address, port);
    const patience = AbortSignal.timeout(ANSWER_MS);
    for (const wait of port === undefined ? [0] : RACE_MS) {
      if (wait > 0) await new Promise<void>((resolve) => this.#clock.after(wait, resolve));
      const answer = await this.#get(`whois?proto=tcp&addr=${encodeURIComponent(where)}`, patience);
      if (answer === undefined) return undefined;
      if (answer === NOBODY) continue;
      const said = v.safeParse(whoisSchema, answer);
      if (!said.success) return undefined;
      const { Node: node, UserProfile: user, CapMap: caps } = said.output;
      const tags = few(node.Tags);
      const [ip = ""] = few(node.Addresses);
      return {
        ip: ip.replace(/\/\d+$/, ""),
        ...{ node: short(node.StableID), name: bare(node.Name), tags },
        login: tags.length > 0 ? "" : short(user.LoginName),
        may: { node: ceilingOf(caps?.[NODE_CAP]), invoke: ceilingOf(caps?.[INVOKE_CAP]) },
      };
    }
    return "nobody";
  }

  /**
   * A connection into the tailnet by the daemon itself, for userspace mode, where this machine's own network
   * does not lead there. Undefined: it says that this is no address of the tailnet.
   * @throws KithError gateway-unreachable
   */
  dial(host: string, port: number, signal: AbortSignal): Promise<Duplex | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Duplex | undefined>();
    const failed = () =>
      reject(new KithError("gateway-unreachable", `Tailscale does not reach ${host}:${port}`));
    const endpoint = this.#find();
    if (!endpoint) {
      failed();
      return promise;
    }
    const patience = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]);
    const asked = ask(endpoint, "dial", {
      method: "POST",
      signal: patience,
      headers: {
        ...{ connection: "upgrade", upgrade: "ts-dial", "dial-network": "tcp" },
        ...{ "dial-host": host, "dial-port": String(port) },
      },
    });
    // `close` comes last, also where neither of the others did.
    asked
      .once("error", failed)
      .once("close", failed)
      .once("response", (response) => {
        response.destroy();
        if (response.statusCode === 200 && response.headers["dial-self"] === "true")
          resolve(undefined);
        else failed();
      });
    asked.once("upgrade", ({ headers }, socket, head) => {
      if (headers.upgrade !== "ts-dial") {
        socket.destroy();
        return failed();
      }
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    asked.end();
    return promise;
  }

  /** Calls `changed` soon after anything changed in the network, and when the daemon came or went. Until `signal`. */
  watch(changed: () => void, signal: AbortSignal): void {
    let wait = FIRST_WAIT_MS;
    let settling = false;
    const soon = (): void => {
      if (settling) return;
      settling = true;
      this.#clock.after(SETTLE_MS, () => {
        settling = false;
        if (!signal.aborted) changed();
      });
    };
    const again = (): void => {
      if (signal.aborted) return;
      this.#clock.after(wait, listen);
      wait = Math.min(wait * 2, MOST_WAIT_MS);
    };
    const listen = (): void => {
      if (signal.aborted) return;
      const endpoint = this.#find();
      if (!endpoint) return again();
      const asked = ask(endpoint, `watch-ipn-bus?mask=${BUS_MASK}`, { signal });
      asked
        .on("error", () => {})
        .once("response", (response) => {
          // What it says is not looked at: whoever wants to know asks, and gets the whole of it.
          response.on("data", soon).on("error", () => {});
          response.once("close", soon);
          wait = FIRST_WAIT_MS;
        });
      // Comes once, however it ends.
      asked.once("close", again);
      asked.end();
    };
    listen();
  }

  /** The answer as JSON; NOBODY for a 404; undefined where there was none. */
  async #get(path: string, signal: AbortSignal): Promise<unknown> {
    const endpoint = this.#find();
    if (!endpoint) return undefined;
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const asked = ask(endpoint, path, { signal });
        asked.once("error", reject).once("close", reject).once("response", resolve).end();
      });
      const parts: Uint8Array[] = [];
      let bytes = 0;
      for await (const part of response as AsyncIterable<Uint8Array>) {
        bytes += part.length;
        if (bytes > MOST_BYTES) return undefined;
        parts.push(part);
      }
      if (response.statusCode === 404) return NOBODY;
      if (response.statusCode !== 200) return undefined;
      return JSON.parse(Buffer.concat(parts).toString("utf8")) as unknown;
    } catch {
      // No socket, nobody behind it, too slow, or no JSON: no facts.
      return undefined;
    }
  }
}

const NOBODY = Symbol("nobody");

function ask(
  endpoint: Endpoint,
  path: string,
  { method = "GET", signal, headers }: AskOptions,
): ClientRequest {
  return request({
    ...("socketPath" in endpoint
      ? { socketPath: endpoint.socketPath }
      : { host: "127.0.0.1", port: endpoint.port, auth: `:${endpoint.token}` }),
    ...{ method, signal, path: `/localapi/v0/${path}`, agent: false },
    headers: { host: "local-tailscaled.sock", ...headers },
  });
}

interface AskOptions {
  readonly method?: string;
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

const MAC = "/Library/Tailscale";

/** Where the daemon listens on this system. Windows has a named pipe that Node cannot open as it wants. */
function usual(): Endpoint | undefined {
  switch (process.platform) {
    case "linux":
      return { socketPath: "/var/run/tailscale/tailscaled.sock" };
    case "darwin":
      try {
        const port = Number(readlinkSync(`${MAC}/ipnport`));
        return { port, token: readFileSync(`${MAC}/sameuserproof-${port}`, "utf8").trim() };
      } catch {
        return { socketPath: "/var/run/tailscaled.socket" }; // the open-source daemon, or none
      }
    default:
      return undefined;
  }
}
