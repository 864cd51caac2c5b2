/**
 * Content that one link brings to its node: one stream for each call, opened once on this link.
 *
 *   give ──► waits for a place ──► opening its source ──► sending ──► done, refused, or the call's end
 *
 * It has no memory: on the next link the node says that the call still runs, and the content is
 * given again; the node's first credit names where to go on.
 */
import { createHash } from "node:crypto";
import { KithError, fromWire } from "@kith/shared/errors";
import { limits } from "@kith/shared/protocol/limits";
import { type StreamLink, StreamSender } from "@kith/shared/streams/sender";
import type { GivenContent, Moved } from "../devices/link.ts";

interface Giving {
  readonly content: GivenContent;
  readonly ch: number;
  /** Absent while its source is being opened. */
  sender?: StreamSender;
}

export class OutgoingStreams {
  readonly #link: StreamLink;
  readonly #nextChannel: () => number;
  readonly #log: (what: string, error: unknown) => void;
  /** By channel; even ones are ours. */
  readonly #open = new Map<number, Giving>();
  /** Calls whose content was given on this link: a node that asks twice gets it once. */
  readonly #given = new Set<string>();
  #waiting: GivenContent[] = [];
  #over = false;

  /** `nextChannel`: an even number that this link never had. */
  constructor(
    link: StreamLink,
    nextChannel: () => number,
    log: (what: string, error: unknown) => void,
  ) {
    this.#link = link;
    this.#nextChannel = nextChannel;
    this.#log = log;
  }

  /** Whether this channel was opened here and is still under way. */
  has(ch: number): boolean {
    return this.#open.has(ch);
  }

  /** How far the content of this call is. Undefined: it is not under way. */
  moved(call: string): Moved | undefined {
    for (const { content, sender } of this.#open.values())
      if (sender && content.call === call) return { bytes: sender.sent, of: content.size };
    return undefined;
  }

  give(content: GivenContent): void {
    if (this.#over || this.#given.has(content.call)) return;
    this.#given.add(content.call);
    this.#waiting.push(content);
    this.#fill();
  }

  credit(ch: number, upto: number, from: number | undefined): void {
    this.#open.get(ch)?.sender?.credit(upto, from);
  }

  done(ch: number): void {
    const giving = this.#open.get(ch);
    if (!giving) return;
    this.#open.delete(ch);
    giving.sender?.finished();
    this.#fill();
  }

  /** The node will not have it; its call says why. */
  refused(call: string, code: string): void {
    this.#end(call, new KithError(fromWire(code), "the device refused the content"));
  }

  /** The call is over. */
  forget(call: string): void {
    this.#given.delete(call);
    this.#waiting = this.#waiting.filter((content) => content.call !== call);
    this.#end(call, new KithError("cancelled", "the call is over"));
  }

  /** The link is over. */
  stop(): void {
    this.#over = true;
    this.#waiting = [];
    for (const { sender } of this.#open.values())
      sender?.fail(new KithError("interrupted", "the link is over"));
    this.#open.clear();
  }

  #end(call: string, why: KithError): void {
    for (const [ch, { content, sender }] of this.#open) {
      if (content.call !== call) continue;
      this.#open.delete(ch);
      sender?.fail(why);
    }
    this.#fill();
  }

  #fill(): void {
    while (!this.#over && this.#open.size < limits.streamsPerLink) {
      const content = this.#waiting.shift();
      if (!content) return;
      const giving: Giving = { content, ch: this.#nextChannel() };
      this.#open.set(giving.ch, giving);
      this.#begin(giving).catch((error: unknown) => {
        if (this.#open.get(giving.ch) !== giving) return;
        this.#log("content could not be sent", error);
        this.#open.delete(giving.ch);
        // The device waits for it, and its call ends with that.
        const gone = { code: "gone", text: "the gateway no longer holds the content" } as const;
        this.#link.send({ t: "error", stream: content.call, ...gone });
        this.#fill();
      });
    }
  }

  /** Rejects when the content cannot be read to its end; what the node or the call ended is no failure. */
  async #begin(giving: Giving): Promise<void> {
    const { content, ch } = giving;
    const source = await content.open();
    if (this.#open.get(ch) !== giving) return source.close();
    const { call, role, type, size } = content;
    // One content for each call, so the call's id names the stream as well.
    const identity = { stream: call, call, role, type };
    const sender = new StreamSender(identity, source, () => createHash("sha256"), size);
    giving.sender = sender;
    sender.attach(this.#link, ch);
    await sender.done;
  }
}
