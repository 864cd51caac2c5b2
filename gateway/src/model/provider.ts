/**
 * A language model behind one interface: a request in the model's own order, and what it answers as
 * it comes. No provider of these executes, permits or remembers anything; that is the session's work.
 *
 *     request ──▶ text* call* usage? ──▶ end          or ModelFailure at any place
 */
import { type ErrorCode, KithError } from "@kith/shared/errors";
import type { Secret } from "../secret.ts";

/** What a capability brought, as the model may look at it. */
export interface Picture {
  /** Its media type: `image/jpeg`, `image/png`, `image/webp`. */
  readonly type: string;
  readonly data: Uint8Array;
}

/** `args`: as the model wrote them; undefined where they were no JSON object. */
export interface ToolCall {
  /** The provider's, unique within one answer; a result names it. */
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>> | undefined;
}

/**
 * One step of the conversation, oldest first. After an assistant's item with calls comes one tool
 * item for each of them, before anything else: the services refuse a call without its result.
 */
export type Item =
  | { readonly role: "user"; readonly text: string }
  | { readonly role: "assistant"; readonly text: string; readonly calls: readonly ToolCall[] }
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
  /** Of the answer. */
  readonly maxTokens: number;
}

export type ModelEvent =
  /** The next piece of the text. */
  | { readonly type: "text"; readonly text: string }
  /** A call, whole, in the model's order. */
  | { readonly type: "call"; readonly call: ToolCall }
  /** Tokens of this request, at most once. `input` counts those that came from the cache (`cached`) too. */
  | {
      readonly type: "usage";
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
}

type ModelCode = Extract<ErrorCode, `model-${string}`>;

/**
 * The model gave no (whole) answer. Nobody tries again below this: the SDKs have, where the service
 * asked for it (twice for 429 and 5xx).
 */
export class ModelFailure extends KithError {
  /** Nothing of the answer was seen yet, or the provider says: try again. */
  readonly retryable: boolean;

  constructor(code: ModelCode, message: string, retryable: boolean) {
    super(code, message);
    this.retryable = retryable;
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
}

/** Told of each request to a host and of each piece that came of an answer; see egress/register.ts. */
export type Counted = (host: string, requests: number, bytes: number) => void;
