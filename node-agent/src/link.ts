/**
 * One authenticated link, from `hello` to its end.
 *
 *   greeting ── welcome ──► storing ── epoch on disk ──► ready ── bye | silence | fault ──► ended
 *
 * Whatever ends it ends only this link: calls go on, the ledger and the streams meet the next
 * one. It never waits for `close`, which may not come for minutes.
 */
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { budget } from "@kith/shared/budget";
import type { Channel, ChannelEvents } from "@kith/shared/protocol/channel";
import type { Frame, ToNode, toNode } from "@kith/shared/protocol/frames";
import { type Heartbeat, heartbeat } from "@kith/shared/protocol/heartbeat";
import { limits, times } from "@kith/shared/protocol/limits";
import type { ByeCode, Hello, Welcome } from "@kith/shared/protocol/session";
import { tame } from "@kith/shared/protocol/words";
import type { StreamLink } from "@kith/shared/streams/sender";
import type { ServeLink } from "./admission.ts";
import type { Ending } from "./backoff.ts";
import type { Home } from "./config.ts";
import type { Incoming } from "./incoming.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Server } from "./serve.ts";
import { SleepWatch } from "@kith/shared/sleep";
import type { Wire } from "./socket.ts";

export interface LinkParts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly home: Pick<Home, "epoch" | "raiseEpoch">;
  readonly server: Server;
  readonly outgoing: Outgoing;
  readonly incoming: Incoming;
  /** The link may be used; frames of the gateway are handled after this returns. */
  readonly ready: (link: Link, welcome: Welcome) => void;
}

/** The gateway commits a new epoch before it answers; longer than that is no answer. */
const WELCOME_MS = 10_000;
/** How long our last words may take to leave. */
const LAST_WORDS_MS = 500;
/** The ledgers are compared right after `welcome`; without a question old streams open then. */
const REOPEN_MS = 1_000;
const DRAIN_LOOK_MS = 5;
const SCHEMA_WINDOW_MS = 60_000;
/** Type byte of a control message. */
const CONTROL = 0x10;
/** Frames that may wait while the epoch is being stored. */
const MOST_HELD = 512;

const closeOf: Partial<Record<ByeCode, number>> = {
  protocol: 4400,
  fenced: 4409,
  version: 4426,
  rate: 4429,
  "slow-peer": 4429,
};

export class Link implements ServeLink, StreamLink {
  readonly ended: Promise<Ending>;
  epoch = 0;
  pingMs: number = times.pingMs;
  readonly #wire: Wire;
  readonly #parts: LinkParts;
  readonly #channel: Channel<typeof toNode>;
  readonly #end: (ending: Ending) => void;
  readonly #began: number;
  readonly #sleep: SleepWatch;
  readonly #bytes: (cost?: number) => boolean;
  readonly #unasked: (cost?: number) => boolean;
  readonly #stops: (() => void)[] = [];
  #stopTick = () => {};
  #stage: "greeting" | "storing" | "ready" | "ended" = "greeting";
  #held: ToNode[] = [];
  #heartbeat: Heartbeat | undefined;
  #readyAt: number | undefined;
  #rolling = false;
  #malformed: number[] = [];

  /** `open` makes the channel with our handlers, or hands over the one that pairing used. */
  constructor(
    wire: Wire,
    open: (events: ChannelEvents<ToNode>) => Channel<typeof toNode>,
    hello: Hello,
    parts: LinkParts,
  ) {
    const { clock } = parts;
    const ended = Promise.withResolvers<Ending>();
    this.ended = ended.promise;
    this.#end = ended.resolve;
    this.#wire = wire;
    this.#parts = parts;
    this.#began = clock.mono();
    this.#sleep = new SleepWatch(clock);
    this.#bytes = budget(clock, limits.controlBytesPerSecond, limits.controlBytesPerSecond);
    this.#unasked = budget(clock, limits.unaskedPerSecond, limits.unaskedBurst);
    this.#channel = open({
      onFrame: (frame) => this.#frame(frame),
      onChunk: (ch, offset, data) => {
        this.#heartbeat?.alive();
        if (parts.incoming.has(ch)) return parts.incoming.chunk(ch, offset, data);
        parts.server.live.chunk(ch, offset, data);
      },
      onMalformed: (error) => this.#garbled(error),
      onFault: (code, why) => this.#fault(code, why),
      onRollover: () => this.#rollSoon(),
    });
    void wire.closed.then((close) =>
      this.#over({ how: "lost", why: `the connection was closed (${close})`, close }),
    );
    wire.deliver((message) => {
      if (message[0] === CONTROL && !this.#bytes(message.length))
        return this.bye("rate", "too many bytes of control frames");
      this.#channel.receive(message);
    });
    this.#channel.send(hello);
    this.#stops.push(
      clock.after(
        WELCOME_MS,
        () => this.#stage === "greeting" && this.#dead("the gateway did not answer"),
      ),
    );
    this.#tick();
  }

  send(frame: Frame): void {
    this.#channel.send(frame);
  }

  sendChunk(ch: number, offset: number, data: Uint8Array): void {
    this.#channel.sendChunk(ch, offset, data);
  }

  get roomy(): boolean {
    return this.#channel.roomy;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.after(DRAIN_LOOK_MS, resolve));
  }

  sentAgo(n: number): number | undefined {
    return n === 0 ? this.#parts.clock.mono() - this.#began : this.#heartbeat?.sentAgo(n);
  }

  poke(): void {
    this.#heartbeat?.poke();
  }

  /** The network changed: is anybody still there? */
  probe(): void {
    this.#heartbeat?.probe(times.sleepProbeMs);
  }

  /** Says goodbye and ends. */
  bye(code: ByeCode, text: string): void {
    if (this.#stage === "ended") return;
    this.#channel.send({ t: "bye", code, text: tame(text, 100) });
    this.#channel.flush();
    this.#wire.close(closeOf[code] ?? 1000);
    this.#parts.clock.after(LAST_WORDS_MS, () => this.#wire.terminate());
    this.#over({ how: code, why: text });
  }

  #over(ending: Ending): void {
    if (this.#stage === "ended") return;
    const attached = this.#readyAt !== undefined;
    this.#stage = "ended";
    this.#channel.close();
    this.#heartbeat?.stop();
    this.#stopTick();
    for (const stop of this.#stops) stop();
    this.#held = [];
    if (attached) {
      this.#parts.server.detach();
      this.#parts.server.live.detach();
      this.#parts.outgoing.detach();
      this.#parts.incoming.detach();
    }
    const livedMs =
      this.#readyAt === undefined ? undefined : this.#parts.clock.mono() - this.#readyAt;
    this.#end({ ...ending, ...(livedMs !== undefined && { livedMs }) });
  }

  #dead(why: string): void {
    this.#wire.terminate();
    this.#over({ how: "silent", why });
  }

  /** The channel gave up; it sends nothing more. */
  #fault(code: number, why: string): void {
    this.#wire.close(code);
    this.#parts.clock.after(LAST_WORDS_MS, () => this.#wire.terminate());
    const how = code === 1000 ? "rollover" : code === 4429 ? "slow-peer" : "protocol";
    this.#over({ how, why: `the link broke: ${tame(why, 60)}`, close: code });
  }

  #garbled(error: KithError): void {
    const now = this.#parts.clock.mono();
    this.#malformed = [...this.#malformed.filter((at) => now - at < SCHEMA_WINDOW_MS), now];
    if (this.#malformed.length >= limits.schemaErrors || this.#stage === "greeting")
      return this.bye("protocol", "frames of no known shape");
    this.send({ t: "error", code: "schema", text: tame(error.message, 200) });
  }

  #frame(frame: ToNode): void {
    this.#heartbeat?.alive();
    if (frame.t === "bye") {
      this.#wire.close(1000);
      this.#wire.terminate();
      const retry = frame.retry_ms === undefined ? {} : { retryMs: frame.retry_ms };
      return this.#over({
        how: frame.code,
        why: `the gateway says: ${frame.text || frame.code}`,
        ...retry,
      });
    }
    if ((frame.t === "welcome") !== (this.#stage === "greeting"))
      throw new KithError("schema", "not allowed now");
    if (frame.t === "welcome") return this.#welcome(frame);
    if (this.#stage === "ready") return this.#act(frame);
    if (this.#held.push(frame) > MOST_HELD)
      throw new KithError("rate", "too many frames before we are ready");
  }

  #welcome(welcome: Welcome): void {
    const { home } = this.#parts;
    if (welcome.epoch <= home.epoch)
      return this.bye("fenced", "that epoch is not newer than the last one");
    this.#stage = "storing";
    // No call is served before a crash would remember this epoch.
    home.raiseEpoch(welcome.epoch).then(
      () => this.#ready(welcome),
      () => this.bye("shutdown", "the device cannot store the epoch"),
    );
  }

  #ready(welcome: Welcome): void {
    if (this.#stage !== "storing") return;
    const { clock, rng, server, outgoing, incoming } = this.#parts;
    this.#stage = "ready";
    this.epoch = welcome.epoch;
    this.pingMs = welcome.ping_ms;
    this.#readyAt = clock.mono();
    this.#heartbeat = heartbeat({
      clock,
      everyMs: welcome.ping_ms * (0.9 + 0.2 * rng.float()),
      busy: () => server.open + outgoing.open > 0,
      ping: (n) => this.send({ t: "ping", n }),
      dead: () => this.#dead("the gateway is silent"),
    });
    server.attach(this);
    server.live.attach(this);
    outgoing.attach(this);
    incoming.attach(this);
    server.onQuiet = outgoing.onQuiet = () => this.#rollNow();
    this.#parts.ready(this, welcome);
    this.#stops.push(clock.after(REOPEN_MS, () => outgoing.reopen()));
    const held = this.#held;
    this.#held = [];
    try {
      for (const frame of held) if (this.#stage === "ready") this.#act(frame);
    } catch (error) {
      this.bye(
        "protocol",
        error instanceof KithError ? error.message : "a frame that cannot be handled",
      );
    }
  }

  #act(frame: ToNode): void {
    const { server, outgoing, incoming } = this.#parts;
    switch (frame.t) {
      case "invoke":
        if (this.#sleep.slept()) return this.bye("slept", "the device slept");
        return server.invoke(frame);
      case "cancel":
        return server.cancel(frame);
      case "ledger.query":
        return server.query(frame);
      case "grants.changed":
        this.#count();
        return server.grants(frame);
      case "ping":
        this.#count();
        return this.send({ t: "pong", n: frame.n });
      case "pong":
        return this.#heartbeat?.pong(frame.n);
      case "stream.credit":
        if (server.live.credit(frame.ch, frame.upto, frame.from)) return;
        return outgoing.credit(frame.ch, frame.upto, frame.from);
      case "stream.done":
        return outgoing.done(frame.ch);
      case "stream.open":
        if (server.takes(frame.call, frame.role, frame.type) && !frame.live)
          return incoming.open(frame);
        this.#count();
        if (frame.live) return server.live.open(frame);
        // Nothing that this agent can do takes content from the gateway.
        return this.send({
          t: "error",
          stream: frame.stream,
          code: "gone",
          text: "no call here takes that content",
        });
      case "stream.end":
        if (incoming.has(frame.ch)) return incoming.end(frame.ch, frame.size, frame.sha256);
        return server.live.end(frame.ch);
      case "error":
        if (frame.stream === undefined || server.live.refused(frame.stream)) return;
        incoming.givenUp(frame.stream, frame.code, frame.text);
        return outgoing.refused(frame.stream, frame.code);
      case "event":
        this.#count();
        if (!server.live.event(frame)) this.#garbled(new KithError("schema", "event.data"));
        return;
      case "welcome":
      case "bye":
        return;
    }
  }

  /** Frames that answer nothing of ours are counted. */
  #count(): void {
    if (!this.#unasked()) this.bye("rate", "too many frames");
  }

  #tick(): void {
    this.#stopTick = this.#parts.clock.after(times.sleepTickMs, () => {
      if (this.#sleep.slept()) return this.bye("slept", "the device slept");
      if (this.#sleep.stalled()) this.probe();
      if (this.#parts.clock.mono() - this.#began >= limits.rolloverMs) this.#rollSoon();
      if (this.#stage !== "ended") this.#tick();
    });
  }

  #rollSoon(): void {
    this.#rolling = true;
    // Never inside the frame that brought us here.
    queueMicrotask(() => this.#rollNow());
  }

  #rollNow(): void {
    const { server, outgoing } = this.#parts;
    if (this.#rolling && this.#stage === "ready" && server.open + outgoing.open === 0)
      this.bye("rollover", "fresh keys");
  }
}
