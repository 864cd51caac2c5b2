/**
 * An authenticated link from here on: sealed messages out, checked frames and chunks in.
 *
 *   send(frame) ─ pack ─┐ end of the turn          ┌─ scan, schema ─► onFrame
 *   sendChunk ──────────┴─ seal ─► transport ─ open ┴─────────────────► onChunk
 *
 * Order is everything: counters are never on the wire, so frames are opened one after the
 * other and sealed in the order in which they are sent. Any fault ends this link only.
 */
import { type CipherKey, open, sealMessage } from "@kith/shared/noise/cipher";
import type * as v from "valibot";
import { KithError } from "../errors.ts";
import { release } from "../release.ts";
import type { Transport } from "../transport.ts";
import { frameReader, joinControl, pack, splitControl } from "./codec.ts";
import type { Frame } from "./frames.ts";
import { limits } from "./limits.ts";

const CONTROL = 0x10;
const CHUNK = 0x11;
const TAG_BYTES = 16;

export interface ChannelKeys {
  readonly send: CipherKey;
  readonly receive: CipherKey;
}

export interface ChannelEvents<In> {
  /** Bytes that one control frame may have; without it as many as fit a message. Checked before anything is decoded. */
  readonly frameBytes?: number;
  /** Frames act in order; `bytes` is the packed size. A throw ends the link with 4400. */
  onFrame(frame: In, bytes: number): void;
  /** `data` and its memory are the receiver's. */
  onChunk(ch: number, offset: number, data: Uint8Array): void;
  /** A frame that was opened but has no known shape; five within a minute end the link. */
  onMalformed(error: KithError): void;
  /** The link cannot go on; `code` is a close code of docs/protocol.md. Called once. */
  onFault(code: number, why: string): void;
  /** Once, when the frame count asks for a new handshake at the next quiet moment. */
  onRollover(): void;
}

export class Channel<Schema extends v.GenericSchema> {
  readonly #transport: Transport;
  readonly #keys: ChannelKeys;
  #events: ChannelEvents<v.InferOutput<Schema>>;
  readonly #soon: (fn: () => void) => void;
  #read: (bytes: Uint8Array) => v.InferOutput<Schema>;
  #sent = 0;
  #received = 0;
  #rolled = false;
  #closed = false;
  #outgoing: Uint8Array[] = [];
  #flushing = false;
  /** Set while an asynchronous cipher (browsers) still seals an earlier message. */
  #sealing: Promise<void> | undefined;
  #incoming: Uint8Array[] = [];
  #incomingBytes = 0;
  #opening = false;
  #paused = false;

  /** `soon` runs at the end of the event-loop turn; frames sent until then share a message. */
  constructor(
    transport: Transport,
    keys: ChannelKeys,
    schema: Schema,
    events: ChannelEvents<v.InferOutput<Schema>>,
    soon: (fn: () => void) => void,
  ) {
    this.#transport = transport;
    this.#keys = keys;
    this.#events = events;
    this.#soon = soon;
    this.#read = frameReader(schema);
  }

  /** From pairing to the paired stage of the same link: other frames become legal. */
  expect<Next extends v.GenericSchema>(
    schema: Next,
    events: ChannelEvents<v.InferOutput<Next>>,
  ): Channel<Next> {
    const next = this as unknown as Channel<Next>;
    next.#read = frameReader(schema);
    next.#events = events;
    return next;
  }

  /** Sends one control frame, together with the others of this turn. */
  send(frame: Frame): void {
    if (this.#closed) return;
    const bytes = pack(frame);
    if (bytes.length + 4 > limits.controlBytes)
      throw new KithError("too-big", `a ${frame.t} frame too large to send`);
    this.#outgoing.push(bytes);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#soon(() => this.flush());
  }

  /** Sends what waits now; for the last words before a close. */
  flush(): void {
    this.#flushing = false;
    if (this.#closed || this.#outgoing.length === 0) return;
    const frames = this.#outgoing;
    this.#outgoing = [];
    for (const plaintext of joinControl(frames)) this.#transmit(CONTROL, plaintext);
  }

  /** Whether a chunk may leave now: nothing but control frames may queue beyond the soft limit. */
  get roomy(): boolean {
    return !this.#closed && this.#transport.buffered <= limits.queueSoftBytes;
  }

  /** In Node `data` may be used again when it returns; a browser seals it later. */
  sendChunk(ch: number, offset: number, data: Uint8Array): void {
    if (this.#closed) return;
    const head = new Uint8Array(limits.chunkHeadBytes);
    const view = new DataView(head.buffer);
    view.setUint32(0, ch);
    view.setBigUint64(4, BigInt(offset));
    this.#transmit(CHUNK, head, data);
  }

  /** Takes one message of the socket, and its memory. Call it in the same tick in which it arrived. */
  receive(message: Uint8Array): void {
    if (this.#closed) return;
    const most = message[0] === CHUNK ? limits.frameBytes : 1 + limits.controlBytes + TAG_BYTES;
    if (message.length > most || message.length < 2 + TAG_BYTES) return this.#fault(4400, "length");
    this.#incoming.push(message);
    this.#incomingBytes += message.length;
    if (!this.#paused && this.#incomingBytes > limits.waitingBytesPause) {
      this.#paused = true;
      this.#transport.pause();
    }
    this.#pump();
  }

  /** Nothing is sent or delivered after this; keys and queues are dropped. */
  close(): void {
    this.#closed = true;
    this.#outgoing = [];
    this.#incoming = [];
  }

  #pump(): void {
    while (!this.#opening && !this.#closed) {
      const message = this.#incoming.shift();
      if (!message) return;
      this.#incomingBytes -= message.length;
      if (this.#paused && this.#incomingBytes < limits.waitingBytesResume) {
        this.#paused = false;
        this.#transport.resume();
      }
      const type = message[0] ?? 0;
      if (type !== CONTROL && type !== CHUNK) return this.#fault(4400, "message type");
      if (this.#received >= limits.hardStopFrames)
        return this.#fault(4400, "frames after the hard stop");
      try {
        const opened = open(
          this.#keys.receive,
          this.#received++,
          message.subarray(0, 1),
          message.subarray(1),
        );
        if (opened instanceof Uint8Array) {
          release(message);
          this.#deliver(type, opened);
          continue;
        }
        this.#opening = true;
        opened.then(
          (plaintext) => {
            this.#opening = false;
            this.#deliver(type, plaintext);
            this.#pump();
          },
          () => this.#fault(4400, "tag"),
        );
      } catch {
        return this.#fault(4400, "tag");
      }
    }
  }

  #deliver(type: number, plaintext: Uint8Array): void {
    if (this.#closed) return;
    this.#countRollover(this.#received);
    try {
      if (type === CHUNK) {
        if (plaintext.length <= limits.chunkHeadBytes)
          throw new KithError("schema", "an empty chunk");
        const view = new DataView(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
        const offset = view.getBigUint64(4);
        if (offset > BigInt(Number.MAX_SAFE_INTEGER))
          throw new KithError("schema", "a chunk offset too large");
        return this.#events.onChunk(
          view.getUint32(0),
          Number(offset),
          plaintext.subarray(limits.chunkHeadBytes),
        );
      }
      for (const bytes of splitControl(plaintext)) {
        if (bytes.length > (this.#events.frameBytes ?? limits.controlBytes))
          throw new KithError("schema", "a frame too large");
        let frame: v.InferOutput<Schema>;
        try {
          frame = this.#read(bytes);
        } catch (error) {
          if (!(error instanceof KithError)) throw error;
          this.#events.onMalformed(error);
          continue;
        }
        this.#events.onFrame(frame, bytes.length);
        if (this.#closed) return;
      }
    } catch (error) {
      this.#fault(4400, error instanceof Error ? error.message : "protocol");
    }
  }

  #transmit(type: number, ...plaintext: readonly Uint8Array[]): void {
    if (this.#transport.buffered > limits.queueHardBytes) return this.#fault(4429, "slow peer");
    if (this.#sent < limits.hardStopFrames - 1) return this.#seal(type, ...plaintext);
    // The very last message is a goodbye; what it displaces goes on with the next link.
    for (const farewell of joinControl([
      pack({ t: "bye", code: "rollover", text: "no frames left" }),
    ]))
      this.#seal(CONTROL, farewell);
    this.#fault(1000, "hard stop");
  }

  #seal(type: number, ...plaintext: readonly Uint8Array[]): void {
    const sealed = sealMessage(this.#keys.send, this.#sent++, Uint8Array.of(type), ...plaintext);
    if (sealed instanceof Uint8Array && !this.#sealing) {
      this.#transport.send(sealed);
    } else {
      const chain: Promise<void> = Promise.all([sealed, this.#sealing]).then(([bytes]) => {
        if (this.#sealing === chain) this.#sealing = undefined;
        if (!this.#closed) this.#transport.send(bytes);
      });
      this.#sealing = chain;
    }
    this.#countRollover(this.#sent);
  }

  #countRollover(count: number): void {
    if (this.#rolled || count < limits.rolloverFrames) return;
    this.#rolled = true;
    this.#events.onRollover();
  }

  #fault(code: number, why: string): void {
    if (this.#closed) return;
    this.close();
    this.#events.onFault(code, why);
  }
}
