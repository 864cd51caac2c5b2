/**
 * The terminals that are watched on one link: shared/src/protocol/terminal.ts has the frames.
 *
 *   watch ── tty.size, stream.open tty-in ──► asked ── stream.open tty-out ──► open ── end, lost ──► closed
 *
 * Bytes go from the socket to the viewer under credit that the viewer gives back, and no further:
 * a device that floods fills its own window and waits.
 */
import { KithError } from "@kith/shared/errors";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import type { StreamOpen } from "@kith/shared/protocol/stream";
import { type Size, TTY_IN, TTY_OUT, TTY_SIZE, TTY_TYPE } from "@kith/shared/protocol/terminal";
import type { TerminalViewer, Watched } from "../devices/link.ts";

export interface LiveLink {
  send(frame: Frame): void;
  sendChunk(ch: number, offset: number, data: Uint8Array): void;
  /** A stream on the next even channel of the link. */
  newStream(): { readonly stream: string; readonly ch: number };
  /** Notes a channel of the node. @throws KithError schema when it is not the node's, or was used */
  claim(ch: number): void;
}

interface Typed {
  readonly bytes: Uint8Array;
  readonly sent: (taken: boolean) => void;
}

interface Watch {
  readonly call: string;
  readonly viewer: TerminalViewer;
  /** Where the viewer wants to go on; undefined: with all that the device kept. */
  readonly from: number | undefined;
  readonly typing: {
    readonly stream: string;
    readonly ch: number;
    offset: number;
    upto: number;
    readonly waiting: Typed[];
  };
  shown?: {
    readonly ch: number;
    readonly stream: string;
    next: number;
    taken: number;
    granted: number;
  };
}

export class LiveStreams {
  readonly #link: LiveLink;
  readonly #watches = new Map<string, Watch>();
  /** Bytes that may still be under way on channels which we ended. */
  readonly #late = new Map<number, number>();
  #seq = 0;

  constructor(link: LiveLink) {
    this.#link = link;
  }

  get busy(): boolean {
    return this.#watches.size > 0;
  }

  has(ch: number): boolean {
    return this.#showing(ch) !== undefined || this.#late.has(ch);
  }

  /** Asks the device for a terminal; a newer viewer of the same call takes over. @throws KithError rate */
  watch(call: string, size: Size, from: number | undefined, viewer: TerminalViewer): Watched {
    this.#close(this.#watches.get(call));
    if (this.#watches.size >= limits.terminalsPerLink)
      throw new KithError("rate", "too many terminals of that device are watched");
    const { stream, ch } = this.#link.newStream();
    const typing = { stream, ch, offset: 0, upto: 0, waiting: [] };
    const watch: Watch = { call, viewer, from, typing };
    this.#watches.set(call, watch);
    const isOpen = () => this.#watches.get(call) === watch;
    const resize = ({ columns, rows }: Size) => {
      if (!isOpen()) return;
      const data = { call, columns, rows };
      this.#link.send({ t: "event", seq: ++this.#seq, name: TTY_SIZE, data });
    };
    resize(size);
    const about = { call, role: TTY_IN, type: TTY_TYPE, live: true };
    this.#link.send({ t: "stream.open", stream, ch, ...about });
    return {
      resize,
      type: (bytes) =>
        new Promise((sent) => {
          if (!isOpen()) return sent(false);
          watch.typing.waiting.push({ bytes, sent });
          this.#send(watch);
        }),
      taken: (bytes) => this.#taken(watch, bytes),
      close: () => this.#close(watch),
    };
  }

  /** The device has it. @throws KithError schema for a channel that is not the node's to open */
  open({ stream, ch, call, role, type, size = 0 }: StreamOpen): void {
    this.#link.claim(ch);
    const watch = this.#watches.get(call);
    if (!watch || watch.shown || role !== TTY_OUT || type !== TTY_TYPE)
      return this.#link.send({
        ...{ t: "error", stream, code: "gone", text: "nobody watches that", retry: "no" },
      });
    const from = Math.min(size, Math.max(watch.from ?? 0, size - limits.terminalKept, 0));
    const granted = from + limits.creditLive;
    watch.shown = { ch, stream, next: from, taken: from, granted };
    this.#link.send({ t: "stream.credit", ch, upto: granted, from });
    watch.viewer.opened(from);
  }

  /** False where that is no channel of a terminal. @throws KithError schema when order or credit is broken */
  chunk(ch: number, offset: number, data: Uint8Array): boolean {
    const watch = this.#showing(ch);
    if (!watch?.shown) {
      const left = this.#late.get(ch);
      if (left === undefined) return false;
      if (data.length > left) throw new KithError("schema", "a chunk without credit");
      this.#late.set(ch, left - data.length);
      return true;
    }
    const { shown, viewer } = watch;
    if (offset !== shown.next) throw new KithError("schema", "a chunk out of order");
    if (offset + data.length > shown.granted)
      throw new KithError("schema", "a chunk beyond the credit");
    shown.next += data.length;
    viewer.output(data);
    return true;
  }

  /** More may be typed. */
  credit(ch: number, upto: number): void {
    const watch = this.#watched(({ typing }) => typing.ch === ch);
    if (!watch || upto <= watch.typing.upto) return;
    watch.typing.upto = upto;
    this.#send(watch);
  }

  /** False where that is no channel of a terminal. */
  end(ch: number): boolean {
    const watch = this.#showing(ch);
    if (!watch) return this.#late.delete(ch);
    this.#close(watch);
    this.#late.delete(ch);
    watch.viewer.closed();
    return true;
  }

  /** The device has no such terminal. False where that is no stream of one. */
  refused(stream: string): boolean {
    const watch = this.#watched(
      ({ typing, shown }) => typing.stream === stream || shown?.stream === stream,
    );
    if (!watch) return false;
    this.#close(watch);
    watch.viewer.closed();
    return true;
  }

  /** The call is over. */
  forget(call: string): void {
    const watch = this.#watches.get(call);
    this.#close(watch);
    watch?.viewer.closed();
  }

  /** The link is over: nothing more is sent. */
  stop(): void {
    const watches = [...this.#watches.values()];
    this.#watches.clear();
    this.#late.clear();
    for (const { typing, viewer } of watches) {
      for (const { sent } of typing.waiting) sent(false);
      viewer.closed();
    }
  }

  #watched(fits: (watch: Watch) => boolean): Watch | undefined {
    return [...this.#watches.values()].find(fits);
  }

  #showing(ch: number): Watch | undefined {
    return this.#watched(({ shown }) => shown?.ch === ch);
  }

  /** As much as the device's credit allows. */
  #send({ typing }: Watch): void {
    for (let first = typing.waiting[0]; first; first = typing.waiting[0]) {
      const { bytes, sent } = first;
      const part = bytes.subarray(0, Math.max(0, typing.upto - typing.offset));
      if (part.length > 0) this.#link.sendChunk(typing.ch, typing.offset, part);
      typing.offset += part.length;
      if (part.length < bytes.length) {
        typing.waiting[0] = { bytes: bytes.subarray(part.length), sent };
        return;
      }
      typing.waiting.shift();
      sent(true);
    }
  }

  #taken(watch: Watch, bytes: number): void {
    const { shown, call } = watch;
    if (!shown || this.#watches.get(call) !== watch) return;
    shown.taken += bytes;
    const upto = shown.taken + limits.creditLive;
    if (upto - shown.granted < limits.creditLive / 4) return;
    shown.granted = upto;
    this.#link.send({ t: "stream.credit", ch: shown.ch, upto });
  }

  /** Nobody watches any more; the device is told, and what is still under way is dropped. */
  #close(watch: Watch | undefined): void {
    if (!watch || this.#watches.get(watch.call) !== watch) return;
    this.#watches.delete(watch.call);
    const { typing, shown } = watch;
    for (const { sent } of typing.waiting.splice(0)) sent(false);
    this.#link.send({ t: "stream.end", ch: typing.ch, size: typing.offset });
    if (shown) this.#late.set(shown.ch, shown.granted - shown.next);
  }
}
