/** Which of this machine's addresses others can dial. */
import { networkInterfaces } from "node:os";
import { hostAndPort, hostPort } from "@kith/shared/address";
import { isTailnet } from "@kith/shared/tailnet/address";
import type { Address } from "./server.ts";

/** What a network is for: `machine` is loopback, `tailnet` a Tailscale address, `network` all else, mostly the LAN. */
export type Reach = "machine" | "tailnet" | "network";

const LOOPBACK = /^(?:127\.|::1$|localhost$)/i;
/** An address that needs to say on which of our interfaces it is cannot be dialled from elsewhere. */
const LINK_LOCAL = /^(?:169\.254\.|fe[89ab][0-9a-f]:)/i;
const ANY = new Set(["0.0.0.0", "::"]);

export const reachOf = (host: string): Reach =>
  LOOPBACK.test(host) ? "machine" : isTailnet(host) ? "tailnet" : "network";

export interface Own {
  readonly host: string;
  readonly reach: Reach;
  readonly family: "IPv4" | "IPv6";
}

/** This machine's addresses that others can dial, the tailnet's last, IPv4 first. */
export function ownAddresses(interfaces = networkInterfaces()): Own[] {
  const found = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !LINK_LOCAL.test(address))
    .map(({ address: host, family }) => ({ host, reach: reachOf(host), family }));
  const rank = ({ reach, family }: Own) =>
    (reach === "tailnet" ? 2 : 0) + (family === "IPv4" ? 0 : 1);
  return found.toSorted((a, b) => rank(a) - rank(b));
}

/** What a device may dial: a wildcard becomes the addresses behind it; loopback only where there is nothing else. */
export function reachable(listen: readonly Address[], own = ownAddresses()): Address[] {
  const open = listen.flatMap(({ host, port }) =>
    ANY.has(host)
      ? own
          .filter(({ family }) => host === "::" || family === "IPv4")
          .map((one) => ({ host: one.host, port }))
      : [{ host, port }],
  );
  const others = open.filter(({ host }) => reachOf(host) !== "machine");
  return others.length > 0 ? others : open.length > 0 ? open : [...listen];
}

export const written = ({ host, port }: Address): string => hostPort(host, port);

/** The same of HOST:PORT. */
export const reachOfAddress = (address: string): Reach => reachOf(hostAndPort(address).host);
