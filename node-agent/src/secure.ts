/** From a bare socket to two keys: IK when we know the gateway, XXpsk3 with a ticket, XX when we want to. */
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { keyId } from "@kith/shared/ids";
import { startHandshake } from "@kith/shared/noise/handshake";
import { sameBytes } from "@kith/shared/noise/approval-code";
import type { KeyPair } from "@kith/shared/noise/keys";
import { prefix, prologue } from "@kith/shared/noise/prologue";
import type { ChannelKeys } from "@kith/shared/protocol/channel";
import { limits } from "@kith/shared/protocol/limits";
import type { Choice } from "./person.ts";
import { PATH, Refused, type Wire } from "./socket.ts";

export interface Secured {
  readonly keys: ChannelKeys;
  /** Handshake hash h: what both ends see alike, and nobody in between. */
  readonly hash: Uint8Array;
  /** The gateway's static key: pinned (IK), or claimed until pairing proves it (XX). */
  readonly gateway: Uint8Array;
}

/** What a ticket brought: the key that both ends share, and whose it is, where that was said. */
export interface Bearer {
  readonly psk: Uint8Array;
  readonly gateway?: Uint8Array;
  /** What the line turns on once the gateway took the ticket, and not before. */
  readonly turnOn?: Choice;
}

/** @throws KithError pairing-refused when it is not the gateway that the ticket names; Refused when the other side does not answer, is somebody else, or will not have us */
export async function secure(
  wire: Wire,
  own: KeyPair,
  pinned: Uint8Array | undefined,
  clock: Clock,
  bearer?: Bearer,
): Promise<Secured> {
  const pattern = pinned ? "IK" : bearer ? "XXpsk3" : "XX";
  const opening = { pattern, role: "node" } as const;
  const handshake = startHandshake({
    pattern,
    initiator: true,
    s: own,
    prologue: prologue({ ...opening, path: PATH, ...(pinned && { gateway: keyId(pinned) }) }),
    ...(pinned ? { rs: pinned } : bearer && { psks: [bearer.psk] }),
  });
  const cancel = clock.after(limits.handshakeMs, () => wire.terminate());
  try {
    const first = await handshake.write();
    const message = new Uint8Array(first.length + 4);
    message.set(prefix(opening));
    message.set(first, 4);
    wire.send(message);
    await handshake.read(await wire.next());
    const answered = handshake.remoteStatic;
    // Before a word that somebody could test guesses against.
    if (bearer?.gateway && !(answered && sameBytes(answered, bearer.gateway)))
      throw new KithError(
        "pairing-refused",
        "somebody else answers there: it is not the gateway of this ticket",
      );
    if (!handshake.done) wire.send(await handshake.write());
    const gateway = handshake.remoteStatic;
    const { send, receive, hash } = await handshake.split();
    if (!gateway) throw new Refused(4400, "no key came");
    return { keys: { send, receive }, hash, gateway };
  } catch (error) {
    wire.terminate();
    if (error instanceof Refused || error instanceof KithError) throw error;
    throw new Refused(4401, "the other side is not the gateway that this device knows");
  } finally {
    cancel();
  }
}
