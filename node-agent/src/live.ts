/**
 * The terminals of this device, and who watches them: shared/src/protocol/terminal.ts has the frames.
 *
 *   driver ── output ──► ring ── credit of whoever watches ──► tty-out
 *     ▲ write ◄── tty-in, under our credit      nobody watches: the ring keeps the latest, and the rest goes
 *
 * A terminal belongs to its call and outlives links; a watcher belongs to one link. A watcher that is
 * slow makes the terminal wait, as over ssh; one that is gone does not.
 */
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { event } from "@kith/shared/protocol/call";
import { limits } from "@kith/shared/protocol/limits";
import type { StreamOpen } from "@kith/shared/protocol/stream";
import { TTY_IN, TTY_OUT, TTY_SIZE, TTY_TYPE, ttySize } from "@kith/shared/protocol/terminal";
import type { StreamLink } from "@kith/shared/streams/sender";
import * as v from "valibot";
import type { Shown, Terminal } from "./drivers/driver.ts";
import { Ring } from "./ring.ts";

/** More output than that which a watcher has not got yet makes the terminal wait. */
const BEHIND_BYTES = limits.terminalKept / 2;
/** What may still come after a terminal was told to wait. */
const MARGIN_BYTES = 131_072;
/** Small enough that typing is not behind much of it. */
const CHUNK_BYTES = 32_768;
/** Ended channels that are remembered until their other end has ended too. */
const MOST_LATE = 64;
/** How long the last output of a shell that is over may take to reach whoever watches. */
const LAST_MS = 2_000;

interface LiveParts {
  readonly clock: Clock;
  /** A new stream on the next channel of the link that is attached. */
  readonly newStream: () => { readonly stream: string; readonly ch: number };
  /** Whether this call is a terminal and under way. */
  readonly expects: (call: string) => boolean;
}

/** Somebody at the other end of the link. */
interface Watcher {
  readonly call: string;
  readonly link: StreamLink;
  readonly typed: {
    readonly ch: number;
    readonly stream: string;
    /** Come, written to the terminal, and permitted. */
    next: number;
    written: number;
    granted: number;
  };
  /** Absent until there is a terminal. `next`, `upto`: undefined until the first credit. */
  shown?: { readonly ch: number; readonly stream: string; next?: number; upto: number };
  sending: boolean;
}

interface Open {
  readonly terminal: Terminal;
  readonly ring: Ring;
  paused: boolean;
  over: boolean;
  /** Hears that the watcher has all of it, or went. */
  settled: () => void;
}

export class LiveStreams {
  readonly #parts: LiveParts;
  readonly #open = new Map<string, Open>();
  readonly #watchers = new Map<string, Watcher>();
  /** Sizes that came before their terminal. */
  readonly #sizes = new Map<string, { readonly columns: number; readonly rows: number }>();
  #link: StreamLink | undefined;
  /** Channels of the gateway grow, so none comes twice. */
  #lastChannel = 0;
  #seq = -1;
  /** Bytes that may still be under way on channels which we ended. */
  readonly #late = new Map<number, number>();

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  attach(link: StreamLink): void {
    this.detach();
    this.#link = link;
  }

  /** The link is lost: nobody watches any more. */
  detach(): void {
    this.#link = undefined;
    this.#lastChannel = 0;
    this.#seq = -1;
    this.#late.clear();
    const calls = [...this.#watchers.keys()];
    this.#watchers.clear();
    for (const call of calls) this.#flow(call);
  }

  /** Somebody wants to watch. @throws KithError schema for a channel that is not the gateway's to open */
  open({ stream, ch, call, role, type }: StreamOpen): void {
    const link = this.#link;
    if (!link) return;
    if (ch % 2 !== 0 || ch <= this.#lastChannel)
      throw new KithError("schema", "a channel that is not the gateway's to open");
    this.#lastChannel = ch;
    if (role !== TTY_IN || type !== TTY_TYPE || !this.#parts.expects(call))
      return link.send({ t: "error", stream, code: "gone", text: "no terminal of that call here" });
    // A newer one takes over.
    this.#leave(call);
    const granted = limits.creditLive;
    this.#watchers.set(call, {
      ...{ call, link, sending: false },
      typed: { ch, stream, next: 0, written: 0, granted },
    });
    link.send({ t: "stream.credit", ch, upto: granted, from: 0 });
    this.#show(call);
  }

  /** Something was typed. @throws KithError schema when order or credit is broken */
  chunk(ch: number, offset: number, data: Uint8Array): void {
    const watcher = this.#typing(ch);
    if (!watcher) {
      const left = this.#late.get(ch) ?? 0;
      if (data.length > left) throw new KithError("schema", "a chunk that nobody gave credit for");
      return void this.#late.set(ch, left - data.length);
    }
    const { typed, call, link } = watcher;
    if (offset !== typed.next) throw new KithError("schema", "a chunk out of order");
    if (offset + data.length > typed.granted)
      throw new KithError("schema", "a chunk beyond the credit");
    typed.next += data.length;
    const taken = this.#open.get(call)?.terminal.write(data) ?? Promise.resolve();
    // A terminal that cannot be written to is over, and its call says so.
    void taken
      .catch(() => {})
      .then(() => {
        typed.written += data.length;
        const upto = typed.written + limits.creditLive;
        if (this.#watchers.get(call) !== watcher || upto - typed.granted < limits.creditLive / 4)
          return;
        typed.granted = upto;
        link.send({ t: "stream.credit", ch, upto });
      });
  }

  /** False where that is no channel of a terminal. */
  credit(ch: number, upto: number, from: number | undefined): boolean {
    const watcher = this.#watched(({ shown }) => shown?.ch === ch);
    const ring = watcher && this.#open.get(watcher.call)?.ring;
    if (!watcher?.shown || !ring) return false;
    if (watcher.shown.next === undefined)
      watcher.shown.next = Math.min(ring.end, Math.max(from ?? 0, ring.start));
    watcher.shown.upto = Math.max(watcher.shown.upto, upto);
    void this.#send(watcher); // never rejects
    return true;
  }

  /** Nobody watches any more. @throws KithError schema for a channel that is not open */
  end(ch: number): void {
    const watcher = this.#typing(ch);
    if (watcher) this.#leave(watcher.call);
    if (!this.#late.delete(ch))
      throw new KithError("schema", "the end of a stream that nobody opened");
  }

  /** The gateway will not have it. False where that is no stream of a terminal. */
  refused(stream: string): boolean {
    const watcher = this.#watched(({ shown }) => shown?.stream === stream);
    if (watcher) this.#leave(watcher.call);
    return watcher !== undefined;
  }

  /** An event of the gateway; the newest counts. False: it is of no known shape. */
  event({ seq, name, data }: v.InferOutput<typeof event>): boolean {
    if (seq <= this.#seq) return true;
    this.#seq = seq;
    if (name !== TTY_SIZE) return true;
    const size = v.safeParse(ttySize, data);
    if (!size.success) return false;
    const { call, columns, rows } = size.output;
    const open = this.#open.get(call);
    if (open) open.terminal.resize(columns, rows);
    else if (this.#parts.expects(call)) this.#sizes.set(call, { columns, rows });
    return true;
  }

  /** A driver has a terminal for its call. Once a call; `close` when the driver is over. */
  begin(call: string, terminal: Terminal): Shown {
    const ring = new Ring(limits.terminalKept + MARGIN_BYTES);
    const open: Open = { terminal, ring, paused: false, over: false, settled: () => {} };
    this.#open.set(call, open);
    const size = this.#sizes.get(call);
    if (size) terminal.resize(size.columns, size.rows);
    this.#show(call);
    return {
      write: (bytes) => {
        ring.write(bytes);
        this.#flow(call);
        const watcher = this.#watchers.get(call);
        if (watcher) void this.#send(watcher); // never rejects
      },
      finish: async () => {
        open.over = true;
        const watcher = this.#watchers.get(call);
        if (watcher?.shown) {
          const { promise, resolve } = Promise.withResolvers<void>();
          open.settled = resolve;
          const cancel = this.#parts.clock.after(LAST_MS, resolve);
          void this.#send(watcher); // never rejects
          await promise;
          cancel();
        }
        return ring.end;
      },
    };
  }

  /** The call is over, and so is its terminal. */
  close(call: string): void {
    this.#sizes.delete(call);
    const watcher = this.#watchers.get(call);
    if (watcher && !watcher.shown) {
      const { stream } = watcher.typed;
      watcher.link.send({ t: "error", stream, code: "gone", text: "that call has no terminal" });
    }
    this.#leave(call);
    this.#open.delete(call);
  }

  #watched(fits: (watcher: Watcher) => boolean): Watcher | undefined {
    return [...this.#watchers.values()].find(fits);
  }

  #typing(ch: number): Watcher | undefined {
    return this.#watched(({ typed }) => typed.ch === ch);
  }

  /** Opens tty-out as soon as there are both: a terminal and somebody who watches. */
  #show(call: string): void {
    const watcher = this.#watchers.get(call);
    const open = this.#open.get(call);
    if (!watcher || !open) return;
    const { stream, ch } = this.#parts.newStream();
    watcher.shown = { ch, stream, upto: 0 };
    const size = open.ring.end;
    const about = { call, role: TTY_OUT, type: TTY_TYPE, live: true, size };
    watcher.link.send({ t: "stream.open", stream, ch, ...about });
    this.#flow(call);
  }

  /** The watcher goes; what it may still type is dropped. */
  #leave(call: string): void {
    const watcher = this.#watchers.get(call);
    if (!watcher) return;
    this.#watchers.delete(call);
    const { typed, shown, link } = watcher;
    this.#late.set(typed.ch, typed.granted - typed.next);
    if (this.#late.size > MOST_LATE) this.#late.delete([...this.#late.keys()][0] ?? 0);
    if (shown) link.send({ t: "stream.end", ch: shown.ch, size: shown.next ?? 0 });
    this.#flow(call);
  }

  /** As much as credit and queue allow. Never rejects. */
  async #send(watcher: Watcher): Promise<void> {
    const { call, shown, link } = watcher;
    const open = this.#open.get(call);
    if (watcher.sending || !shown || !open) return;
    watcher.sending = true;
    while (this.#watchers.get(call) === watcher && shown.next !== undefined) {
      const most = Math.min(CHUNK_BYTES, shown.upto - shown.next);
      if (most <= 0 || shown.next === open.ring.end) break;
      if (!link.roomy) {
        await link.drained();
        continue;
      }
      // A terminal that did not wait when it was told to: what is between is gone.
      if (shown.next < open.ring.start) break;
      const bytes = open.ring.read(shown.next, most);
      link.sendChunk(shown.ch, shown.next, bytes);
      shown.next += bytes.length;
    }
    watcher.sending = false;
    if (this.#watchers.get(call) !== watcher) return;
    this.#flow(call);
    const lost = shown.next !== undefined && shown.next < open.ring.start;
    if (lost || (open.over && shown.next === open.ring.end)) this.#leave(call);
  }

  /** Lets the terminal wait for its watcher, or go on. */
  #flow(call: string): void {
    const open = this.#open.get(call);
    if (!open) return;
    const shown = this.#watchers.get(call)?.shown;
    if (!shown) open.settled();
    // Before the first credit nobody has said where to go on: nothing of what is kept may go.
    const behind = shown ? open.ring.end - (shown.next ?? open.ring.start) : 0;
    const wait = behind >= BEHIND_BYTES;
    if (wait === open.paused || open.over) return;
    open.paused = wait;
    if (wait) open.terminal.pause();
    else open.terminal.resume();
  }
}
