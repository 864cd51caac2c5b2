/**
 * What a peer may send without being asked, and how much in all: three budgets of one link.
 *
 * Answers to what we asked are free once; progress of open calls has a budget of its own, whose
 * excess is only dropped; everything else shares one, and beyond it the link ends.
 */
import type { Clock } from "@kith/shared/clock";
import { budget } from "@kith/shared/budget";
import type { ToGateway, ToNode } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { recent } from "./recent.ts";

const CONTROL = 0x10;
/** Credit of streams that we opened, a second: a grant is 32 KiB at least, so honest ones are far fewer. */
const CREDITS = 4_000;
/** Progress beyond its budget: this many within 10 s end the link. */
const DROPPED = 200;
const DROPPED_MS = 10_000;
/** Reading rests this long when a peer sends control bytes too fast; the second time within the window ends it. */
const HOLD_MS = 1_000;
const HOLDS_MS = 10_000;
/** Calls and queries remembered as asked; more than can be open. */
const ASKED = 4_096;

export class Spending {
  readonly holdMs = HOLD_MS;
  readonly #clock: Clock;
  readonly #unasked: () => boolean;
  readonly #credits: () => boolean;
  readonly #control: (bytes: number) => boolean;
  readonly #dropped;
  readonly #holds;
  readonly #calls = new Map<string, () => boolean>();
  readonly #queries = new Set<number>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#unasked = budget(clock, limits.unaskedPerSecond, limits.unaskedBurst);
    this.#credits = budget(clock, CREDITS, CREDITS);
    this.#control = budget(clock, limits.controlBytesPerSecond, limits.controlBytesPerSecond);
    this.#dropped = recent(clock, DROPPED - 1, DROPPED_MS);
    this.#holds = recent(clock, 1, HOLDS_MS);
  }

  /** A frame that we send: its answers are no surprise. */
  asked(frame: ToNode): void {
    if (frame.t === "invoke") this.#open(frame.call);
    if (frame.t !== "ledger.query") return;
    this.#queries.add(frame.q);
    if (this.#queries.size > ASKED) this.#queries.clear();
    for (const { call } of frame.calls) this.#open(call);
  }

  forget(call: string): void {
    this.#calls.delete(call);
  }

  /** `known`: whether a channel is one of ours. */
  frame(frame: ToGateway, known: (ch: number) => boolean): "take" | "drop" | "stop" {
    const asked = this.#answers(frame, known);
    if (asked !== undefined) return asked;
    return this.#unasked() ? "take" : "stop";
  }

  /** A message of the socket, before it is opened. */
  bytes(message: Uint8Array): "take" | "hold" | "stop" {
    if (message[0] !== CONTROL || this.#control(message.length)) return "take";
    return this.#holds.hit() !== undefined ? "hold" : "stop";
  }

  #answers(frame: ToGateway, known: (ch: number) => boolean): "take" | "drop" | "stop" | undefined {
    switch (frame.t) {
      case "accept":
      case "progress": {
        const affordable = this.#calls.get(frame.call);
        if (!affordable) return undefined;
        if (affordable()) return "take";
        return this.#dropped.hit() !== undefined ? "drop" : "stop";
      }
      case "result":
        return this.#calls.delete(frame.call) ? "take" : undefined;
      case "error":
        return frame.call !== undefined && this.#calls.delete(frame.call) ? "take" : undefined;
      case "ledger.answer":
        return this.#queries.delete(frame.q) ? "take" : undefined;
      case "stream.end":
      case "stream.done":
        return known(frame.ch) ? "take" : undefined;
      case "stream.credit":
        return known(frame.ch) && this.#credits() ? "take" : undefined;
      case "bye":
        return "take";
      default:
        return undefined;
    }
  }

  #open(call: string): void {
    if (this.#calls.has(call)) return;
    if (this.#calls.size >= ASKED) {
      const [oldest = ""] = this.#calls.keys();
      this.#calls.delete(oldest);
    }
    this.#calls.set(call, budget(this.#clock, limits.progressPerSecond, limits.progressBurst));
  }
}
