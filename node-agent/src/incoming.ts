/**
 * Content on its way from the gateway, over as many links as it takes: one for each call that
 * takes some, its stream named by the call's id.
 *
 *   stream.open ──┬──► receiving ── whole ──► the driver goes on
 *   the driver ───┘        └── link lost: closed, and opened again where it stopped on the next link
 *
 * Neither waits for the other: the gateway may open before the driver is ready, and the driver
 * may wait for a gateway that is away.
 */
import { KithError, fromWire } from "@kith/shared/errors";
import { limits } from "@kith/shared/protocol/limits";
import type { ToGateway } from "@kith/shared/protocol/frames";
import type { StreamOpen } from "@kith/shared/protocol/stream";
import { type Sink, StreamReceiver } from "@kith/shared/streams/receiver";

/** Where the bytes of one content go; asked once for each link, with what is there already. */
export type OpenSink = () => Promise<Sink>;

interface Link {
  send(frame: ToGateway): void;
}

/** A driver that waits for its content. */
interface Waiting {
  readonly call: string;
  readonly most: number;
  readonly open: OpenSink;
  readonly settle: { resolve(): void; reject(why: Error): void };
  /** The channel that brings it on this link. */
  ch: number | undefined;
  receiver: StreamReceiver | undefined;
  /** The sink of the last link lets go before that of the next begins. */
  quiet: Promise<unknown>;
}

export class Incoming {
  #link: Link | undefined;
  readonly #waiting = new Map<string, Waiting>();
  /** By channel: the call, and what may still come on it after its end. */
  readonly #channels = new Map<number, { readonly call: string; late: number }>();
  /** Opened on this link, with no driver yet. */
  readonly #offers = new Map<string, StreamOpen>();

  attach(link: Link): void {
    this.detach();
    this.#link = link;
  }

  /** What is there stays for the next link. */
  detach(): void {
    this.#link = undefined;
    this.#channels.clear();
    this.#offers.clear();
    for (const waiting of this.#waiting.values()) {
      const { receiver } = waiting;
      waiting.ch = waiting.receiver = undefined;
      if (!receiver) continue;
      waiting.quiet = receiver.stop(true).catch(() => {}); // the next sink says what is wrong with it
    }
  }

  /**
   * The content of this call, at most `most` bytes: resolves when the sink has it whole.
   * @throws KithError the sink's own, what the gateway says, or the reason of `signal`; the sink is then discarded
   */
  async receive(call: string, most: number, open: OpenSink, signal: AbortSignal): Promise<void> {
    const settle = Promise.withResolvers<void>();
    const waiting: Waiting = {
      ...{ call, most, open, settle, ch: undefined, receiver: undefined },
      quiet: Promise.resolve(),
    };
    const stop = (): void => settle.reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    this.#waiting.set(call, waiting);
    const offer = this.#offers.get(call);
    this.#offers.delete(call);
    if (offer) this.#begin(waiting, offer);
    try {
      await settle.promise;
    } catch (error) {
      await this.#discard(waiting);
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#waiting.delete(call);
    }
  }

  /** The gateway opens the content of a call that runs here. @throws KithError schema when the channel is not the gateway's to open */
  open(frame: StreamOpen): void {
    const { ch, call } = frame;
    if (ch % 2 === 1) throw new KithError("schema", "a channel of the other side");
    if (this.#channels.has(ch)) throw new KithError("schema", "a channel opened twice");
    this.#channels.set(ch, { call, late: 0 });
    const waiting = this.#waiting.get(call);
    if (waiting?.ch !== undefined || this.#offers.has(call))
      throw new KithError("schema", "a stream opened twice");
    if (waiting) this.#begin(waiting, frame);
    else this.#offers.set(call, frame);
  }

  /** Whether the gateway opened this channel for content on this link. */
  has(ch: number): boolean {
    return this.#channels.has(ch);
  }

  /** @throws KithError schema when order or credit is broken */
  chunk(ch: number, offset: number, data: Uint8Array): void {
    const channel = this.#channels.get(ch);
    const receiver = this.#waiting.get(channel?.call ?? "")?.receiver;
    if (receiver?.ch === ch) return receiver.chunk(offset, data);
    if (!channel || data.length > channel.late)
      throw new KithError("schema", "a chunk that nobody gave credit for");
    channel.late -= data.length;
  }

  /** @throws KithError schema when nothing was opened */
  end(ch: number, size: number, sha256: Uint8Array | undefined): void {
    const channel = this.#channels.get(ch);
    if (!channel) throw new KithError("schema", "the end of a stream that nobody opened");
    const receiver = this.#waiting.get(channel.call)?.receiver;
    if (receiver?.ch === ch) receiver.end(size, sha256);
  }

  /** The gateway gives it up. */
  givenUp(stream: string, code: string, text: string): void {
    this.#waiting.get(stream)?.settle.reject(new KithError(fromWire(code), text));
  }

  /** The call is over: nobody takes its content any more. */
  forget(call: string): void {
    const offer = this.#offers.get(call);
    this.#offers.delete(call);
    if (offer) this.#refuse(call);
  }

  #begin(waiting: Waiting, { ch, size = 0 }: StreamOpen): void {
    const { call, most, settle } = waiting;
    waiting.ch = ch;
    if (size > most)
      return settle.reject(new KithError("too-big", `more than ${most} bytes of content`));
    const link = this.#link;
    const begun = waiting.quiet.then(async () => {
      const sink = await waiting.open();
      // Lost meanwhile, or stopped: the next link asks again.
      if (!link || this.#link !== link || this.#waiting.get(call) !== waiting) return sink.close();
      const events = {
        done: () => settle.resolve(),
        failed: (error: KithError) => settle.reject(error),
      };
      waiting.receiver = new StreamReceiver(ch, link, sink, events, most);
      return undefined;
    });
    waiting.quiet = begun.catch((error: unknown) => settle.reject(error as Error));
  }

  async #discard(waiting: Waiting): Promise<void> {
    await waiting.quiet;
    const { call, receiver } = waiting;
    waiting.receiver = undefined;
    for (const channel of this.#channels.values())
      if (channel.call === call) channel.late = receiver ? limits.creditPerStream : 0;
    if (receiver) await receiver.stop(false).catch(() => {});
    else
      await waiting
        .open()
        .then((sink) => sink.discard())
        .catch(() => {}); // it could not be opened: nothing is there
    this.#refuse(call);
  }

  #refuse(stream: string): void {
    this.#link?.send({ t: "error", stream, code: "gone", text: "the call takes no content" });
  }
}
