/**
 * The link that lets a device in: `kith://pair#g=KEY&t=TICKET&e=HOST:PORT,...&c=CAP,...`
 *
 * Its secrets stand behind the `#`, where no browser sends them anywhere. `g` is the gateway's
 * public key, so that the device knows whom it talks to before it says a word.
 */
import * as v from "valibot";
import { KithError } from "../errors.ts";
import { fromHex, hex } from "../ids.ts";
import { formatTicket, readTicket } from "../noise/ticket.ts";
import { name } from "./words.ts";

export interface Invitation {
  /** The gateway's static public key, 32 bytes. */
  readonly gateway: Uint8Array;
  /** 10 bytes. */
  readonly ticket: Uint8Array;
  /** Where the gateway may be, `HOST:PORT`; 8 at most. */
  readonly addresses: readonly string[];
  /** What the device turns on by it; 64 at most. */
  readonly caps: readonly string[];
}

const SCHEME = "kith://pair#";
const MOST_CHARS = 4_096;
const MOST_ADDRESSES = 8;
const MOST_CAPS = 64;
const HEX_KEY = /^[0-9a-f]{64}$/;

export function formatInvitation({ gateway, ticket, addresses, caps }: Invitation): string {
  const parts = [
    `g=${hex(gateway)}`,
    `t=${formatTicket(ticket).replaceAll("-", "")}`,
    `e=${addresses.join(",")}`,
  ];
  if (caps.length > 0) parts.push(`c=${caps.join(",")}`);
  return SCHEME + parts.join("&");
}

export const isInvitation = (text: string): boolean => text.startsWith(SCHEME);

/** Names of addresses are not looked at here: whoever dials them does. @throws KithError ticket-mistyped */
export function readInvitation(text: string): Invitation {
  const wrong = (why: string) => new KithError("ticket-mistyped", why);
  if (!isInvitation(text) || text.length > MOST_CHARS)
    throw wrong("a pairing link begins with kith://pair#");
  const fields = new Map<string, string>();
  for (const part of text.slice(SCHEME.length).split("&")) {
    const at = part.indexOf("=");
    const key = part.slice(0, at);
    // A later version may say more; it cannot say it twice.
    if (at < 1 || fields.has(key)) throw wrong("the pairing link is damaged");
    fields.set(key, part.slice(at + 1));
  }
  const list = (key: string): string[] => (fields.get(key) ?? "").split(",").filter(Boolean);
  const key = fields.get("g") ?? "";
  const addresses = list("e");
  const caps = list("c");
  if (!HEX_KEY.test(key)) throw wrong("the pairing link lacks the gateway's key");
  if (addresses.length === 0 || addresses.length > MOST_ADDRESSES)
    throw wrong(`a pairing link has 1 to ${MOST_ADDRESSES} addresses`);
  if (caps.length > MOST_CAPS || !caps.every((cap) => v.is(name(48), cap)))
    throw wrong("the pairing link names something that is no capability");
  return { gateway: fromHex(key), ticket: readTicket(fields.get("t") ?? ""), addresses, caps };
}
