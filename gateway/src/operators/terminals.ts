/**
 * Who watches which terminal: between an operator's connection and the device's live link, in memory only.
 *
 *   attach ─► waiting ── call sent, link there ──► joined ── link lost ──► waiting ...
 *                └──────────── call over, or another viewer ───┴──► closed
 *
 * The terminal is the device's: after a restart of the gateway whoever watched attaches again by the
 * call's id, and goes on at the byte where it was. One viewer at a time; a newer one takes over.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { KithError } from "@kith/shared/errors";
import type { Size } from "@kith/shared/protocol/terminal";
import type { TerminalViewer, Watched } from "../devices/link.ts";
import type { Presence } from "../devices/presence.ts";
import { type Call, ended } from "../invocations/call.ts";
import type { Calls } from "../invocations/calls.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { short } from "../sessions/words.ts";
import { one } from "./lookup.ts";
import { TerminalFilter } from "./terminal-filter.ts";

/** An operator's terminal. */
export interface Screen {
  /** Whether the device's is there now; if not, what is waited for. */
  state(open: boolean, why: string): void;
  /** Filtered. `at`: where to attach again with nothing lost and nothing twice. Resolves when it has left memory. */
  output(text: string, at: number): Promise<void>;
  /** The last word. */
  closed(end: Closed): void;
}

export interface Closed {
  readonly why: "ended" | "failed" | "taken";
  readonly text: string;
  readonly error?: KithError;
}

export interface Seat {
  readonly call: Call;
  /** False: the terminal is not there now. */
  type(bytes: Uint8Array): Promise<boolean>;
  resize(size: Size): void;
  leave(): void;
}

interface TerminalsOptions {
  readonly runtime: Pick<Runtime, "on">;
  readonly calls: Pick<Calls, "get" | "list">;
  readonly presence: Presence;
}

/** Terminals that run, or wait to. */
export const terminalsOf = (calls: Pick<Calls, "list">): Call[] =>
  calls
    .list()
    .filter(({ cap, state }) => catalogue.get(cap)?.terminal === true && state !== "unknown");

export class Terminals {
  readonly #options: TerminalsOptions;
  readonly #viewings = new Map<string, Viewing>();

  constructor(options: TerminalsOptions) {
    this.#options = options;
    options.runtime.on<{ call: Call }>("call.kept", ({ call }) => {
      const viewing = this.#viewings.get(call.id);
      if (!viewing) return;
      if (ended.has(call.state) || call.state === "unknown") {
        this.#viewings.delete(call.id);
        return viewing.close(endOf(call));
      }
      // The frames of the same commit go first: a terminal is asked for after its call.
      queueMicrotask(() => this.#join(viewing));
    });
  }

  /** @throws KithError call-unknown, approval-ambiguous */
  attach(id: string, size: Size, from: number | undefined, screen: Screen): Seat {
    const call = one(terminalsOf(this.#options.calls), id, "call-unknown", "open terminal");
    this.#viewings.get(call.id)?.close({
      why: "taken",
      text: "Somebody else watches it now.",
    });
    const viewing = new Viewing(call.id, size, from, screen);
    this.#viewings.set(call.id, viewing);
    this.#join(viewing);
    return {
      call,
      type: (bytes) => viewing.watched?.type(bytes) ?? Promise.resolve(false),
      resize: (now) => viewing.resize(now),
      leave: () => {
        if (this.#viewings.get(call.id) === viewing) this.#viewings.delete(call.id);
        viewing.leave();
      },
    };
  }

  #join(viewing: Viewing): void {
    const { calls, presence } = this.#options;
    const call = calls.get(viewing.call);
    if (!call || this.#viewings.get(call.id) !== viewing || viewing.watched) return;
    const link = presence.get(call.device);
    if (call.state === "asked")
      return viewing.wait(
        `it needs your permission: \`kith allow ${short(call.id)} once --no-wait\``,
      );
    // Before the ledgers were compared nobody knows whether it is still there.
    if (call.state !== "sent" || link?.epoch !== call.epoch || !link)
      return viewing.wait(`${call.name} is not connected`);
    try {
      viewing.join((from, viewer) => link.watch(call.id, viewing.size, from, viewer));
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      this.#viewings.delete(call.id);
      viewing.close({ why: "failed", text: error.message, error });
    }
  }
}

/** One operator who looks at one terminal. */
class Viewing {
  readonly call: string;
  size: Size;
  watched: Watched | undefined;
  readonly #screen: Screen;
  /** Where a new link goes on: before what was not shown. Undefined: with all that the device kept. */
  #next: number | undefined;
  /** What came of all that the terminal has written. */
  #received = 0;
  #filter = new TerminalFilter();
  /** Filtered, and not given to the screen; how many bytes it was made of. */
  #text = "";
  #bytes = 0;
  #showing = false;
  #end: Closed | undefined;
  #left = false;

  constructor(call: string, size: Size, from: number | undefined, screen: Screen) {
    this.call = call;
    this.size = size;
    this.#next = from;
    this.#screen = screen;
  }

  join(watch: (from: number | undefined, viewer: TerminalViewer) => Watched): void {
    const watched = watch(this.#next, {
      opened: (from) => {
        // What was not shown comes again.
        this.#filter = new TerminalFilter();
        this.#text = "";
        this.#bytes = 0;
        this.#received = from;
        this.#screen.state(true, "");
      },
      output: (bytes) => {
        this.#received += bytes.length;
        this.#text += this.#filter.push(bytes);
        this.#bytes += bytes.length;
        void this.#show(); // never rejects
      },
      closed: () => {
        if (this.watched !== watched) return;
        this.watched = undefined;
        if (!this.#left && !this.#end) this.wait("the device is not there");
      },
    });
    this.watched = watched;
  }

  wait(why: string): void {
    this.#screen.state(false, why);
  }

  resize(size: Size): void {
    this.size = size;
    this.watched?.resize(size);
  }

  leave(): void {
    this.#left = true;
    this.watched?.close();
    this.watched = undefined;
  }

  /** After what has come was shown. */
  close(end: Closed): void {
    this.#end = end;
    this.watched?.close();
    this.watched = undefined;
    void this.#show(); // never rejects
  }

  /** One line at a time: what comes meanwhile shares the next. `output` never rejects. */
  async #show(): Promise<void> {
    if (this.#showing) return;
    this.#showing = true;
    while (this.#bytes > 0 && !this.#left) {
      const [text, bytes] = [this.#text, this.#bytes];
      const watched = this.watched;
      this.#text = "";
      this.#bytes = 0;
      this.#next = this.#received - this.#filter.held;
      if (text !== "") await this.#screen.output(text, this.#next);
      watched?.taken(bytes);
    }
    this.#showing = false;
    if (this.#end && !this.#left) {
      this.#left = true;
      this.#screen.closed(this.#end);
    }
  }
}

function endOf({ state, out = {}, failure, name }: Call): Closed {
  if (state === "done") {
    const how = out.end === "exit" ? `code ${String(out.exit_code)}` : String(out.signal);
    return { why: "ended", text: `The shell of ${name} ended with ${how}.` };
  }
  const error = new KithError(failure?.code ?? "internal", failure?.message ?? "it is over");
  return { why: "failed", text: error.message, error };
}
