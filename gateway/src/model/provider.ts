/**
 * A language model behind one interface: a request in the model's own order, and what it answers as
 * it comes. No provider of these executes, permits or remembers anything; that is the session's work.
 *
 *     request ──▶ text* thinking? call* usage? ──▶ end          or ModelFailure at any place
 */
import { type ErrorCode, KithError } from "@kith/shared/errors";
import type { Secret } from "../secret.ts";

/**
 * What a capability brought or a person sent, as the model may look at it: a picture (see `fitting`), a PDF where the
 * service takes it, a text of at most 256 KiB. Instead of all else the model reads that it cannot be shown.
 */
export interface Picture {
  /** Its media type: `image/jpeg`, `image/png`, `image/webp`, `application/pdf`, `text/*`. */
  readonly type: string;
  readonly data: Uint8Array;
  /** For the model, where it has one. */
  readonly name?: string;
}

/** `args`: as the model wrote them; undefined where they were no JSON object. */
export interface ToolCall {
  /** The provider's, unique within one answer; a result names it. */
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>> | undefined;
}

/** A piece of a model's thinking, in its service's own form, which nobody else reads. */
export interface Thought {
  /** Who may be sent it: a service, its model and key, as one name. */
  readonly by: string;
  /** Where in the answer it stood: after so many characters (UTF-16) of its text and so many of its calls. */
  readonly text: number;
  readonly calls: number;
  readonly block: Readonly<Record<string, unknown>>;
}

/**
 * One step of the conversation, oldest first. After an assistant's item with calls comes one tool
 * item for each of them, before anything else: the services refuse a call without its result.
 */
export type Item =
  | { readonly role: "user"; readonly text: string; readonly pictures?: readonly Picture[] }
  | {
      readonly role: "assistant";
      readonly text: string;
      readonly calls: readonly ToolCall[];
      /** As it came. Whoever keeps the calls keeps it with them, or leaves all of it out. */
      readonly thinking?: readonly Thought[];
    }
  | {
      readonly role: "tool";
      /** The id of the call. */
      readonly call: string;
      readonly name: string;
      readonly text: string;
      readonly failed?: boolean;
      readonly pictures: readonly Picture[];
    };

/** Something the model may ask for. */
export interface Tool {
  /** Letters, digits, `_` and `-` only, at most 64: all that the services allow. */
  readonly name: string;
  readonly description: string;
  /** JSON Schema of an object. */
  readonly schema: Readonly<Record<string, unknown>>;
}

export interface ModelRequest {
  readonly system: string;
  readonly items: readonly Item[];
  readonly tools: readonly Tool[];
  /** Of the answer, beside what it thinks. */
  readonly maxTokens: number;
}

export type ModelEvent =
  /** The next piece of the text. */
  | { readonly type: "text"; readonly text: string }
  /** All that it thought, in its order, at most once and 64 KiB; of more nothing is told. */
  | { readonly type: "thinking"; readonly thoughts: readonly Thought[] }
  /** A call, whole, in the model's order. */
  | { readonly type: "call"; readonly call: ToolCall }
  /**
   * Tokens of this request, at most once, and the name of the model that answered. `input` counts those that came
   * from the cache (`cached`) too.
   */
  | {
      readonly type: "usage";
      readonly model: string;
      readonly input: number;
      readonly cached: number;
      readonly output: number;
    }
  /**
   * Exactly once, last. `calls`: it waits for results. `length`: cut at `maxTokens` or at the
   * model's window; a call that was being written is not told. `refused`: it would not answer.
   */
  | { readonly type: "end"; readonly why: "done" | "calls" | "length" | "refused" };

/** One model of one service. */
export interface Provider {
  /**
   * Asks once, and answers while it comes. At most 256 KiB of text and 64 calls.
   * Nothing of it is trusted: what the server sends was checked for its type and size, no more.
   * @throws ModelFailure; aborting rejects at once, with the signal's reason
   */
  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent>;
  /** Where it stands for the models of config.yaml: each, in their order. */
  choices?(): readonly Choice[];
}

/** One of several models, and how it is. */
export interface Choice {
  readonly name: string;
  /** Whose it is, such as `anthropic`. */
  readonly kind: string;
  /** Asks this one, whatever its state, which its answer changes. */
  readonly provider: Provider;
  /** `resting`: asked again in `restMs`. `out`: its key or name is wrong, and it is not asked before the next start. */
  readonly state: "well" | "resting" | "out";
  readonly why?: string;
  readonly restMs?: number;
}

type ModelCode = Extract<ErrorCode, `model-${string}`>;

/**
 * The model gave no (whole) answer. Nobody tries again below this: the SDKs have, where the service
 * asked for it (twice for 429 and 5xx).
 */
export class ModelFailure extends KithError {
  declare readonly code: ModelCode;
  /** The same question may be answered later. Whoever saw a part of this answer sees another in its place. */
  readonly retryable: boolean;
  /** What the service asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ModelCode, message: string, retryable: boolean, retryAfterMs?: number) {
    super(code, message);
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

/** `openai` is the Responses interface, `openai-compatible` Chat Completions (LM Studio, vLLM, llama.cpp, OpenRouter). */
export type ProviderKind = "anthropic" | "openai" | "openai-compatible" | "ollama";

export interface ProviderOptions {
  readonly provider: ProviderKind;
  /** The model, as the service calls it. */
  readonly name: string;
  /** Anthropic: without `/v1`; both OpenAI kinds: with it; Ollama: without `/api`. Default: the service's own. */
  readonly baseUrl?: string;
  /** Services on this machine mostly need none. */
  readonly apiKey?: Secret;
  readonly counted?: Counted;
  /** How much it thinks; left out, as much as the service has it. A model that cannot is asked without. */
  readonly effort?: Effort;
}

export const efforts = ["low", "medium", "high"] as const;
export type Effort = (typeof efforts)[number];

/** Told of each request to a host and of each piece that came of an answer; see egress/register.ts. */
export type Counted = (host: string, requests: number, bytes: number) => void;
