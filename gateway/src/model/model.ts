/**
 * What a session asks when somebody said something: a language model, or the offline grammar.
 * Both answer with the same thing, so grants, approvals and audit never know which it was.
 */
import type { ActorId } from "../runtime/effect.ts";
import type { StoredContent } from "../invocations/content.ts";
import type { Item, Provider, ToolCall } from "./provider.ts";

/** An item of a conversation as its row has it: pictures by their names in the content store. */
export type StoredItem =
  | Exclude<Item, { role: "tool" }>
  | (Omit<Extract<Item, { role: "tool" }>, "pictures"> & {
      readonly pictures: readonly StoredContent[];
    });

export interface Turn {
  readonly text: string;
  /** Whether an owner speaks, in a private chat: only then do commands that decide count. */
  readonly owner: boolean;
  /** The conversation that it belongs to. */
  readonly talk?: { readonly session: ActorId; readonly chat: string };
  /** What the model asked for is still under way. */
  readonly acting?: true;
  /** Nothing was said: what the model asked for has ended, and it goes on. */
  readonly more?: true;
}

/** A call that a model made: of a capability, or why it is none. */
export type TurnCall = { readonly id: string; readonly tool: string } & (
  | {
      readonly cap: string;
      readonly device: string;
      readonly args: Readonly<Record<string, unknown>>;
      readonly look: boolean;
    }
  | { readonly wrong: string }
);

export interface Onward {
  readonly cap: string;
  readonly device: string;
  readonly args: Readonly<Record<string, unknown>>;
}

export type Answer =
  /** A tool call: a capability of a device. The device is still in the speaker's words. */
  | {
      readonly do: "call";
      readonly cap: string;
      readonly device: string;
      readonly args: Readonly<Record<string, unknown>>;
      /** So many ms it may wait for a device that is away. */
      readonly deliverMs?: number;
      /** With `deliverMs`: also until it is unlocked. */
      readonly unlocked?: true;
      /** What it brought goes on: to this device, as the content of this call. */
      readonly onward?: Onward;
    }
  /** A tool call of the gateway itself, as the command line has it. */
  | {
      readonly do: "operate";
      readonly op: string;
      readonly args: Readonly<Record<string, unknown>>;
    }
  /** The same words again, in so many ms. */
  | { readonly do: "later"; readonly afterMs: number; readonly text: string }
  /** What a language model said, with the calls that it makes. */
  | {
      readonly do: "turn";
      readonly text: string;
      readonly calls: readonly TurnCall[];
      /** Its own form of them, which it hears again. */
      readonly made: readonly ToolCall[];
      /** For the audit: tokens, and the pictures that it saw. */
      readonly used: {
        readonly model: string;
        readonly input: number;
        readonly cached: number;
        readonly output: number;
        readonly pictures: number;
      };
    }
  /** It goes along with the next question to the model. */
  | { readonly do: "steer" }
  /** What was put off: to be told, or one of it (counted from 1) to be taken back. */
  | { readonly do: "put-off"; readonly drop?: number }
  | {
      readonly do: "say";
      readonly text: string;
      /** The words meant nothing here: programs that asked must not take the text for a success. */
      readonly puzzled?: true;
    };

export interface Model {
  readonly name: string;
  answer(turn: Turn, signal: AbortSignal): Promise<Answer>;
}

/** The language model of config.yaml. */
export interface ChosenModel {
  /** As the service calls it. */
  readonly name: string;
  /** Whose it is, such as `anthropic`. */
  readonly kind: string;
  readonly provider: Provider;
}
