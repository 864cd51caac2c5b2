/**
 * The streams that one node sends on one link: opens, bounds and ends their receivers.
 *
 *   stream.open ──► asking the sink ──► receiving ──► done
 *                        └─ refused        └─ failed, or its call ended: what still arrives is dropped
 *
 * Windows are dealt out when a stream opens, so that all of them together never exceed the
 * link's credit and every one of the sixteen gets some.
 */
import { type ErrorCode, KithError } from "@kith/shared/errors";
import type { ToNode } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import type { StreamOpen } from "@kith/shared/protocol/stream";
import { tame } from "@kith/shared/protocol/words";
import { type Sink, StreamReceiver } from "@kith/shared/streams/receiver";
import type { Moved } from "../devices/link.ts";

/** What every stream may still count on, however many are open. */
const WINDOW_LEAST = 131_072;
/** Channel numbers remembered, so that none is used twice; then the link needs a new handshake. */
const CHANNELS = 65_536;

/** Codes that mean something to a sender; any other leaves as `internal`. */
const TOLD: ReadonlySet<ErrorCode> = new Set([
  "too-big",
  "hash-mismatch",
  "gone",
  "rate",
  "cancelled",
  "conflict",
]);

export interface IncomingEvents {
  send(frame: ToNode): void;
  /** Resolves once an earlier link of this device writes nothing more to the stream. */
  quiet(stream: string): Promise<void>;
  /** Registers a receiver's last write, for `quiet` of the next link. */
  stopping(stream: string, done: Promise<void>): void;
  sink(open: StreamOpen): Promise<{ sink: Sink; most: number } | { refuse: KithError }>;
  settled(call: string, stream: string, failed: KithError | undefined): void;
  /** All channel numbers that we remember are used. */
  exhausted(): void;
  log(what: string, error: unknown): void;
}

interface Incoming {
  readonly ch: number;
  readonly stream: string;
  readonly call: string;
  readonly role: string;
  readonly window: number;
  /** As the node declared it. */
  readonly size: number | undefined;
  receiver: StreamReceiver | undefined;
}

export class IncomingStreams {
  readonly #events: IncomingEvents;
  readonly #open = new Map<number, Incoming>();
  readonly #used = new Set<number>();
  /** Bytes that may still be under way on channels which we ended. */
  readonly #late = new Map<number, number>();

  constructor(events: IncomingEvents) {
    this.#events = events;
  }

  get busy(): boolean {
    return this.#open.size > 0;
  }

  has(ch: number): boolean {
    return this.#open.has(ch) || this.#late.has(ch);
  }

  /** How far the content of this call is. Undefined: none is under way. */
  moved(call: string): Moved | undefined {
    for (const incoming of this.#open.values()) {
      const { receiver, size } = incoming;
      if (receiver && incoming.call === call) return { bytes: receiver.written, of: size };
    }
    return undefined;
  }

  /** Notes a channel of the node. @throws KithError schema when it is not the node's, or was used */
  claim(ch: number): void {
    if (ch % 2 === 0) throw new KithError("schema", "a channel of the other side");
    if (this.#used.has(ch)) throw new KithError("schema", "a channel opened twice");
    this.#used.add(ch);
  }

  /** @throws KithError schema when the channel or stream is not the node's to open */
  open(frame: StreamOpen): void {
    const { ch, stream, call, role } = frame;
    this.claim(ch);
    for (const other of this.#open.values()) {
      if (other.stream === stream) throw new KithError("schema", "a stream opened twice");
      // One content for each role of a call: more would only be room for a flood.
      if (other.call === call && other.role === role)
        return this.#refuse(stream, new KithError("gone", "that content is on its way already"));
    }
    if (this.#used.size >= CHANNELS) return this.#events.exhausted();
    if (this.#open.size >= limits.streamsPerLink)
      return this.#refuse(stream, new KithError("rate", "too many open streams"));
    const incoming: Incoming = {
      ch,
      stream,
      call,
      role,
      window: this.#nextWindow(),
      size: frame.size,
      receiver: undefined,
    };
    this.#open.set(ch, incoming);
    this.#begin(incoming, frame).catch((error: unknown) => {
      this.#events.log("a stream could not be opened", error);
      if (this.#close(incoming))
        this.#refuse(stream, new KithError("internal", "the content cannot be stored"));
    });
  }

  /** @throws KithError schema when order or credit is broken */
  chunk(ch: number, offset: number, data: Uint8Array): void {
    const receiver = this.#open.get(ch)?.receiver;
    if (receiver) return receiver.chunk(offset, data);
    const left = this.#late.get(ch) ?? 0;
    if (data.length > left) throw new KithError("schema", "a chunk without credit");
    this.#late.set(ch, left - data.length);
  }

  /** @throws KithError schema when nothing was granted yet */
  end(ch: number, size: number, sha256: Uint8Array | undefined): void {
    const incoming = this.#open.get(ch);
    if (incoming?.receiver) incoming.receiver.end(size, sha256);
    else if (incoming) throw new KithError("schema", "an end before the first credit");
    else this.#late.delete(ch);
  }

  /** The sender gives it up, for instance because it no longer holds the content. False: not open here. */
  givenUp(stream: string, error: KithError): boolean {
    let known = false;
    for (const incoming of this.#open.values()) {
      if (incoming.stream !== stream || !this.#close(incoming)) continue;
      this.#stop(incoming);
      this.#events.settled(incoming.call, stream, error);
      known = true;
    }
    return known;
  }

  /** The call is over: its streams are stopped, and their senders told. */
  forget(call: string): void {
    for (const incoming of this.#open.values()) {
      if (incoming.call !== call || !this.#close(incoming)) continue;
      this.#stop(incoming);
      this.#refuse(incoming.stream, new KithError("cancelled", "the call is over"));
    }
  }

  /** The link is over: nothing more is written or told. The content may go on on the next link. */
  stop(): void {
    for (const incoming of this.#open.values()) this.#stop(incoming, true);
    this.#open.clear();
    this.#late.clear();
    this.#used.clear();
  }

  async #begin(incoming: Incoming, frame: StreamOpen): Promise<void> {
    await this.#events.quiet(incoming.stream);
    if (!this.#isOpen(incoming)) return;
    const answer = await this.#events.sink(frame);
    if (!this.#isOpen(incoming)) return;
    if ("refuse" in answer) {
      this.#open.delete(incoming.ch);
      return this.#refuse(incoming.stream, answer.refuse);
    }
    const most = Math.min(answer.most, limits.streamBytesMost);
    if (frame.size !== undefined && frame.size > most)
      return this.#fail(incoming, new KithError("too-big", `more than ${most} bytes`));
    const events = {
      done: () => {
        if (this.#isOpen(incoming)) this.#open.delete(incoming.ch);
        else return;
        this.#events.settled(incoming.call, incoming.stream, undefined);
      },
      failed: (error: KithError) => this.#fail(incoming, error),
    };
    incoming.receiver = new StreamReceiver(
      incoming.ch,
      this.#events,
      answer.sink,
      events,
      most,
      incoming.window,
    );
  }

  #isOpen(incoming: Incoming): boolean {
    return this.#open.get(incoming.ch) === incoming;
  }

  #fail(incoming: Incoming, error: KithError): void {
    if (!this.#close(incoming)) return;
    this.#refuse(incoming.stream, error);
    this.#events.settled(incoming.call, incoming.stream, error);
  }

  /** False when it was closed before. What was granted may still arrive, and is dropped. */
  #close(incoming: Incoming): boolean {
    if (!this.#isOpen(incoming)) return false;
    this.#open.delete(incoming.ch);
    if (incoming.receiver) this.#late.set(incoming.ch, incoming.window);
    return true;
  }

  #stop(incoming: Incoming, keep = false): void {
    if (!incoming.receiver) return;
    const done = incoming.receiver.stop(keep).catch((error: unknown) => {
      this.#events.log("content could not be let go of", error);
    });
    this.#events.stopping(incoming.stream, done);
  }

  #refuse(stream: string, error: KithError): void {
    const code = TOLD.has(error.code) ? error.code : "internal";
    const text = code === error.code ? error.message : "the content cannot be stored";
    this.#events.send({
      t: "error",
      stream,
      code,
      text: tame(text, 200),
      retry: code === "rate" ? "later" : "no",
    });
  }

  /** As much as leaves the least for every stream that may still open. */
  #nextWindow(): number {
    let free = limits.creditPerLink;
    for (const { window } of this.#open.values()) free -= window;
    const others = limits.streamsPerLink - this.#open.size - 1;
    return Math.min(limits.creditPerStream, free - others * WINDOW_LEAST);
  }
}
