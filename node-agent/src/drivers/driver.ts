/**
 * The seam between Kith and what a device can do. A folder says what, a file says how;
 * `serve.ts` never names one. Validation, policy, consent and ledger are `serve.ts`'s work.
 */
import type { ArgsOf, Capability, OutOf } from "@kith/shared/capabilities/capability";
import type { OpenSink } from "../incoming.ts";
import type { Offered } from "@kith/shared/protocol/session";

/** What a driver finds when it looks, without any effect: can it work now, and if not, why. */
export interface Probe {
  readonly state: "ready" | "needs-permission" | "denied" | "busy" | "unavailable";
  /** What a person can do about it; at most 160 bytes reach the gateway. */
  readonly reason?: string;
  readonly os?: Offered["os"];
  /** Cameras, screens: what the capability can choose from. */
  readonly devices?: Offered["devices"];
}

/** Content that a driver hands over; the agent hashes it and sends it under credit. */
export type Content =
  /** Complete bytes, at most the stream's `maxBytes`. Kept on disk until the gateway has them. */
  | { readonly bytes: Uint8Array }
  /** An open file (read from position 0 to `size`), closed by the agent. Never spooled. */
  | { readonly file: import("node:fs/promises").FileHandle; readonly size: number };

/** A driver's terminal, as the agent uses it. */
export interface Terminal {
  /** What somebody typed. Resolves when it has left memory. */
  write(bytes: Uint8Array): Promise<void>;
  resize(columns: number, rows: number): void;
  /** No more output until `resume`: whoever watches is behind. */
  pause(): void;
  resume(): void;
}

/** Where the output of a terminal goes: what is old is dropped, unless somebody watches it. */
export interface Shown {
  write(bytes: Uint8Array): void;
  /** There is no more. Resolves, soon, when whoever watches has it: with how many bytes it was in all. */
  finish(): Promise<number>;
}

export interface Tools {
  /** Fires at the call's deadline, at `cancel`, at `kith lock`. A driver dies with it. */
  readonly signal: AbortSignal;
  /** Hands one stream over; the role and type must be of the capability. Each role once. */
  stream(role: string, type: string, content: Content): void;
  /** The id of the call: the same when it is tried again after a crash. */
  readonly call: string;
  /**
   * The content that the call brings: resolves when the sink that `open` gives has it whole. `open`
   * is asked once for each link that brings some of it. @throws KithError; the sink is then discarded
   */
  receive(role: string, open: OpenSink): Promise<void>;
  /** Shows a terminal to whoever watches the call. Once, and where the capability is one. */
  terminal(terminal: Terminal): Shown;
  /**
   * Makes the use visible at the device. Await it before the first frame of a camera,
   * a microphone or a screen is taken.
   */
  notice(what: string): Promise<void>;
}

export interface Driver<C = Capability> {
  readonly capability: C;
  /** Calls that may run at once. */
  readonly parallel: number;
  /** Longest run, in ms; the agent stops it then. */
  readonly maxMs: number;
  /** Cheap and without effect. Never throws: what it cannot find out is `unavailable` with a reason. */
  probe(): Promise<Probe>;
  /** Does it once. @throws KithError with the code that fits; anything else becomes `driver`. */
  run(args: ArgsOf<C>, tools: Tools): Promise<OutOf<C>>;
}

/** A driver of any capability, as the agent holds it after its arguments were checked by schema. */
// oxlint-disable-next-line no-explicit-any -- the schema check before `run` is what makes it safe
export type AnyDriver = Driver<any>;
