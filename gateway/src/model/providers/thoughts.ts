/**
 * What a model thought on its way to an answer. It goes back unchanged, in its place, to whoever made it: a model
 * that lost it goes on from its calls without knowing why it made them. To leave it out is always permitted.
 */
import type { Item, ModelEvent, ModelRequest, Thought, ToolCall } from "../provider.ts";
import type { Raw } from "./answer.ts";

/** Of one answer, as JSON. Of more nothing is kept: a part of it is what the services refuse. */
const THOUGHTS_BYTES = 64 * 1_024;

/** What a model may think, where the service counts it as a part of the answer. */
export const THOUGHT_TOKENS = 8_192;

/** Those of one answer, gathered while it comes. */
export class Thoughts {
  readonly #by: string;
  readonly #all: Thought[] = [];
  #bytes = 0;

  constructor(by: string) {
    this.#by = by;
  }

  /** `after`: what came before it, in characters of text and in calls. */
  add(block: Thought["block"], after: { readonly text: number; readonly calls: number }): void {
    this.#bytes += Buffer.byteLength(JSON.stringify(block));
    if (this.#bytes > THOUGHTS_BYTES) this.#all.length = 0;
    else this.#all.push({ by: this.#by, ...after, block });
  }

  *end(): Generator<ModelEvent> {
    if (this.#all.length > 0 && this.#bytes <= THOUGHTS_BYTES)
      yield { type: "thinking", thoughts: this.#all };
  }
}

type Part =
  | { readonly thought: Thought["block"] }
  | { readonly text: string }
  | { readonly call: ToolCall };

/**
 * An answer in the order in which it was made. Only thoughts of `by` are in it, and none at its end: what they led
 * to was cut, and the services want something after each.
 */
export function partsOf(item: Extract<Item, { role: "assistant" }>, by?: string): Part[] {
  const { text, calls, thinking = [] } = item;
  const parts: Part[] = [];
  let said = 0;
  let made = 0;
  const upTo = (chars: number, count: number) => {
    const piece = text.slice(said, chars);
    if (piece !== "") parts.push({ text: piece });
    parts.push(...calls.slice(made, count).map((call) => ({ call })));
    said = Math.max(said, chars);
    made = Math.max(made, count);
  };
  for (const one of thinking) {
    if (one.by !== by) continue;
    upTo(one.text, one.calls);
    parts.push({ thought: one.block });
  }
  upTo(text.length, calls.length);
  return parts.slice(0, parts.findLastIndex((part) => !("thought" in part)) + 1);
}

/**
 * Asks a model to think, and once more without where the service refuses that. Where it says that the model does
 * not support it, it is not tried again.
 */
export function thinking(
  ask: (request: ModelRequest, thinks: boolean, signal: AbortSignal) => Promise<Raw>,
): (request: ModelRequest, signal: AbortSignal) => Promise<Raw> {
  let thinks = true;
  return async (request, signal) => {
    try {
      return await ask(request, thinks, signal);
    } catch (why) {
      const { status, code, message } = why as Readonly<Record<string, unknown>>;
      const refused = status === 400 || code === "model-refused";
      const words = String(message);
      if (!thinks || !refused || !/think|reason|encrypted|effort/i.test(words)) throw why;
      thinks = !/support/i.test(words);
      return ask(request, false, signal);
    }
  };
}
