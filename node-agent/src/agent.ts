/**
 * The agent: finds its gateway, proves who it is, serves, and comes back after every break.
 *
 *   dial ─► handshake ─┬─ paired ──► link ─► ended ─► wait ─► dial ...
 *                      └─ stranger ► pairing by ticket or code ─► link
 *
 * One link at a time. What runs is not the link's: a call outlives it.
 */
import { type Clock, MAX_AFTER_MS, type Rng } from "@kith/shared/clock";
import { hostAndPort } from "@kith/shared/address";
import { KithError } from "@kith/shared/errors";
import { fromHex, keyId } from "@kith/shared/ids";
import type { KeyPair } from "@kith/shared/noise/keys";
import { Channel, type ChannelEvents } from "@kith/shared/protocol/channel";
import { type ToNode, toNode } from "@kith/shared/protocol/frames";
import { times } from "@kith/shared/protocol/limits";
import type { Hello } from "@kith/shared/protocol/session";
import { WIRE_MINOR } from "@kith/shared/protocol/version";
import { Backoff, type Ending } from "./backoff.ts";
import type { Gateway, Home } from "./config.ts";
import type { AnyDriver } from "./drivers/driver.ts";
import { failed, type Say } from "./events.ts";
import type { Ledger } from "./ledger.ts";
import { Link } from "./link.ts";
import { Offering } from "./offering.ts";
import type { Incoming } from "./incoming.ts";
import type { Outgoing } from "./outgoing.ts";
import { confirmPin, pair, redeem } from "./pairing.ts";
import type { Person } from "./person.ts";
import type { Policy } from "./policy.ts";
import { reach } from "./reach.ts";
import type { Bearer, Secured } from "./secure.ts";
import type { Server } from "./serve.ts";
import { Refused, type Wire } from "./socket.ts";
import type { Tailnet } from "./tailnet.ts";

export interface AgentParts {
  readonly clock: Clock;
  readonly rng: Rng;
  /** Runs at the end of the event-loop turn. */
  readonly soon: (fn: () => void) => void;
  readonly home: Home;
  readonly own: KeyPair;
  /** The ticket that this start was given; it counts while no gateway is pinned. */
  readonly bearer?: Bearer;
  readonly boot: string;
  readonly about: Pick<Hello, "name" | "kind" | "os" | "arch" | "agent">;
  readonly drivers: readonly AnyDriver[];
  readonly policy: Policy;
  readonly ledger: Ledger;
  readonly outgoing: Outgoing;
  readonly incoming: Incoming;
  readonly server: Server;
  readonly person: Person;
  readonly say: Say;
  /** Where Tailscale is looked at. */
  readonly tailnet?: Pick<Tailnet, "connect" | "reached" | "watch">;
  /** Differs when the machine's network does. */
  readonly network: () => string;
}

/** Codes that one start of the agent shows at most. */
const MOST_CODES = 3;
const PAIRING_WAIT_MS = 10_000;
const ASK_TO_OPEN = "ask the owner to open pairing (/pair)";
const NETWORK_LOOK_MS = 5_000;
const NETWORK_SETTLE_MS = 1_000;
/** A camera that was plugged in is offered after that at most. */
const OFFER_LOOK_MS = 30_000;
/** How often the ledger forgets what need not be kept any more; a clock waits 30 s at most. */
const PRUNE_MS = 86_400_000;
const PRUNE_LOOK_MS = 30_000;
/** What running drivers get to end in, of the 1.5 s that a stop may take. */
const STOP_MS = 700;

type Attempt =
  | { readonly ending: Ending }
  | { readonly waitMs: number; readonly why: string }
  | { readonly failed: KithError };

export class Agent {
  readonly #parts: AgentParts;
  readonly #backoff: Backoff;
  readonly #offering: Offering;
  #link: Link | undefined;
  #codes = 0;
  #wake = () => {};
  #stops: (() => void)[] = [];

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#backoff = new Backoff(parts.clock, parts.rng);
    this.#offering = new Offering(parts.drivers, parts.policy, parts.clock);
  }

  get epoch(): number | undefined {
    return this.#link?.epoch || undefined;
  }

  /** Serves until `signal` fires; rejects when it cannot go on by itself. @throws KithError */
  async run(signal: AbortSignal): Promise<void> {
    const { say, server } = this.#parts;
    await this.#offering.look();
    this.#watch(signal);
    const aborted = Promise.withResolvers<undefined>();
    const stop = (): void => {
      this.#wake();
      aborted.resolve(undefined);
    };
    signal.addEventListener("abort", stop);
    try {
      while (!signal.aborted) {
        const attempt = await Promise.race([this.#attempt(signal), aborted.promise]);
        if (!attempt || signal.aborted) return;
        if ("failed" in attempt) throw attempt.failed;
        if ("waitMs" in attempt) {
          void say({ event: "waiting", why: attempt.why, retry_ms: attempt.waitMs });
          await this.#wait(attempt.waitMs, signal);
          continue;
        }
        const { ending } = attempt;
        const next = this.#backoff.next(ending);
        if (next.stop && next.report) throw next.report;
        if (next.report) void say(failed(next.report));
        void say(
          ending.livedMs === undefined
            ? { event: "waiting", why: ending.why, retry_ms: next.waitMs }
            : { event: "ended", why: ending.why },
        );
        if (!signal.aborted) await this.#wait(next.waitMs, signal);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      for (const end of this.#stops) end();
      // Terminal frames of what is stopped still leave on the link, if there is one.
      const stopped = server.stopAll(new KithError("interrupted", "the agent was stopped"));
      await Promise.race([
        stopped,
        new Promise<void>((resolve) => this.#parts.clock.after(STOP_MS, resolve)),
      ]);
      this.#link?.bye("shutdown", "the agent was stopped");
    }
  }

  async #attempt(signal: AbortSignal): Promise<Attempt> {
    const { home, clock, own, tailnet } = this.#parts;
    const { gateway } = home.settings;
    if (!gateway)
      return {
        failed: new KithError(
          "usage",
          "no gateway is known: give --gateway HOST, or --local on the gateway's own machine",
        ),
      };
    const pinned = gateway.key === undefined ? undefined : fromHex(gateway.key);
    try {
      const { wire, secured } = await reach(gateway.addresses, {
        clock,
        own,
        pinned,
        bearer: this.#parts.bearer,
        connect: tailnet && ((...to) => tailnet.connect(...to)),
        signal,
        say: this.#parts.say,
      });
      // Before anything can be asked by it.
      await tailnet?.reached(hostAndPort(wire.address).host, wire.remote);
      if (signal.aborted) {
        wire.terminate();
        return { waitMs: 0, why: "stopped" };
      }
      const open = pinned
        ? this.#openChannel(wire, secured)
        : await this.#pair(wire, secured, signal);
      // Whom we pinned just now is known by its id from here on.
      if (!pinned) await tailnet?.reached(hostAndPort(wire.address).host, wire.remote);
      const link = new Link(wire, open, this.#hello(), {
        ...{
          clock,
          home,
          rng: this.#parts.rng,
          server: this.#parts.server,
          outgoing: this.#parts.outgoing,
          incoming: this.#parts.incoming,
        },
        ready: (ready, welcome) => this.#ready(ready, welcome),
      });
      this.#link = link;
      const ending = await link.ended;
      this.#link = undefined;
      this.#offering.gone();
      return ending.livedMs === undefined && gateway.unconfirmed && refusal(ending)
        ? await this.#unfinished(gateway)
        : { ending };
    } catch (error) {
      if (error instanceof Refused) {
        const closed = error.close === 4401 || error.close === 4403;
        if (!pinned && this.#parts.bearer)
          return {
            failed: new KithError(
              "pairing-refused",
              closed
                ? "the gateway does not take this ticket: it has ended, or another device used it"
                : error.message,
            ),
          };
        if (!pinned) return { waitMs: PAIRING_WAIT_MS, why: closed ? ASK_TO_OPEN : error.message };
        const why = `${error.close === 4401 ? "the gateway does not accept this device" : error.message} (--pair pairs again)`;
        const ending: Ending = { how: "refused", why, close: error.close };
        return gateway.unconfirmed ? await this.#unfinished(gateway) : { ending };
      }
      if (!(error instanceof KithError)) throw error;
      if (error.code === "gateway-unreachable")
        return { ending: { how: "unreachable", why: error.message, unpaired: !pinned } };
      return this.#afterPairing(error);
    }
  }

  #openChannel(wire: Wire, { keys }: Secured) {
    return (events: ChannelEvents<ToNode>) =>
      new Channel(wire, keys, toNode, events, this.#parts.soon);
  }

  async #pair(wire: Wire, secured: Secured, signal: AbortSignal) {
    const caps = this.#parts.drivers.map(({ capability: { name, summary } }) => ({
      name,
      summary,
    }));
    const { bearer } = this.#parts;
    const pairing = await (bearer ? redeem : pair)(wire, secured, {
      ...this.#parts,
      ...(bearer?.turnOn && { turnOn: bearer.turnOn }),
      caps,
      signal,
      onCode: () => this.#codes++,
    });
    // The policy was chosen just now, so what we offer has changed; `hello` does not wait for it.
    this.#offering.stale();
    return (events: ChannelEvents<ToNode>) => pairing.expect(toNode, events);
  }

  /** Pairing did not come to its end: how to go on. */
  #afterPairing(error: KithError): Attempt {
    if (error.code === "pairing-closed") return { waitMs: PAIRING_WAIT_MS, why: ASK_TO_OPEN };
    if (error.code === "pairing-full" || error.code === "pairing-locked")
      return { waitMs: PAIRING_WAIT_MS, why: error.message };
    const again = error.code === "pairing-unfinished" && this.#codes < MOST_CODES;
    return again ? { waitMs: times.refusedMs, why: error.message } : { failed: error };
  }

  /** We pinned it, but it never heard our last word: as if nothing had been. */
  async #unfinished({ addresses }: Gateway): Promise<Attempt> {
    await this.#parts.home.save({ gateway: { addresses } });
    return this.#afterPairing(
      new KithError("pairing-unfinished", "pairing was not finished, it starts again"),
    );
  }

  #hello(): Hello {
    const { about, boot, ledger, home } = this.#parts;
    const hash = this.#offering.greet();
    return {
      t: "hello",
      minor: WIRE_MINOR,
      features: [],
      ...about,
      boot,
      ledger: ledger.id,
      last_epoch: home.epoch,
      ...(hash && { caps: { hash } }),
    };
  }

  #ready(
    link: Link,
    { epoch, want_caps }: { readonly epoch: number; readonly want_caps: boolean },
  ): void {
    const { home, say, own } = this.#parts;
    const { gateway } = home.settings;
    if (gateway?.unconfirmed && gateway.id) {
      // `pair.accepted` was lost; a welcome says the same.
      void say({ event: "paired", device: keyId(own.publicKey), gateway: gateway.id });
      confirmPin(home).catch(() => {}); // the next welcome tries again
    }
    void say({ event: "ready", epoch });
    this.#offering.ready(link, want_caps);
  }

  #watch(signal: AbortSignal): void {
    this.#parts.tailnet?.watch(() => void this.#offering.look(), signal);
    const { clock, policy, server, say, network, ledger } = this.#parts;
    const every = (ms: number, look: () => void): void => {
      let cancel = () => {};
      const again = (): void => {
        look();
        cancel = clock.after(ms, again);
      };
      cancel = clock.after(ms, again);
      this.#stops.push(() => cancel());
    };
    let locked = policy.locked;
    this.#stops.push(
      policy.watch((now) => {
        if (now.locked !== locked) void say({ event: "locked", locked: (locked = now.locked) });
        if (locked) void server.stopAll(new KithError("locked", "this device was locked"));
        void this.#offering.look();
      }),
    );
    every(OFFER_LOOK_MS, () => void this.#offering.look());
    let pruned = clock.mono();
    every(PRUNE_LOOK_MS, () => {
      if (clock.mono() - pruned < PRUNE_MS) return;
      pruned = clock.mono();
      // Where the disk is full the next day tries again; a call that comes says so itself.
      ledger.prune().catch(() => {});
    });
    let known = network();
    every(NETWORK_LOOK_MS, () => {
      const now = network();
      if (now === known) return;
      known = now;
      clock.after(NETWORK_SETTLE_MS, () => {
        this.#link?.probe();
        this.#wake();
      });
    });
  }

  /** A change of network ends the wait. */
  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const until = clock.mono() + ms;
    const woken = Promise.withResolvers<void>();
    this.#wake = woken.resolve;
    let cancel = () => {};
    const look = (): void => {
      const left = until - clock.mono();
      if (left <= 0 || signal.aborted) return woken.resolve();
      cancel = clock.after(Math.min(left, MAX_AFTER_MS), look);
    };
    look();
    await woken.promise;
    cancel();
  }
}

/** No link came up although the handshake did: the gateway does not know us. */
const refusal = ({ how, close }: Ending): boolean =>
  how === "refused" || close === 4401 || close === 4403;
