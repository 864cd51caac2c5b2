/**
 * What a session asks when somebody said something: a language model, or the offline grammar.
 * Both answer with the same thing, so grants, approvals and audit never know which it was.
 */
import type { ActorId } from "../runtime/effect.ts";
import type { Label } from "../tools/tool.ts";
import type { StoredContent } from "../invocations/content.ts";
import type { Item, Provider, Thought, ToolCall } from "./provider.ts";

/** An item of a conversation as its row has it: pictures by their names in the content store. */
export type StoredItem = (
  | Extract<Item, { role: "assistant" }>
  | Omit<Extract<Item, { role: "user" }>, "pictures">
  | (Omit<Extract<Item, { role: "tool" }>, "pictures"> & {
      readonly pictures: readonly StoredContent[];
    })
) & {
  /** Of an answer: of all that the model had read. Absent: none. */
  readonly labels?: readonly Label[];
  /** Where a labelled text comes from, for people. */
  readonly source?: string;
};

export interface Turn {
  readonly text: string;
  /** Whether an owner speaks, in a private chat: only then do commands that decide count. */
  readonly owner: boolean;
  /** No command, whatever it looks like: a model's words, or those of others. */
  readonly direct?: true;
  /** Which assistant hears it; absent: the main one. */
  readonly agent?: string;
}

/** What goes to a language model: the rows of a conversation, from one of them on. */
export interface Question {
  /** Its number in the session; the answer has it too. */
  readonly n: number;
  readonly session: ActorId;
  readonly chat: string;
  readonly agent: string;
  readonly by: string;
  /** The schedule that began it. */
  readonly job?: string;
  /** Name of the first row that goes along; absent: from the beginning. */
  readonly from?: string;
  /** Of those, what is labelled in rows before this one is left out. */
  readonly clean?: string;
  /** Of all that goes along. */
  readonly labels: readonly Label[];
  /** A session that works for another: it has no tasks of its own, and nobody to ask. */
  readonly task?: true;
  /** No answer is wanted but what shall stand for the rows before this one. */
  readonly compact?: string;
}

/** A call that a model made: of a device, of the gateway itself, or why it is none. */
export type TurnCall = { readonly id: string; readonly tool: string } & (
  | {
      readonly cap: string;
      readonly device: string;
      readonly args: Readonly<Record<string, unknown>>;
      readonly look: boolean;
    }
  | {
      readonly own: Readonly<Record<string, unknown>>;
      /** What the owner is asked first; see tools/tool.ts. */
      readonly asks?: string;
    }
  | { readonly wrong: string }
);

/** What a language model said, with the calls that it makes. */
export interface Said {
  readonly text: string;
  readonly calls: readonly TurnCall[];
  /** Its own form of them, which it hears again. */
  readonly made: readonly ToolCall[];
  /** For the service that it came from, with the next question. */
  readonly thinking?: readonly Thought[];
  readonly used: Used;
}

/** For budgets and the audit: tokens, and the pictures that it saw. */
export interface Used {
  readonly model: string;
  /** Those that came from the service's cache are among `input`. */
  readonly input: number;
  readonly cached: number;
  readonly output: number;
  readonly pictures: number;
  /** More than half of what the model can read at once. */
  readonly full?: true;
}

export interface Onward {
  readonly cap: string;
  readonly device: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/**
 * Said while a model works: it hears it with its next question (`steer`), after its answer (`followup`),
 * after its answer and all at once (`collect`), or now, instead (`interrupt`).
 */
export const queueModes = ["steer", "followup", "collect", "interrupt"] as const;
export type QueueMode = (typeof queueModes)[number];

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
  /** A language model shall hear it. */
  | { readonly do: "ask" }
  /** What is under way here ends. */
  | { readonly do: "stop" }
  /** What becomes of words that are said while a model works. */
  | { readonly do: "queue"; readonly mode: QueueMode }
  /** The model forgets what was said: all of it, or what others may have written. */
  | { readonly do: "forget"; readonly what: "all" | "labelled" }
  /** What was put off: to be told, or one of it (counted from 1) to be taken back. */
  | { readonly do: "put-off"; readonly drop?: number }
  | {
      readonly do: "say";
      readonly text: string;
      /** The words meant nothing here: programs that asked must not take the text for a success. */
      readonly puzzled?: true;
    };

/** The grammar, or the grammar and a language model. */
export interface Model {
  readonly name: string;
  /** What was said means that. `ask` only where there is somebody to ask. */
  answer(turn: Turn): Promise<Answer>;
  /** @throws ModelFailure, KithError; aborting rejects at once */
  ask(question: Question, signal: AbortSignal): Promise<Said>;
}

/** The language model of config.yaml. */
export interface ChosenModel {
  /** As the service calls it. */
  readonly name: string;
  /** Whose it is, such as `anthropic`. */
  readonly kind: string;
  readonly provider: Provider;
}
