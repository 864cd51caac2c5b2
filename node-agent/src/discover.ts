/**
 * Looks for gateways: in the local network (multicast DNS, `_kith._tcp`) and in the tailnet (machines tagged
 * `tag:kith-gw` or called `kith-gw`). Each is asked who it is; what nobody answers for is left out.
 *
 * All of it is hearsay: whoever pairs compares codes, or has a line with the gateway's key. A device that is
 * paired never looks; it goes by the key that it pinned.
 */
import { get } from "node:http";
import { isIP } from "node:net";
import { hostAndPort, hostPort } from "@kith/shared/address";
import type { Clock } from "@kith/shared/clock";
import { key16 } from "@kith/shared/protocol/words";
import multicastDns, { type ResponsePacket } from "multicast-dns";
import * as v from "valibot";
import { DEFAULT_PORT } from "./config.ts";
import type { Connect } from "./socket.ts";

const SERVICE = "_kith._tcp.local";
const LISTEN_MS = 2_500;
const ASK_AGAIN_MS = 1_000;
const PROBE_MS = 2_000;
const PROBES_AT_ONCE = 3;
/** All of the probes together, however many there are. */
const PROBING_MS = 5_000;
/** Addresses of one gateway that are kept. */
const MOST_ADDRESSES = 8;
/** Whoever shouts does not drown the others. */
const MOST_PER_SENDER = 4;
const MOST_SENDERS = 16;
/** What answers a probe is as short as this, or no gateway. */
const CARD_CHARS = 256;

const card = v.strictObject({ v: v.literal(1), id: key16 });
const srv = v.object({ port: v.pipe(v.number(), v.minValue(1), v.maxValue(65_535)) });

export interface Found {
  readonly id: string;
  /** HOST:PORT, the best first. */
  readonly addresses: readonly string[];
  readonly by: "network" | "tailnet";
}

export interface Looking {
  readonly clock: Clock;
  /** The tailnet's part, where there is one. */
  readonly tailnet?: { gateways(): Promise<readonly string[]>; readonly connect: Connect };
  readonly signal: AbortSignal;
}

/** Takes about three seconds, eight at most. */
export async function discover({ clock, tailnet, signal }: Looking): Promise<Found[]> {
  const [near, far] = await Promise.all([heard(clock, signal), tailnet?.gateways() ?? []]);
  const candidates = [
    ...near.map((address) => ({ address, by: "network" as const })),
    ...far.map((host) => ({ address: hostPort(host, DEFAULT_PORT), by: "tailnet" as const })),
  ];
  const found = new Map<string, { addresses: string[]; by: Found["by"] }>();
  const waiting = [...candidates];
  const probing = AbortSignal.any([signal, AbortSignal.timeout(PROBING_MS)]);
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !probing.aborted; next = waiting.shift()) {
      const id = await whoAnswers(next.address, tailnet?.connect, probing);
      if (id === undefined) continue;
      const known = found.get(id);
      if (known) known.addresses.push(next.address);
      else found.set(id, { addresses: [next.address], by: next.by });
    }
  };
  await Promise.all(Array.from({ length: PROBES_AT_ONCE }, work));
  // In the order in which they were heard, the local network first.
  const rank = ({ addresses: [first] }: Found) =>
    candidates.findIndex(({ address }) => address === first);
  return [...found]
    .map(([id, { addresses, by }]) => ({
      ...{ id, by },
      addresses: addresses.slice(0, MOST_ADDRESSES),
    }))
    .toSorted((a, b) => rank(a) - rank(b));
}

/** Addresses that say that they are gateways, from whoever answers in this network. */
async function heard(clock: Clock, signal: AbortSignal): Promise<string[]> {
  const mdns = multicastDns();
  const bySender = new Map<string, ReadonlySet<string>>();
  mdns.on("error", () => {}); // no network, or another program keeps the port for itself: nothing is heard
  mdns.on("warning", () => {});
  mdns.on("response", (packet, { address: sender }) => {
    const known = bySender.get(sender) ?? new Set();
    if (known.size === 0 && bySender.size >= MOST_SENDERS) return;
    const all = new Set([...known, ...named(packet, sender)]);
    if (all.size > 0) bySender.set(sender, new Set([...all].slice(0, MOST_PER_SENDER)));
  });
  const ask = () => mdns.query([{ name: SERVICE, type: "PTR" }]);
  ask();
  const cancel = clock.after(ASK_AGAIN_MS, ask);
  await new Promise<void>((resolve) => {
    const over = clock.after(LISTEN_MS, resolve);
    signal.addEventListener("abort", () => (over(), resolve()), { once: true });
  });
  cancel();
  mdns.destroy();
  return [...new Set([...bySender.values()].flatMap((addresses) => [...addresses]))];
}

/** What a packet says of gateways: ports of whoever sent it, and of nobody else. */
function named({ answers = [], additionals = [] }: ResponsePacket, sender: string): string[] {
  return [...answers, ...additionals].flatMap((record) => {
    if (record.type !== "SRV" || record.ttl === 0) return [];
    if (!record.name.toLowerCase().endsWith(`.${SERVICE}`)) return [];
    const said = v.safeParse(srv, record.data);
    return said.success && isIP(sender) > 0 ? [hostPort(sender, said.output.port)] : [];
  });
}

/** The id of the gateway there, by its own word; undefined: none. */
async function whoAnswers(
  address: string,
  connect: Connect | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
  const { host, port } = hostAndPort(address);
  const dialled = await connect?.(host, port, patience).catch(() => undefined);
  const text = await new Promise<string>((resolve) => {
    const asked = get(
      {
        ...{ host, port, path: "/.well-known/kith", signal: patience, agent: false },
        ...(dialled && { createConnection: () => dialled }),
      },
      (response) => {
        let said = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          said += part;
          if (said.length > CARD_CHARS) response.destroy();
        });
        response.on("end", () => resolve(said)).on("error", () => resolve(""));
        response.on("close", () => resolve(""));
      },
    );
    asked.on("error", () => resolve(""));
  });
  try {
    const said = v.safeParse(card, JSON.parse(text));
    return said.success ? said.output.id : undefined;
  } catch {
    return undefined;
  }
}
