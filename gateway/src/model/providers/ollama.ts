/**
 * Ollama's own interface. Its OpenAI form has no `num_ctx`, and without it a conversation is cut
 * silently where the default window ends.
 */
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Provider } from "../provider.ts";
import { type Raw, TEXT_BYTES, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import { type Service, statusFailure, toldFailure } from "./failure.ts";
import { base64, resultText, shown } from "./item.ts";
import { Thoughts, thinking } from "./thoughts.ts";

export function openOllama(service: Service, baseUrl: string): Provider {
  const url = `${baseUrl}/api/chat`;
  const asking = thinking((request: ModelRequest, thinks, signal) =>
    ask(service, url, toBody(service, request, thinks), signal),
  );
  return {
    stream: (request, signal) =>
      answer(
        service,
        signal,
        (signal) => asking(request, signal),
        (raw) => read(service, raw),
      ),
  };
}

async function ask(service: Service, url: string, body: object, signal: AbortSignal): Promise<Raw> {
  const fetch = service.fetch();
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body), signal });
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

function toBody(
  { model, by, effort }: Service,
  { system, items, tools, maxTokens }: ModelRequest,
  thinks: boolean,
) {
  const messages: Message[] = [
    ...(system ? [{ role: "system", content: system }] : []),
    ...items.map((item) => toMessage(item, thinks ? by : undefined)),
  ];
  const offered = tools.map(({ name, description, schema }) => ({
    type: "function",
    function: { name, description, parameters: { ...schema, type: "object" } },
  }));
  const length = JSON.stringify([messages.map(({ content }) => content), offered]).length;
  const pictures = messages.flatMap(({ images = [] }) => images).length;
  return {
    model,
    messages,
    tools: offered,
    stream: true,
    // Left out, it is as the model has it.
    ...(thinks && effort && { think: effort }),
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

interface Message {
  readonly role: string;
  readonly content: string;
  readonly images?: readonly string[];
}

function toMessage(item: Item, by: string | undefined): Message {
  if (item.role === "assistant")
    return {
      role: "assistant",
      content: item.text,
      ...item.thinking?.find((one) => one.by === by)?.block,
      ...(item.calls.length > 0 && {
        tool_calls: item.calls.map(({ name, args }) => ({
          function: { name, arguments: args ?? {} },
        })),
      }),
    };
  const { text, pictures } = shown(item, false);
  return {
    role: item.role,
    ...(item.role === "tool" && { tool_name: item.name }),
    content: item.role === "tool" ? resultText(item.failed, text) : text,
    ...(pictures.length > 0 && { images: pictures.map(base64) }),
  };
}

const line = v.object({
  error: v.optional(v.unknown()),
  message: v.optional(
    v.object({
      content: v.optional(v.string(), ""),
      thinking: v.optional(v.string(), ""),
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
  const thoughts = new Thoughts(service.by);
  let thought = "";
  for await (const event of raw) {
    const { error, message, done, ...last } = checked(service, line, event);
    if (error !== undefined) throw toldFailure(service, error);
    if (thought.length < TEXT_BYTES) thought += message?.thinking ?? "";
    if (message) yield { type: "text", text: message.content };
    // They come whole and have no id.
    for (const { function: made } of message?.tool_calls ?? [])
      calls.add(undefined, made.name, made.arguments);
    if (!done) continue;
    if (thought !== "") thoughts.add({ thinking: thought }, { text: 0, calls: 0 });
    yield* thoughts.end();
    yield* calls.end(last.done_reason === "length" ? "length" : "done", {
      input: last.prompt_eval_count,
      cached: 0,
      output: last.eval_count,
    });
    return;
  }
}
