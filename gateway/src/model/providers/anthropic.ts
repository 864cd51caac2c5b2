/** Anthropic's Messages interface, through its SDK. */
import type Anthropic from "@anthropic-ai/sdk";
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Provider } from "../provider.ts";
import { type Raw, TEXT_BYTES, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import type { Service } from "./failure.ts";
import { base64, shown } from "./item.ts";
import { THOUGHT_TOKENS, Thoughts, partsOf, thinking } from "./thoughts.ts";

type Message = Anthropic.MessageParam & { content: Anthropic.ContentBlockParam[] };

/** Of the interface, as the SDK sends it. */
export const VERSION = "2026-10-21";
const CACHED = { cache_control: { type: "ephemeral" } } as const;

export async function openAnthropic(service: Service, baseUrl: string): Promise<Provider> {
  const sdk = await import("@anthropic-ai/sdk");
  const client = new sdk.default({
    baseURL: baseUrl,
    // With one, none is looked for in the environment and in the SDK's own files.
    apiKey: "none",
    fetch: service.fetch({ "anthropic-version": VERSION }),
    // It would print what it cannot parse.
    logLevel: "off",
    openTelemetry: false,
  });
  const ask = thinking((request: ModelRequest, thinks, signal) =>
    client.messages.create(toBody(service, request, thinks), { signal }),
  );
  return {
    stream: (request, signal) =>
      answer(
        service,
        signal,
        (signal) => ask(request, signal),
        (raw) => read(service, raw),
      ),
  };
}

/**
 * The cache holds prefixes, in the order tools, system, messages. Four marks, which is all that are permitted: what
 * changes with the system's text leaves the tools cached, and each request begins where the last one ended. That
 * place is marked again, since it is looked for twenty blocks back only, and an answer may have more.
 */
function toBody(
  { model, by, effort }: Service,
  { system, items, tools, maxTokens }: ModelRequest,
  thinks: boolean,
): Anthropic.MessageCreateParamsStreaming {
  const messages = toMessages(items, thinks ? by : undefined);
  for (const { content } of messages.filter(({ role }) => role === "user").slice(-2))
    Object.assign(content.at(-1) ?? {}, CACHED);
  return {
    model,
    max_tokens: thinks ? maxTokens + THOUGHT_TOKENS : maxTokens,
    stream: true,
    messages,
    ...(thinks && { thinking: { type: "adaptive" } }),
    ...(thinks && effort && { output_config: { effort } }),
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
function toMessages(items: readonly Item[], by: string | undefined): Message[] {
  const messages: Message[] = [];
  for (const item of items) {
    const content = toBlocks(item, by);
    // Empty ones are refused.
    if (content.length === 0) continue;
    const role = item.role === "assistant" ? "assistant" : "user";
    const last = messages.at(-1);
    if (last?.role === role) last.content.push(...content);
    else messages.push({ role, content });
  }
  return messages;
}

function toBlocks(item: Item, by: string | undefined): Anthropic.ContentBlockParam[] {
  if (item.role === "assistant")
    return partsOf(item, by).map((part) => {
      if ("thought" in part) return part.thought as unknown as v.InferOutput<typeof thought>;
      if ("text" in part) return { type: "text", text: part.text };
      const { id, name, args } = part.call;
      return { type: "tool_use", id, name, input: args ?? {} };
    });
  const { text, pictures, pdfs } = shown(item, true);
  const content = [
    ...(text ? [{ type: "text" as const, text }] : []),
    ...pictures.map((picture) => ({
      type: "image" as const,
      source: {
        type: "base64" as const,
        // Another type is the service's to refuse.
        media_type: picture.type as "image/jpeg",
        data: base64(picture),
      },
    })),
    ...pdfs.map((pdf) => ({
      type: "document" as const,
      ...(pdf.name && { title: pdf.name }),
      source: {
        type: "base64" as const,
        media_type: "application/pdf" as const,
        data: base64(pdf),
      },
    })),
  ];
  if (item.role === "user") return content;
  return [
    {
      type: "tool_result",
      tool_use_id: item.call,
      ...(content.length > 0 && { content }),
      ...(item.failed && { is_error: true }),
    },
  ];
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

/** The two forms of thinking; the first is written in pieces. */
const thought = v.variant("type", [
  v.object({
    type: v.literal("thinking"),
    thinking: v.optional(v.string(), ""),
    signature: v.optional(v.string(), ""),
  }),
  v.object({ type: v.literal("redacted_thinking"), data: v.string() }),
]);
const thoughtBlock = v.object({ content_block: thought });

const piece = v.optional(v.string(), "");
const delta = v.object({
  index,
  delta: v.object({
    type: v.string(),
    text: piece,
    partial_json: piece,
    thinking: piece,
    signature: piece,
  }),
});

const stopping = v.object({
  delta: v.object({ stop_reason: v.nullish(v.string()) }),
  usage: v.optional(v.object({ output_tokens: tokens })),
});

async function* read(service: Service, raw: Raw): AsyncGenerator<ModelEvent> {
  const calls = new Calls(service);
  const thoughts = new Thoughts(service.by);
  let said = 0;
  let thinks: v.InferOutput<typeof thought> | undefined;
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
        if (content_block.type.endsWith("thinking"))
          thinks = checked(service, thoughtBlock, event).content_block;
        writesCall = content_block.type === "tool_use";
        if (!writesCall) break;
        const { id, name } = checked(service, toolUse, event).content_block;
        calls.begin(index, id, name);
        break;
      }
      case "content_block_delta": {
        const { index, delta: piece } = checked(service, delta, event);
        said += piece.text.length;
        if (piece.type === "text_delta") yield { type: "text", text: piece.text };
        if (piece.type === "input_json_delta") calls.append(index, piece.partial_json);
        if (thinks?.type === "thinking") {
          // No longer than a whole answer may be; what is too long to be kept is dropped at its end.
          if (thinks.thinking.length < TEXT_BYTES) thinks.thinking += piece.thinking;
          if (thinks.signature.length < TEXT_BYTES) thinks.signature += piece.signature;
        }
        break;
      }
      case "content_block_stop":
        // What is not signed was cut, and is not taken back.
        if (thinks && (thinks.type === "redacted_thinking" || thinks.signature))
          thoughts.add(thinks, { text: said, calls: calls.size });
        thinks = undefined;
        break;
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
        yield* thoughts.end();
        yield* calls.end(why, { input, cached, output });
        return;
      }
      default: // Pings, and what is yet to be invented.
    }
  }
}

function meaning(stop: string | null | undefined): "done" | "length" | "refused" {
  if (stop === "max_tokens" || stop === "model_context_window_exceeded") return "length";
  return stop === "refusal" ? "refused" : "done";
}
