/**
 * Ollama's own interface. Its OpenAI form has no `num_ctx`, and without it a conversation is cut
 * silently where the default window ends.
 */
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Provider } from "../provider.ts";
import { type Raw, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import { type Service, statusFailure, toldFailure } from "./failure.ts";
import { base64, resultText } from "./item.ts";

export function openOllama(service: Service, baseUrl: string): Provider {
  return {
    stream: (request, signal) =>
      answer(
        service,
        signal,
        (signal) => ask(service, `${baseUrl}/api/chat`, toBody(service.model, request), signal),
        (raw) => read(service, raw),
      ),
  };
}

async function ask(service: Service, url: string, body: object, signal: AbortSignal): Promise<Raw> {
  const headers = {
    "content-type": "application/json",
    ...service.key?.use((key) => ({ authorization: `Bearer ${key}` })),
  };
  const response = await service.fetch(url, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok) return lines(response);
  throw statusFailure(service, response.status, parsed(await response.text()), response.headers);
}

async function* lines({ body }: Response): AsyncGenerator {
  let rest = "";
  for await (const text of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const [first = "", ...more] = text.split("\n");
    rest += first;
    for (const next of more) {
      if (rest.trim() !== "") yield parsed(rest);
      rest = next;
    }
  }
  // What has no end of line was cut.
}

/** What is no JSON is taken for text, which is no answer, but may be a proxy's words. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function toBody(model: string, { system, items, tools, maxTokens }: ModelRequest) {
  const messages = [
    ...(system ? [{ role: "system", content: system }] : []),
    ...items.map(toMessage),
  ];
  const offered = tools.map(({ name, description, schema }) => ({
    type: "function",
    function: { name, description, parameters: { ...schema, type: "object" } },
  }));
  const length = JSON.stringify([system, items.map(({ text }) => text), offered]).length;
  const pictures = items.flatMap((item) => (item.role === "tool" ? item.pictures : [])).length;
  return {
    model,
    messages,
    tools: offered,
    stream: true,
    options: {
      num_predict: maxTokens,
      num_ctx: windowFor(length / CHARS_PER_TOKEN + pictures * PICTURE_TOKENS + maxTokens),
    },
  };
}

/** Fewer than text in any language that we know of has. */
const CHARS_PER_TOKEN = 2.5;
const PICTURE_TOKENS = 1_500;

/** In steps, as Ollama loads the model anew for another window. A model's own limit is Ollama's to know. */
function windowFor(tokens: number): number {
  let window = 8_192;
  while (window < tokens && window < 131_072) window *= 2;
  return window;
}

function toMessage(item: Item): object {
  switch (item.role) {
    case "user":
      return { role: "user", content: item.text };
    case "assistant":
      return {
        role: "assistant",
        content: item.text,
        ...(item.calls.length > 0 && {
          tool_calls: item.calls.map(({ name, args }) => ({
            function: { name, arguments: args ?? {} },
          })),
        }),
      };
    case "tool":
      return {
        role: "tool",
        tool_name: item.name,
        content: resultText(item),
        ...(item.pictures.length > 0 && { images: item.pictures.map(base64) }),
      };
  }
}

const line = v.object({
  error: v.optional(v.unknown()),
  message: v.optional(
    v.object({
      content: v.optional(v.string(), ""),
      tool_calls: v.nullish(
        v.array(
          v.object({
            function: v.object({ name: v.string(), arguments: v.optional(v.unknown()) }),
          }),
        ),
      ),
    }),
  ),
  done: v.optional(v.boolean(), false),
  done_reason: v.optional(v.string()),
  prompt_eval_count: tokens,
  eval_count: tokens,
});

async function* read(service: Service, raw: Raw): AsyncGenerator<ModelEvent> {
  const calls = new Calls(service);
  for await (const event of raw) {
    const { error, message, done, ...last } = checked(service, line, event);
    if (error !== undefined) throw toldFailure(service, error);
    if (message) yield { type: "text", text: message.content };
    // They come whole and have no id.
    for (const { function: made } of message?.tool_calls ?? [])
      calls.add(undefined, made.name, made.arguments);
    if (!done) continue;
    yield* calls.end(last.done_reason === "length" ? "length" : "done", {
      input: last.prompt_eval_count,
      cached: 0,
      output: last.eval_count,
    });
    return;
  }
}
