/**
 * One authenticated socket of one paired device.
 *
 *   silent ── hello ──► greeting ── epoch on disk, welcome ──► up
 *      └───────────────────┴── bye, silence, broken rule, too much ──┴──► over
 *
 * The first message that opens is what proves the peer; until then nothing is kept or told.
 * `over` is our own decision or the socket's end, whichever comes first: keys, timers and
 * queues go at once, and nobody waits for `close`.
 */
import { KithError, fromWire } from "@kith/shared/errors";
import { type KeyId, newId } from "@kith/shared/ids";
import type { Channel, ChannelEvents } from "@kith/shared/protocol/channel";
import { isLarger } from "@kith/shared/protocol/codec";
import type { ToNode } from "@kith/shared/protocol/frames";
import { type Heartbeat, heartbeat } from "@kith/shared/protocol/heartbeat";
import { limits, times } from "@kith/shared/protocol/limits";
import type { ByeCode, Hello } from "@kith/shared/protocol/session";
import { WIRE_MINOR } from "@kith/shared/protocol/version";
import { tame } from "@kith/shared/protocol/words";
import type { CallFrame, DeviceLink, GivenContent, Moved, Watched } from "../devices/link.ts";
import type { Guest } from "./admission.ts";
import type { House, Source } from "./house.ts";
import { type Heard, closeCodes, type heard, isAllowed } from "./heard.ts";
import { IncomingStreams } from "./incoming.ts";
import { LiveStreams } from "./live.ts";
import { OutgoingStreams } from "./outgoing.ts";
import { recent } from "./recent.ts";
import { Spending } from "./spending.ts";
import type { Wire } from "./wire.ts";

const SCHEMA_WINDOW_MS = 60_000;
const RATE_RETRY_MS = 10_000;
/** How often a full send queue is looked at. */
const DRAIN_LOOK_MS = 5;
/** Epochs beyond this are no counts of links any more. */
const EPOCH_MOST = 2 ** 52;

export class Link implements DeviceLink {
  readonly device: KeyId;
  readonly source: string;
  readonly #house: House;
  readonly #wire: Wire;
  readonly #guest: Guest;
  readonly #channel: Channel<typeof heard>;
  readonly #streams: IncomingStreams;
  readonly #outgoing: OutgoingStreams;
  readonly #live: LiveStreams;
  readonly #spending: Spending;
  readonly #broken: () => boolean;
  readonly #born: number;
  readonly #port: number;
  #cancelHello: () => void;
  #heartbeat: Heartbeat | undefined;
  #state: "silent" | "greeting" | "up" | "over" = "silent";
  #trusted = false;
  /** The answer to `hello` is under way: `down` waits for it. */
  #asking = false;
  #why = "";
  #broke = false;
  #epoch = 0;
  #seen = 0;
  #eventSeq = -1;
  /** Ours are even. */
  #nextChannel = 2;
  #rollover = false;

  /** `attach` makes the channel, or takes over that of a pairing. */
  constructor(
    house: House,
    wire: Wire,
    guest: Guest,
    peer: Source & { readonly device: KeyId },
    attach: (events: ChannelEvents<Heard>) => Channel<typeof heard>,
  ) {
    this.device = peer.device;
    this.source = peer.source;
    this.#port = peer.port;
    this.#house = house;
    this.#wire = wire;
    this.#guest = guest;
    const { clock, handlers } = house;
    this.#born = clock.mono();
    this.#spending = new Spending(clock);
    const schemaErrors = recent(clock, limits.schemaErrors - 1, SCHEMA_WINDOW_MS);
    this.#broken = () => schemaErrors.hit() === undefined;
    this.#streams = new IncomingStreams({
      send: (frame) => this.#channel.send(frame),
      quiet: (stream) => house.writing.get(this.device + stream) ?? Promise.resolve(),
      stopping: (stream, done) => house.stillWriting(this.device + stream, done),
      sink: (open) => handlers.sink(this, open),
      settled: (call, stream, failed) =>
        this.#tell(() => handlers.stream(this, call, stream, failed)),
      exhausted: () => this.end("rollover", "all channels used"),
      log: house.log,
    });
    const roomy = (): boolean => this.#channel.roomy;
    this.#outgoing = new OutgoingStreams(
      {
        send: (frame) => this.#channel.send(frame),
        sendChunk: (...chunk) => this.#channel.sendChunk(...chunk),
        get roomy() {
          return roomy();
        },
        drained: () => new Promise((resolve) => clock.after(DRAIN_LOOK_MS, resolve)),
      },
      () => this.nextChannel(),
      house.log,
    );
    this.#live = new LiveStreams({
      send: (frame) => this.#channel.send(frame),
      sendChunk: (...chunk) => this.#channel.sendChunk(...chunk),
      newStream: () => ({ stream: newId(clock, house.rng), ch: this.nextChannel() }),
      claim: (ch) => this.#streams.claim(ch),
    });
    this.#channel = attach({
      onFrame: (frame, bytes) => this.#take(frame, bytes),
      onChunk: (ch, offset, data) => {
        this.trust();
        this.#heartbeat?.alive();
        if (!this.#live.chunk(ch, offset, data)) this.#streams.chunk(ch, offset, data);
      },
      onMalformed: (error) => this.#malformed(error),
      onFault: (code, why) => this.#end(code, why),
      onRollover: () => (this.#rollover = true),
    });
    this.#cancelHello = clock.after(limits.helloMs, () => this.#end(4401, "no hello"));
    wire.hear({
      message: (bytes) => this.message(bytes),
      fault: (code, why) => this.#end(code, why),
      gone: (why) => this.#end(undefined, why),
      shutdown: () => this.end("shutdown", "the gateway stops"),
    });
  }

  get epoch(): number {
    return this.#epoch;
  }

  get seen(): number {
    return this.#seen;
  }

  send(frame: ToNode): void {
    if (this.#state === "over") return;
    this.#channel.send(frame);
    this.#spending.asked(frame);
  }

  poke(): void {
    this.#heartbeat?.poke();
  }

  /** The next channel of ours on this link. */
  nextChannel(): number {
    const ch = this.#nextChannel;
    this.#nextChannel += 2;
    return ch;
  }

  watch(...terminal: Parameters<DeviceLink["watch"]>): Watched {
    const watched = this.#live.watch(...terminal);
    this.poke();
    return watched;
  }

  forget(call: string): void {
    if (this.#state === "over") return;
    this.#spending.forget(call);
    this.#live.forget(call);
    this.#streams.forget(call);
    this.#outgoing.forget(call);
  }

  moved(call: string): Moved | undefined {
    return this.#outgoing.moved(call) ?? this.#streams.moved(call);
  }

  give(content: GivenContent): void {
    if (this.#state === "up") this.#outgoing.give(content);
  }

  end(code: ByeCode, text: string, retryMs?: number): void {
    if (this.#state === "over") return;
    const retry = retryMs === undefined ? {} : { retry_ms: retryMs };
    this.#channel.send({ t: "bye", code, text: tame(text, 100), ...retry });
    this.#channel.flush();
    this.#end(closeCodes[code], code);
  }

  /** One sealed message of the socket. */
  message(bytes: Uint8Array): void {
    const verdict = this.#spending.bytes(bytes);
    if (verdict === "stop") return this.#overBudget("too many bytes");
    if (verdict === "hold") this.#wire.hold(this.#spending.holdMs);
    this.#channel.receive(bytes);
  }

  /** It proved its key: by a message that opened, or by a pairing that was confirmed. */
  trust(): void {
    if (this.#trusted) return;
    this.#trusted = true;
    this.#guest.trusted();
    this.#wire.allow(Infinity);
  }

  #take(frame: Heard, bytes: number): void {
    this.trust();
    this.#heartbeat?.alive();
    if (!isAllowed(frame)) throw new KithError("schema", `${frame.t} on a paired link`);
    if (frame.t === "hello") return this.#greet(frame);
    if (this.#state === "silent") throw new KithError("schema", "the first frame is no hello");
    const known = (ch: number): boolean =>
      this.#streams.has(ch) || this.#outgoing.has(ch) || this.#live.has(ch);
    switch (this.#spending.frame(frame, known)) {
      case "drop":
        return;
      case "stop":
        return this.#overBudget("too many frames that answer nothing");
      case "take":
    }
    switch (frame.t) {
      case "ping":
        this.#channel.send({ t: "pong", n: frame.n });
        this.#seen = Math.max(this.#seen, frame.n);
        return this.#rollWhenQuiet();
      case "pong":
        return this.#heartbeat?.pong(frame.n);
      case "bye":
        return this.#end(1000, `the device said ${frame.code}`);
      default: // what is for a link that is up
    }
    if (this.#state !== "up") throw new KithError("schema", "a frame before welcome");
    switch (frame.t) {
      case "stream.open":
        if (frame.live) return this.#live.open(frame);
        this.#streams.open(frame);
        return this.poke();
      case "stream.end":
        if (this.#live.end(frame.ch)) return;
        return this.#streams.end(frame.ch, frame.size, frame.sha256);
      case "stream.credit":
        if (this.#outgoing.has(frame.ch))
          return this.#outgoing.credit(frame.ch, frame.upto, frame.from);
        return this.#live.credit(frame.ch, frame.upto);
      case "stream.done":
        return this.#outgoing.done(frame.ch); // what is live has no end that somebody has whole
      case "result":
        if (bytes > limits.outBytes && isLarger(frame.out, limits.outBytes))
          // It is the call's end all the same: waiting for another one would only waste its time.
          return this.#pass({
            t: "error",
            call: frame.call,
            code: "bad-result",
            effect: "partial",
            text: "its answer is larger than an answer may be",
          });
        return this.#pass(frame);
      case "event":
        if (bytes > limits.eventBytes && isLarger(frame.data, limits.eventBytes))
          return this.#malformed(new KithError("schema", "an event too large"));
        if (frame.seq <= this.#eventSeq) return;
        this.#eventSeq = frame.seq;
        return this.#pass(frame);
      case "error":
        if (frame.stream !== undefined && frame.call === undefined) {
          if (this.#live.refused(frame.stream)) return;
          const why = new KithError(fromWire(frame.code), frame.text);
          this.#outgoing.refused(frame.stream, frame.code);
          if (this.#streams.givenUp(frame.stream, why)) return;
          // No such stream is open here, but a result may wait for content that is gone.
        }
        return this.#pass(frame);
      default:
        return this.#pass(frame);
    }
  }

  #pass(frame: CallFrame): void {
    this.#tell(() => this.#house.handlers.frame(this, frame));
  }

  /** A defect of ours ends this link and nothing else. */
  #tell(what: () => void): void {
    try {
      what();
    } catch (error) {
      this.#house.log("a link's handler failed", error);
      this.end("overload", "an error inside the gateway");
    }
  }

  #malformed(error: KithError): void {
    this.trust();
    this.#heartbeat?.alive();
    this.#channel.send({ t: "error", code: "schema", text: tame(error.message, 200), retry: "no" });
    if (this.#broken()) this.end("protocol", "too many malformed frames");
  }

  #overBudget(text: string): void {
    this.end("rate", text, RATE_RETRY_MS);
  }

  #greet(hello: Hello): void {
    if (this.#state !== "silent") throw new KithError("schema", "a second hello");
    if (hello.last_epoch > EPOCH_MOST) throw new KithError("schema", "an impossible epoch");
    // The last words of an agent that was killed may come after the first ones of the next.
    const { newest } = this.#house;
    if (this.#born < (newest.get(this.device) ?? 0))
      return this.end("superseded", "a newer link of the same device");
    newest.set(this.device, this.#born);
    this.#state = "greeting";
    this.#cancelHello();
    this.#heartbeat = heartbeat({
      clock: this.#house.clock,
      busy: () => this.#busy(),
      ping: (n) => this.#channel.send({ t: "ping", n }),
      dead: () => this.#end(4408, "silent"),
    });
    this.#asking = true;
    void this.#welcome(hello); // never rejects
  }

  async #welcome(hello: Hello): Promise<void> {
    const answer = await this.#ask(hello);
    this.#asking = false;
    if ("epoch" in answer) this.#epoch = answer.epoch;
    if (this.#ended()) return this.#down();
    if ("refuse" in answer) return this.end(answer.refuse, "refused");
    const { clock, rng, gateway, handlers } = this.#house;
    this.#state = "up";
    this.#channel.send({
      t: "welcome",
      minor: Math.min(hello.minor, WIRE_MINOR),
      features: [], // none yet, so the intersection is empty
      epoch: answer.epoch,
      session: newId(clock, rng),
      gateway: tame(gateway.name, 64),
      ping_ms: times.pingMs,
      limits: {
        calls: limits.callsPerDevice,
        streams: limits.streamsPerLink,
        control: limits.controlBytes,
        chunk: limits.chunkBytes,
      },
      want_caps: answer.wantCaps,
      now: Math.max(0, Math.floor(clock.now())),
    });
    this.#tell(() => handlers.up(this));
  }

  async #ask(hello: Hello): Promise<{ epoch: number; wantCaps: boolean } | { refuse: ByeCode }> {
    try {
      const tailnet = await this.#house.tailnet?.facts(this.source, this.#port);
      return await this.#house.handlers.hello(this.device, hello, this.source, tailnet);
    } catch (error) {
      this.#house.log("hello failed here", error);
      return { refuse: "overload" };
    }
  }

  #busy(): boolean {
    if (this.#state !== "up") return false;
    return this.#streams.busy || this.#live.busy || this.#house.handlers.busy(this.device);
  }

  #ended(): boolean {
    return this.#state === "over";
  }

  /** Old keys are replaced when nothing is under way; the node's pings make us look. */
  #rollWhenQuiet(): void {
    this.#rollover ||= this.#house.clock.mono() - this.#born >= limits.rolloverMs;
    if (this.#rollover && !this.#busy()) this.end("rollover", "time for new keys");
  }

  /** Without a code the socket is gone already. */
  #end(code: number | undefined, why: string): void {
    if (this.#state === "over") return;
    const known = this.#state !== "silent";
    this.#state = "over";
    this.#why = why;
    // "rate" is our word for too much; a peer that is only slow ends with the same close code.
    this.#broke = code === closeCodes.protocol || why === "rate";
    this.#cancelHello();
    this.#heartbeat?.stop();
    this.#channel.close();
    this.#streams.stop();
    this.#outgoing.stop();
    this.#live.stop();
    if (code !== undefined) this.#wire.close(code);
    if (known && !this.#asking) this.#down();
  }

  #down(): void {
    try {
      this.#house.handlers.down(this, this.#why, this.#broke);
    } catch (error) {
      this.#house.log("a link's handler failed", error);
    }
  }
}
