/**
 * A socket before anybody is trusted: at most 4 KiB, 5 s, two waiting messages, and no answer
 * but the handshake's.
 *
 *   IK ── key unknown ──► 4401, no message 2           XX ── no open window ──► 4401, no message 2
 *    ├─── revoked ──────► message 2, bye, 4403          └─── messages 2 and 3 ──► pairing-link.ts
 *    └─── paired ───────► message 2 ──► link.ts         XXpsk3: as XX, while a ticket lives; message 3 proves it
 *
 * WebCrypto is asynchronous, so messages wait here for their turn. The next stage takes the
 * socket in the same tick in which the keys are there, and from then on nothing waits.
 */
import { KithError } from "@kith/shared/errors";
import { type KeyId, keyId } from "@kith/shared/ids";
import { type Handshake, HandshakeError, startHandshake } from "@kith/shared/noise/handshake";
import { PREFIX_BYTES, type Opening, prologue, readPrefix } from "@kith/shared/noise/prologue";
import { Channel, type ChannelKeys } from "@kith/shared/protocol/channel";
import { toGateway } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import type { Guest } from "./admission.ts";
import { type House, type Source, soon } from "./house.ts";
import { heard } from "./heard.ts";
import { Link } from "./link.ts";
import { PairingLink } from "./pairing-link.ts";
import type { Wire } from "./wire.ts";

/** The logical path, whatever a proxy shows. */
const PATH = "/v1/mesh";

/** Not an error: the socket went away or was refused while something was under way. */
class Over extends Error {}

/** Takes the socket at once (no `await` before it) and sees it through the handshake. */
export function meet(house: House, wire: Wire, guest: Guest, source: Source): void {
  const waiting: Uint8Array[] = [];
  let wake = () => {};
  let over = false;

  const leave = () => {
    over = true;
    cancel();
    waiting.length = 0;
    wake();
  };
  const giveUp = (code: number) => {
    if (over) return;
    leave();
    wire.close(code);
  };
  const cancel = house.clock.after(limits.handshakeMs, () => giveUp(4401));
  wire.hear({
    message(bytes) {
      if (waiting.push(bytes) > limits.waitingBeforeAuth) giveUp(4400);
      wake();
    },
    fault: giveUp,
    gone: leave,
    shutdown: () => giveUp(1000),
  });

  const next = async (): Promise<Uint8Array> => {
    while (!over) {
      const message = waiting.shift();
      if (message) return message;
      await new Promise<void>((resolve) => (wake = resolve));
    }
    throw new Over();
  };
  /** The result, unless there is nobody left to use it for. */
  const still = async <T>(work: Promise<T>): Promise<T> => {
    const result = await work;
    if (over) throw new Over();
    return result;
  };

  /** From here the next stage hears the socket, first what already waits. */
  const handOver = (stage: { message(bytes: Uint8Array): void }) => {
    over = true;
    cancel();
    for (const message of waiting.splice(0)) stage.message(message);
  };

  async function shake(): Promise<void> {
    const first = await next();
    const opening = readPrefix(first);
    const noise = first.subarray(PREFIX_BYTES);
    // Operators come with a later issue.
    if (opening.role !== "node") return giveUp(4401);
    if (opening.pattern === "IK") return reconnect(opening, noise);
    if (opening.pattern === "XX" && house.pairing.open()) return pair(opening, noise);
    if (opening.pattern === "XXpsk3" && house.tickets.live().length > 0)
      return pair(opening, noise, house.tickets.live());
    // Refused before any cryptography, and honest devices do this while they wait.
    if (opening.pattern === "XX") guest.excused();
    giveUp(4401);
  }

  async function reconnect(opening: Opening, noise: Uint8Array): Promise<void> {
    const { id, keys } = house.gateway;
    const handshake = startHandshake({
      pattern: "IK",
      initiator: false,
      prologue: prologue({ ...opening, path: PATH, gateway: id }),
      s: keys,
    });
    await still(handshake.read(noise));
    const { device, key } = claimed(handshake);
    const standing = house.handlers.standing(device, key);
    if (standing === "unknown") return giveUp(4401);
    const answer = await still(handshake.write());
    const sealed = await still(handshake.split());
    wire.send(answer);
    if (standing === "revoked") {
      sayRevoked(wire, sealed);
      return giveUp(4403);
    }
    handOver(
      new Link(
        house,
        wire,
        guest,
        { device, ...source },
        (events) => new Channel(wire, sealed, heard, events, soon),
      ),
    );
  }

  async function pair(
    opening: Opening,
    noise: Uint8Array,
    tickets?: ReturnType<House["tickets"]["live"]>,
  ): Promise<void> {
    const handshake = startHandshake({
      pattern: opening.pattern,
      initiator: false,
      prologue: prologue({ ...opening, path: PATH }),
      s: house.gateway.keys,
      ...(tickets && { psks: tickets.map(({ psk }) => psk) }),
    });
    await still(handshake.read(noise));
    wire.send(await still(handshake.write()));
    await still(handshake.read(await next()));
    wire.allow(limits.rawBytesWhilePairing);
    const { key } = claimed(handshake);
    const { hash, ...sealed } = await still(handshake.split());
    const ticket = tickets?.[handshake.psk ?? -1]?.id;
    const peer = { key, hash, ...source, ...(ticket !== undefined && { ticket }) };
    handOver(new PairingLink(house, wire, guest, peer, sealed));
  }

  shake().catch((error: unknown) => {
    if (error instanceof Over) return;
    if (error instanceof HandshakeError) giveUp(4400);
    else if (error instanceof KithError) giveUp(error.code === "unsupported" ? 4426 : 4400);
    else {
      house.log("a handshake failed here", error);
      giveUp(4503);
    }
  });
}

function claimed(handshake: Handshake): { device: KeyId; key: Uint8Array } {
  const key = handshake.remoteStatic;
  if (!key) throw new HandshakeError("no key");
  return { device: keyId(key), key };
}

/** Inside the channel, where it proves something; the close code alone would not. */
function sayRevoked(wire: Wire, keys: ChannelKeys): void {
  const deaf = { onFrame() {}, onChunk() {}, onMalformed() {}, onFault() {}, onRollover() {} };
  const channel = new Channel(wire, keys, toGateway, deaf, soon);
  channel.send({ t: "bye", code: "revoked", text: "the owner ended this pairing" });
  channel.flush();
  channel.close();
}
