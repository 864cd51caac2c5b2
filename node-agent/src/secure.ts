/** From a bare socket to two keys: IK when we know the gateway, XX when we want to. */
import type { Clock } from "@kith/shared/clock";
import { keyId } from "@kith/shared/ids";
import { startHandshake } from "@kith/shared/noise/handshake";
import type { KeyPair } from "@kith/shared/noise/keys";
import { prefix, prologue } from "@kith/shared/noise/prologue";
import type { ChannelKeys } from "@kith/shared/protocol/channel";
import { limits } from "@kith/shared/protocol/limits";
import { PATH, Refused, type Wire } from "./socket.ts";

export interface Secured {
  readonly keys: ChannelKeys;
  /** Handshake hash h: what both ends see alike, and nobody in between. */
  readonly hash: Uint8Array;
  /** The gateway's static key: pinned (IK), or claimed until pairing proves it (XX). */
  readonly gateway: Uint8Array;
}

/** @throws Refused when the other side does not answer, is somebody else, or will not have us */
export async function secure(
  wire: Wire,
  own: KeyPair,
  pinned: Uint8Array | undefined,
  clock: Clock,
): Promise<Secured> {
  const pattern = pinned ? "IK" : "XX";
  const opening = { pattern, role: "node" } as const;
  const handshake = startHandshake({
    pattern,
    initiator: true,
    s: own,
    prologue: prologue({ ...opening, path: PATH, ...(pinned && { gateway: keyId(pinned) }) }),
    ...(pinned && { rs: pinned }),
  });
  const cancel = clock.after(limits.handshakeMs, () => wire.terminate());
  try {
    const first = await handshake.write();
    const message = new Uint8Array(first.length + 4);
    message.set(prefix(opening));
    message.set(first, 4);
    wire.send(message);
    await handshake.read(await wire.next());
    if (!handshake.done) wire.send(await handshake.write());
    const gateway = handshake.remoteStatic;
    const { send, receive, hash } = await handshake.split();
    if (!gateway) throw new Refused(4400, "no key came");
    return { keys: { send, receive }, hash, gateway };
  } catch (error) {
    wire.terminate();
    if (error instanceof Refused) throw error;
    throw new Refused(4401, "the other side is not the gateway that this device knows");
  } finally {
    cancel();
  }
}
