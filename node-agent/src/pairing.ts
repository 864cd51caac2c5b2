/**
 * Pairing, the device's side. By ticket, which the handshake has proved: begin ─► accepted ─► pinned.
 * By code there is nothing to carry here but four digits:
 *
 *   begin ─► nonce ─► reveal ─► code shown ─► approved ─► (list) return code ─► pinned ─► confirm ─► accepted
 *     └──────────── refused, closed, too late, three wrong return codes ──────────┘
 *
 * The gateway is pinned durably before `pair.confirm`; until `pair.accepted` the pin is marked
 * as unconfirmed, because the gateway may never have heard of it.
 */
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { hex, keyId } from "@kith/shared/ids";
import { approvalCode, commitment, formatCode, sameText } from "@kith/shared/noise/approval-code";
import type { KeyPair } from "@kith/shared/noise/keys";
import { Channel, type ChannelEvents } from "@kith/shared/protocol/channel";
import { type ToNodePairing, toNodePairing } from "@kith/shared/protocol/frames";
import { type Heartbeat, heartbeat } from "@kith/shared/protocol/heartbeat";
import { times } from "@kith/shared/protocol/limits";
import type { PairBegin } from "@kith/shared/protocol/pairing";
import type { Home } from "./config.ts";
import type { Say } from "./events.ts";
import { type Choice, type Person, turnedOn } from "./person.ts";
import type { Secured } from "./secure.ts";
import type { Wire } from "./socket.ts";

const ANSWER_MS = 15_000;
const RETURN_CODE_TRIES = 3;
/** Lines that are no return code at all; each costs no try. */
const MOST_MALFORMED = 20;
const PROMPT = "Return code (4 digits, shown at the gateway): ";
const LAST_WORDS_MS = 500;

export interface PairingParts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly soon: (fn: () => void) => void;
  readonly home: Home;
  readonly own: KeyPair;
  readonly about: Pick<PairBegin, "name" | "kind" | "os" | "arch" | "agent">;
  /** What this device could do, for the list and for the owner at the gateway. */
  readonly caps: readonly { readonly name: string; readonly summary: string }[];
  /** What the line that brought the ticket turns on, with the pin: nothing of it before the gateway took us. */
  readonly turnOn?: Choice;
  readonly person: Person;
  readonly say: Say;
  /** The code is shown: from here on the attempt counts. */
  readonly onCode: () => void;
  readonly signal: AbortSignal;
}

/** Resolves with the channel, ready for `hello`, when the gateway took us. @throws KithError */
export async function pair(
  wire: Wire,
  secured: Secured,
  parts: PairingParts,
): Promise<Channel<typeof toNodePairing>> {
  const { clock, rng, home, person, say } = parts;
  const conversation = talk(wire, secured, parts);
  const { channel, hear, broken } = conversation;
  try {
    const nN = rng.bytes(16);
    const commit = commitment(secured.hash, nN);
    channel.send({
      t: "pair.begin",
      how: "code",
      ...parts.about,
      caps: parts.caps.map(({ name }) => name).slice(0, 64),
      commit,
    });
    const { nonce, left_ms } = await hear("pair.nonce", ANSWER_MS);
    conversation.beat();
    channel.send({ t: "pair.reveal", nonce: nN });
    const codes = approvalCode(secured.hash, nN, nonce);
    const codeUntil = clock.mono() + left_ms;
    parts.onCode();
    void say({ event: "code", code: formatCode(codes.code), left_ms });

    await hear("pair.approved", left_ms);
    void say({ event: "approved" });
    const choice = await unless(broken, person.choose(parts.caps, home.settings.policy));
    await returnCode(codes.returnCode, conversation, parts);
    if (clock.mono() > codeUntil)
      throw new KithError("pairing-unfinished", "the time for this code is over");

    const gateway = keyId(secured.gateway);
    const addresses = home.settings.gateway?.addresses ?? [wire.address];
    await home.save({
      ...(choice && { policy: turnedOn(choice) }),
      gateway: { addresses, key: hex(secured.gateway), id: gateway, unconfirmed: true },
    });
    channel.send({ t: "pair.confirm" });
    const accepted = checkAccepted(await hear("pair.accepted", ANSWER_MS), secured, parts);
    await confirmPin(home);
    void say({ event: "paired", device: accepted.device, gateway: accepted.gateway });
    return channel;
  } catch (error) {
    letGo(wire, clock);
    throw error;
  } finally {
    conversation.stop();
  }
}

/**
 * Pairing by a ticket that both ends have proved to each other. The same ticket may be used again
 * by us when the answer was lost.
 * @throws KithError
 */
export async function redeem(
  wire: Wire,
  secured: Secured,
  parts: PairingParts,
): Promise<Channel<typeof toNodePairing>> {
  const { home, say } = parts;
  const conversation = talk(wire, secured, parts);
  const { channel, hear } = conversation;
  try {
    channel.send({ t: "pair.begin", how: "ticket", ...parts.about });
    const accepted = checkAccepted(await hear("pair.accepted", ANSWER_MS), secured, parts);
    const { policy, gateway: known } = home.settings;
    await home.save({
      ...(parts.turnOn && { policy: turnedOn({ ...policy, ...parts.turnOn }) }),
      gateway: {
        addresses: known?.addresses ?? [wire.address],
        key: hex(secured.gateway),
        id: accepted.gateway,
      },
    });
    void say({ event: "paired", device: accepted.device, gateway: accepted.gateway });
    return channel;
  } catch (error) {
    letGo(wire, parts.clock);
    throw error;
  } finally {
    conversation.stop();
  }
}

type Accepted = Extract<ToNodePairing, { t: "pair.accepted" }>;

/** @throws KithError pairing-refused */
function checkAccepted(accepted: Accepted, { gateway }: Secured, { own }: PairingParts): Accepted {
  if (accepted.gateway !== keyId(gateway) || accepted.device !== keyId(own.publicKey))
    throw new KithError("pairing-refused", "the gateway accepted somebody else");
  return accepted;
}

/** Our refusal may still be on its way out; the close frame follows it. */
function letGo(wire: Wire, clock: Clock): void {
  wire.close(1000);
  clock.after(LAST_WORDS_MS, () => wire.terminate());
}

/** The gateway has taken us for sure. */
export async function confirmPin(home: Home): Promise<void> {
  const { gateway } = home.settings;
  if (!gateway?.unconfirmed) return;
  const { unconfirmed: _, ...kept } = gateway;
  await home.save({ gateway: kept });
}

async function returnCode(
  right: string,
  { broken, channel, ended: signal }: Conversation,
  { person, say }: PairingParts,
): Promise<void> {
  let tries = RETURN_CODE_TRIES;
  let malformed = 0;
  while (tries > 0 && malformed <= MOST_MALFORMED) {
    const line = await unless(broken, person.line(signal, PROMPT));
    if (line === undefined)
      throw new KithError("pairing-unfinished", "nobody typed the return code");
    const typed = line.replaceAll(/\s/g, "");
    if (sameText(typed, right)) return;
    if (/^\d{4}$/.test(typed)) void say({ event: "return-code-wrong", tries_left: --tries });
    else if (++malformed <= MOST_MALFORMED) void say({ event: "return-code-malformed" });
  }
  channel.send({ t: "pair.refused", why: "return-code" });
  channel.flush();
  throw new KithError(
    "return-code-wrong",
    tries > 0 ? "nothing that was typed is a return code" : "this device was not paired",
  );
}

type Conversation = ReturnType<typeof talk>;

/** Frames of the pairing stage, awaited one after the other. */
function talk(wire: Wire, { keys }: Secured, { clock, soon, signal }: PairingParts) {
  const waiting: ToNodePairing[] = [];
  let hearing: ((frame: ToNodePairing) => void) | undefined;
  let pulse: Heartbeat | undefined;
  const failed = Promise.withResolvers<never>();
  const ended = new AbortController();
  /** Rejects when the attempt cannot go on. */
  const broken = failed.promise;
  const fail = (error: KithError): void => {
    failed.reject(error);
    ended.abort();
  };
  broken.catch(() => {}); // Whoever waits races with it; between two waits nobody does.

  const events: ChannelEvents<ToNodePairing> = {
    onFrame(frame) {
      pulse?.alive();
      if (frame.t === "ping") return channel.send({ t: "pong", n: frame.n });
      if (frame.t === "pong") return pulse?.pong(frame.n);
      if (frame.t === "bye")
        return fail(
          new KithError("pairing-unfinished", `the gateway ended it: ${frame.text || frame.code}`),
        );
      if (frame.t === "pair.refused") return fail(refusal(frame.why));
      if (hearing) hearing(frame);
      else if (waiting.push(frame) > 4) throw new KithError("schema", "out of turn");
    },
    onChunk: () => {
      throw new KithError("schema", "a chunk while pairing");
    },
    onMalformed: (error) => fail(error),
    onFault: (_code, why) => fail(new KithError("pairing-unfinished", `the link broke (${why})`)),
    onRollover: () => {},
  };
  const channel = new Channel(wire, keys, toNodePairing, events, soon);
  wire.deliver((message) => channel.receive(message));
  const stopped = (): void => {
    channel.send({ t: "bye", code: "shutdown", text: "the agent was stopped" });
    channel.flush();
    fail(new KithError("pairing-unfinished", "the agent was stopped"));
  };
  signal.addEventListener("abort", stopped, { once: true });
  void wire.closed.then((code) =>
    fail(new KithError("pairing-unfinished", `the gateway closed the connection (${code})`)),
  );

  /** The next frame, which must be this one. */
  async function hear<T extends ToNodePairing["t"]>(
    t: T,
    withinMs: number,
  ): Promise<Extract<ToNodePairing, { t: T }>> {
    const heard = Promise.withResolvers<ToNodePairing>();
    const until = clock.mono() + withinMs;
    let cancel = () => {};
    const look = (): void => {
      const left = until - clock.mono();
      if (left <= 0)
        return fail(new KithError("pairing-unfinished", "the gateway did not answer in time"));
      cancel = clock.after(Math.min(left, 30_000), look);
    };
    look();
    try {
      const first = waiting.shift();
      if (first) heard.resolve(first);
      else hearing = heard.resolve;
      const frame = await Promise.race([heard.promise, broken]);
      if (frame.t !== t) throw new KithError("schema", "the gateway skipped a step of pairing");
      // The comparison above is the proof; the compiler does not follow it through the type parameter.
      return frame as Extract<ToNodePairing, { t: T }>;
    } finally {
      cancel();
      hearing = undefined;
    }
  }

  return {
    channel,
    hear,
    broken,
    ended: ended.signal,
    /** Both sides may speak unasked from now on. */
    beat: () => {
      const dead = () => fail(new KithError("pairing-unfinished", "the gateway is silent"));
      pulse = heartbeat({
        clock,
        everyMs: times.pingMs,
        busy: () => false,
        ping: (n) => channel.send({ t: "ping", n }),
        dead,
      });
    },
    stop: () => {
      pulse?.stop();
      signal.removeEventListener("abort", stopped);
    },
  };
}

/** The first of the two to end; a person may type for minutes after the link broke. */
const unless = <T>(broken: Promise<never>, work: Promise<T>): Promise<T> =>
  Promise.race([broken, work]);

function refusal(why: string): KithError {
  if (/closed|window/.test(why))
    return new KithError("pairing-closed", "pairing is closed at the gateway");
  if (/full|slots?/.test(why))
    return new KithError(
      "pairing-full",
      "the gateway takes no more pairing attempts in this window",
    );
  if (/locked/.test(why))
    return new KithError("pairing-locked", "pairing is locked at the gateway");
  if (/expired/.test(why))
    return new KithError("pairing-unfinished", "the time for this code is over");
  if (/pairing-refused/.test(why))
    return new KithError(
      "pairing-refused",
      "the gateway refused: that line was used by another device, or its device was revoked; `kith pair invite` makes a new one",
    );
  return new KithError("pairing-refused", `the gateway refused (${why})`);
}
