/** Anthropic's Messages interface, through its SDK. */
import type Anthropic from "@anthropic-ai/sdk";
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Provider } from "../provider.ts";
import { type Raw, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import type { Service } from "./failure.ts";
import { base64 } from "./item.ts";

type Message = Anthropic.MessageParam & { content: Anthropic.ContentBlockParam[] };

const CACHED = { cache_control: { type: "ephemeral" } } as const;

export async function openAnthropic(service: Service, baseUrl: string): Promise<Provider> {
  const sdk = await import("@anthropic-ai/sdk");
  const client = new sdk.default({
    baseURL: baseUrl,
    // With one, if empty, none is looked for in the environment and in the SDK's own files.
    apiKey: service.key?.use((key) => key) ?? "",
    ...(!service.key && { defaultHeaders: { Authorization: null } }),
    fetch: service.fetch,
    // It would print what it cannot parse.
    logLevel: "off",
    openTelemetry: false,
  });
  return {
    stream: (request, signal) =>
      answer(
        service,
        signal,
        (signal) => client.messages.create(toBody(service.model, request), { signal }),
        (raw) => read(service, raw),
      ),
  };
}

/**
 * The cache holds prefixes, in the order tools, system, messages. Three marks: what changes with
 * the system's text leaves the tools cached, and each turn begins where the last one ended.
 */
function toBody(model: string, request: ModelRequest): Anthropic.MessageCreateParamsStreaming {
  const { system, items, tools, maxTokens } = request;
  const messages = toMessages(items);
  const last = messages.at(-1)?.content.at(-1);
  if (last) Object.assign(last, CACHED);
  return {
    model,
    max_tokens: maxTokens,
    stream: true,
    messages,
    ...(system && { system: [{ type: "text", text: system, ...CACHED }] }),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, schema }, at) => ({
        name,
        description,
        input_schema: { ...schema, type: "object" },
        ...(at === tools.length - 1 && CACHED),
      })),
    }),
  };
}

/** One message for all that one side says in a row: results must be together, in one of the user. */
function toMessages(items: readonly Item[]): Message[] {
  const messages: Message[] = [];
  for (const item of items) {
    const content = toBlocks(item);
    // Empty ones are refused.
    if (content.length === 0) continue;
    const role = item.role === "assistant" ? "assistant" : "user";
    const last = messages.at(-1);
    if (last?.role === role) last.content.push(...content);
    else messages.push({ role, content });
  }
  return messages;
}

function toBlocks(item: Item): Anthropic.ContentBlockParam[] {
  const text = item.text ? [{ type: "text" as const, text: item.text }] : [];
  switch (item.role) {
    case "user":
      return text;
    case "assistant":
      return [
        ...text,
        ...item.calls.map(({ id, name, args }) => ({
          type: "tool_use" as const,
          id,
          name,
          input: args ?? {},
        })),
      ];
    case "tool": {
      const pictures = item.pictures.map((picture) => ({
        type: "image" as const,
        source: {
          type: "base64" as const,
          // Another type is the service's to refuse.
          media_type: picture.type as "image/jpeg",
          data: base64(picture),
        },
      }));
      const content = [...text, ...pictures];
      return [
        {
          type: "tool_result",
          tool_use_id: item.call,
          ...(content.length > 0 && { content }),
          ...(item.failed && { is_error: true }),
        },
      ];
    }
  }
}

const index = v.pipe(v.number(), v.safeInteger());

const started = v.object({
  message: v.object({
    usage: v.object({
      input_tokens: tokens,
      cache_creation_input_tokens: tokens,
      cache_read_input_tokens: tokens,
    }),
  }),
});

const block = v.object({ index, content_block: v.object({ type: v.string() }) });
const toolUse = v.object({ content_block: v.object({ id: v.string(), name: v.string() }) });

const delta = v.object({
  index,
  delta: v.object({
    type: v.string(),
    text: v.optional(v.string(), ""),
    partial_json: v.optional(v.string(), ""),
  }),
});

const stopping = v.object({
  delta: v.object({ stop_reason: v.nullish(v.string()) }),
  usage: v.optional(v.object({ output_tokens: tokens })),
});

async function* read(service: Service, raw: Raw): AsyncGenerator<ModelEvent> {
  const calls = new Calls(service);
  let input = 0;
  let cached = 0;
  let output = 0;
  let writesCall = false;
  let stop: string | null | undefined;
  for await (const event of raw) {
    const { type } = checked(service, v.object({ type: v.string() }), event);
    switch (type) {
      case "message_start": {
        const { usage } = checked(service, started, event).message;
        cached = usage.cache_read_input_tokens;
        input = usage.input_tokens + usage.cache_creation_input_tokens + cached;
        break;
      }
      case "content_block_start": {
        const { index, content_block } = checked(service, block, event);
        writesCall = content_block.type === "tool_use";
        if (!writesCall) break;
        const { id, name } = checked(service, toolUse, event).content_block;
        calls.begin(index, id, name);
        break;
      }
      case "content_block_delta": {
        const { index, delta: piece } = checked(service, delta, event);
        if (piece.type === "text_delta") yield { type: "text", text: piece.text };
        if (piece.type === "input_json_delta") calls.append(index, piece.partial_json);
        break;
      }
      case "message_delta": {
        const { delta, usage } = checked(service, stopping, event);
        stop = delta.stop_reason ?? stop;
        output = usage?.output_tokens ?? output;
        break;
      }
      case "message_stop": {
        const why = meaning(stop);
        // A block that was cut is closed like any other.
        if (why === "length" && writesCall) calls.dropLast();
        yield* calls.end(why, { input, cached, output });
        return;
      }
      default: // Pings, thinking, and what is yet to be invented.
    }
  }
}

function meaning(stop: string | null | undefined): "done" | "length" | "refused" {
  if (stop === "max_tokens" || stop === "model_context_window_exceeded") return "length";
  return stop === "refusal" ? "refused" : "done";
}
