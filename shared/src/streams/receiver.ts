/**
 * The receiving side of one stream on one link: grants credit only for what has left memory,
 * checks order, bounds, size and hash, and says `stream.done` when the sink has it durably.
 */
import { KithError } from "../errors.ts";
import { limits } from "../protocol/limits.ts";
import { release } from "../release.ts";
import type { StreamLink } from "./sender.ts";

/** Where the bytes go. It outlives links: the next receiver starts at `length`. */
export interface Sink {
  /** Bytes that a crash would not take; where a resume starts. */
  readonly length: number;
  /** Resolves when the bytes have left memory and `parts` are needed no more. */
  write(parts: readonly Uint8Array[]): Promise<void>;
  /**
   * Everything arrived: checks size and hash, makes it durable.
   * @throws KithError hash-mismatch (the content is deleted)
   */
  finish(size: number, sha256: Uint8Array): Promise<void>;
  /** Nothing more comes on this link: lets go of what it holds open. What is there stays, for a resume. */
  close(): Promise<void>;
  /** Nothing more comes at all: what is there goes. */
  discard(): Promise<void>;
}

export interface ReceiverEvents {
  /** The bytes are durable and `stream.done` was sent. */
  done(): void;
  /** The content is refused; the call that it belongs to fails with it. */
  failed(error: KithError): void;
}

export class StreamReceiver {
  readonly ch: number;
  readonly #link: Pick<StreamLink, "send">;
  readonly #sink: Sink;
  readonly #events: ReceiverEvents;
  readonly #most: number;
  readonly #window: number;
  /** Chunks that wait to be written. Credit bounds their bytes, this their number: tiny ones cost as much memory. */
  #waiting: Uint8Array[] = [];
  #inWrite = 0;
  #expected: number;
  #granted: number;
  #writing: Promise<void> = Promise.resolve();
  #written: number;
  #over = false;

  /** `most`: bytes this stream may carry in all. `window`: credit outstanding at once. */
  constructor(
    ch: number,
    link: Pick<StreamLink, "send">,
    sink: Sink,
    events: ReceiverEvents,
    most: number,
    window: number = limits.creditPerStream,
  ) {
    this.ch = ch;
    this.#link = link;
    this.#sink = sink;
    this.#events = events;
    this.#most = most;
    this.#window = window;
    this.#expected = this.#written = sink.length;
    this.#granted = this.#expected + Math.min(limits.creditFirst, window);
    link.send({ t: "stream.credit", ch, upto: this.#granted, from: this.#expected });
  }

  /** Bytes granted and not yet written: what counts against the link's credit. */
  get outstanding(): number {
    return this.#over ? 0 : this.#granted - this.#written;
  }

  /** Bytes that have left memory, those of earlier links among them. */
  get written(): number {
    return this.#written;
  }

  /** Takes `data` and its memory. @throws KithError schema when offset or credit is broken, which ends the link */
  chunk(offset: number, data: Uint8Array): void {
    if (this.#over) return;
    if (offset !== this.#expected) throw new KithError("schema", "a chunk out of order");
    if (this.#waiting.length + this.#inWrite >= limits.waitingChunks)
      throw new KithError("schema", "too many small chunks");
    const end = offset + data.length;
    if (end > this.#granted) throw new KithError("schema", "a chunk beyond the credit");
    if (end > this.#most)
      return this.#fail(new KithError("too-big", `more than ${this.#most} bytes`));
    this.#expected = end;
    // What comes while a write is under way shares the next one.
    if (this.#waiting.push(data) > 1) return;
    this.#writing = this.#writing.then(() => this.#write());
    this.#writing.catch((error: unknown) => this.#fail(asKithError(error)));
  }

  async #write(): Promise<void> {
    const parts = this.#waiting;
    this.#waiting = [];
    if (this.#over) return;
    this.#inWrite = parts.length;
    await this.#sink.write(parts);
    this.#inWrite = 0;
    for (const part of parts) {
      this.#written += part.length;
      release(part, limits.chunkHeadBytes);
    }
    const upto = this.#written + this.#window;
    if (upto - this.#granted >= this.#window / 4) {
      this.#granted = upto;
      this.#link.send({ t: "stream.credit", ch: this.ch, upto });
    }
  }

  /** The sender says that was all. @throws KithError schema without a hash, which ends the link */
  end(size: number, sha256: Uint8Array | undefined): void {
    if (!sha256) throw new KithError("schema", "the end of content without its hash");
    this.#writing = this.#writing.then(async () => {
      if (this.#over) return;
      if (size !== this.#written)
        throw new KithError("hash-mismatch", "the content ended at another size");
      await this.#sink.finish(size, sha256);
      this.#over = true;
      this.#link.send({ t: "stream.done", ch: this.ch, size });
      this.#events.done();
    });
    this.#writing.catch((error: unknown) => this.#fail(asKithError(error)));
  }

  /** The link is gone (`keep`), or the call ended: nothing more is written. Resolves when the last write is. */
  async stop(keep: boolean): Promise<void> {
    this.#over = true;
    await this.#writing.catch(() => {});
    await (keep ? this.#sink.close() : this.#sink.discard());
  }

  #fail(error: KithError): void {
    if (this.#over) return;
    this.#over = true;
    // What it holds goes; that it could not be let go of changes nothing for the call.
    this.#writing
      .catch(() => {})
      .then(() => this.#sink.discard())
      .catch(() => {});
    this.#events.failed(error);
  }
}

function asKithError(error: unknown): KithError {
  return error instanceof KithError
    ? error
    : new KithError("internal", "the content could not be stored", { cause: error });
}
