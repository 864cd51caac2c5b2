/**
 * Pairing A: a ticket, 80 random bits that the gateway makes and a person carries to the device.
 * Both ends derive the `psk` of XXpsk3 from it, so whoever holds it and nobody else gets in.
 *
 * 80 bits, because an active attacker who poses as the gateway can test guesses offline against
 * the device's last handshake message: never shorten it.
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { KithError } from "../errors.ts";
import { crockford, readCrockford } from "../ids.ts";

export const TICKET_BYTES = 10;
const CHARS = 16;
/** Nobody types more than that for sixteen characters, hyphens and spaces included. */
const MOST_TYPED = 64;

/** As people read it: `K7QD-93MX-4T2V-B8HZ`. `ticket`: 10 bytes. */
export function formatTicket(ticket: Uint8Array): string {
  return (crockford(ticket, CHARS).match(/.{4}/g) ?? []).join("-");
}

/** Reads a ticket that somebody typed, forgiving as `readCrockford`. Returns 10 bytes. @throws KithError ticket-mistyped */
export function readTicket(typed: string): Uint8Array<ArrayBuffer> {
  const values = typed.length > MOST_TYPED ? undefined : readCrockford(typed);
  if (!values) throw new KithError("ticket-mistyped", "it has a character that no ticket has");
  if (values.length !== CHARS)
    throw new KithError("ticket-mistyped", `a ticket has ${CHARS} characters`);
  const bytes = new Uint8Array(TICKET_BYTES);
  for (const [at, value] of values.entries()) {
    const bit = at * 5;
    const pair = value << (11 - (bit & 7));
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (pair >> 8);
    if ((bit >> 3) + 1 < TICKET_BYTES)
      bytes[(bit >> 3) + 1] = (bytes[(bit >> 3) + 1] ?? 0) | (pair & 255);
  }
  return bytes;
}

/** The `psk` of XXpsk3, 32 bytes: all that a gateway keeps of a ticket. */
export function ticketKey(ticket: Uint8Array): Uint8Array<ArrayBuffer> {
  return hkdf(sha256, ticket, undefined, utf8ToBytes("kith-ticket-v1"), 32);
}
