/**
 * The sending side of one stream, over as many links as it takes.
 *
 *   opening ── first credit (says where to start) ──► sending ── all sent ──► ended ── done ──► over
 *      └───────────── link lost: `attach` to the next one, same stream, new channel ◄──┘
 *
 * No credit, no bytes; above the soft limit of the send queue no chunks either.
 */
import type { Frame } from "../protocol/frames.ts";
import type { NewHash } from "./hash.ts";

/** Where the bytes come from. `read` may be asked for an earlier offset again after a resume. */
export interface Source {
  /** Total size in bytes, when it is known beforehand. */
  readonly size: number | undefined;
  /**
   * At most `most` bytes from `offset`; empty at the end. What it returns is good until the next
   * read, so it may be one buffer that is used again, where the link seals at once (Node).
   */
  read(offset: number, most: number): Promise<Uint8Array>;
  /** Releases what it holds; called once when the stream is over. */
  close(): Promise<void>;
}

/** The link, as a stream sees it. */
export interface StreamLink {
  send(frame: Frame): void;
  sendChunk(ch: number, offset: number, data: Uint8Array): void;
  /** False while the send queue is above its soft limit. */
  readonly roomy: boolean;
  /** Resolves when the queue may have room again. */
  drained(): Promise<void>;
}

export interface StreamIdentity {
  readonly stream: string;
  readonly call: string;
  readonly role: string;
  readonly type: string;
}

const FIRST_CHUNK_BYTES = 65_536;
/** Larger ones are legal and gain nothing (4 MiB in 26 ms; 64 KiB: 28, 256 KiB: 30). */
const CHUNK_BYTES = 131_072;

export class StreamSender {
  readonly identity: StreamIdentity;
  readonly #source: Source;
  readonly #hash: ReturnType<NewHash>;
  readonly #most: number;
  /** How far the content has been hashed; a resume may send again below it. */
  #hashed = 0;
  #digest: Uint8Array | undefined;
  /** `stream.end` left on this link: later credit changes nothing. */
  #ended = false;
  #size: number | undefined;
  #link: StreamLink | undefined;
  #ch = 0;
  #offset = 0;
  #upto = 0;
  #pumping = false;
  #over = false;
  readonly #settle: { resolve: () => void; reject: (error: Error) => void };
  readonly #sent: { resolve: (end: { size: number; sha256: Uint8Array }) => void };
  /** Resolves when the receiver has the bytes on disk; rejects when it never will. */
  readonly done: Promise<void>;
  /** Resolves with size and hash when the last byte was read once. */
  readonly read: Promise<{ size: number; sha256: Uint8Array }>;

  /** `most`: bytes that the receiver takes at most; reading one more rejects `done` with `too-big`. */
  constructor(identity: StreamIdentity, source: Source, newHash: NewHash, most: number) {
    this.identity = identity;
    this.#source = source;
    this.#hash = newHash();
    this.#most = most;
    const done = Promise.withResolvers<void>();
    this.done = done.promise;
    this.#settle = done;
    // Whoever only waits for `read` must not be killed by a stream that ends early.
    this.done.catch(() => {});
    const read = Promise.withResolvers<{ size: number; sha256: Uint8Array }>();
    this.read = read.promise;
    this.#sent = read;
  }

  get ch(): number {
    return this.#ch;
  }

  /** Bytes that left on this link or an earlier one. */
  get sent(): number {
    return this.#offset;
  }

  /** Opens the stream on this link, or again on the next one. */
  attach(link: StreamLink, ch: number): void {
    if (this.#over) return;
    this.#link = link;
    this.#ch = ch;
    this.#upto = 0;
    this.#ended = false;
    const { stream, call, role, type } = this.identity;
    const size = this.#source.size;
    link.send({
      t: "stream.open",
      stream,
      ch,
      call,
      role,
      type,
      live: false,
      ...(size === undefined ? {} : { size }),
    });
  }

  detach(): void {
    this.#link = undefined;
  }

  credit(upto: number, from: number | undefined): void {
    if (from !== undefined) this.#offset = from;
    if (upto > this.#upto) this.#upto = upto;
    void this.#pump();
  }

  /** The receiver has everything durably. */
  finished(): void {
    this.#end();
    this.#settle.resolve();
  }

  /** The receiver refused it, or we give up. */
  fail(error: Error): void {
    this.#end();
    this.#settle.reject(error);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#link = undefined;
    // A source that cannot be closed holds nothing that matters any more.
    this.#source.close().catch(() => {});
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      let chunk = FIRST_CHUNK_BYTES;
      while (this.#link && !this.#over) {
        const link = this.#link;
        const known = this.#size ?? this.#source.size;
        const room = this.#upto - this.#offset;
        // Empty content, or everything sent before: only the end is missing.
        if (known !== undefined && this.#offset >= known && this.#upto > 0) {
          await this.#finishHash();
          if (link === this.#link) this.#sendEnd(link);
          return;
        }
        if (room <= 0) return;
        if (!link.roomy) {
          await link.drained();
          continue;
        }
        const offset = this.#offset;
        const data = await this.#source.read(offset, Math.min(chunk, room));
        if (link !== this.#link || offset !== this.#offset || this.#over) continue;
        if (data.length === 0) {
          this.#size = offset;
          continue;
        }
        if (offset + data.length > this.#most) throw new RangeError("too-big");
        this.#take(offset, data);
        this.#offset += data.length;
        link.sendChunk(this.#ch, offset, data);
        chunk = Math.min(chunk * 2, CHUNK_BYTES);
      }
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error("unreadable"));
    } finally {
      this.#pumping = false;
    }
  }

  /** Hashes only what was not hashed before, so that a resend changes nothing; behind a gap nothing, until the end. */
  #take(offset: number, data: Uint8Array): void {
    const end = offset + data.length;
    if (end <= this.#hashed || offset > this.#hashed) return;
    this.#hash.update(data.subarray(Math.max(0, this.#hashed - offset)));
    this.#hashed = end;
  }

  /** A receiver that had more than we hashed (its copy outlived ours) makes us read the gap. */
  async #finishHash(): Promise<void> {
    const size = this.#size ?? this.#source.size ?? this.#hashed;
    while (this.#hashed < size) {
      const data = await this.#source.read(this.#hashed, CHUNK_BYTES);
      if (data.length === 0) break;
      this.#take(this.#hashed, data);
    }
    this.#size = this.#hashed;
    if (!this.#digest) {
      this.#digest = this.#hash.digest();
      this.#sent.resolve({ size: this.#size, sha256: this.#digest });
    }
  }

  #sendEnd(link: StreamLink): void {
    if (!this.#digest || this.#ended) return;
    this.#ended = true;
    link.send({ t: "stream.end", ch: this.#ch, size: this.#size ?? 0, sha256: this.#digest });
  }
}
