/** OpenAI's Responses interface, through its SDK. Nothing is kept there: each request has all items. */
import type OpenAI from "openai";
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Provider } from "../provider.ts";
import { type Raw, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import { type Service, toldFailure } from "./failure.ts";
import { openClient } from "./openai-client.ts";
import { argsText, dataUrl, resultText, shown } from "./item.ts";
import { THOUGHT_TOKENS, Thoughts, partsOf, thinking } from "./thoughts.ts";

type Input = OpenAI.Responses.ResponseInputItem;

export async function openResponses(service: Service, baseUrl: string): Promise<Provider> {
  const client = await openClient(service, baseUrl);
  const ask = thinking((request: ModelRequest, thinks, signal) =>
    client.responses.create(toBody(service, request, thinks), { signal }),
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

function toBody(
  { model, by, effort }: Service,
  { system, items, tools, maxTokens }: ModelRequest,
  thinks: boolean,
): OpenAI.Responses.ResponseCreateParamsStreaming {
  return {
    model,
    instructions: system,
    max_output_tokens: thinks ? maxTokens + THOUGHT_TOKENS : maxTokens,
    store: false,
    stream: true,
    ...(thinks && { include: ["reasoning.encrypted_content" as const] }),
    ...(thinks && effort && { reasoning: { effort } }),
    input: items.flatMap((item) => toInput(item, thinks ? by : undefined)),
    tools: tools.map(({ name, description, schema }) => ({
      type: "function",
      name,
      description,
      parameters: { ...schema, type: "object" },
      // Strict ones permit no optional argument.
      strict: false,
    })),
  };
}

function toInput(item: Item, by: string | undefined): Input[] {
  if (item.role === "assistant")
    return partsOf(item, by).map((part) => {
      if ("thought" in part) return part.thought as unknown as v.InferOutput<typeof reasoning>;
      if ("text" in part) return { role: "assistant", content: part.text };
      const { id, name } = part.call;
      return { type: "function_call", call_id: id, name, arguments: argsText(part.call) };
    });
  const { text: words, pictures, pdfs } = shown(item, true);
  const text = item.role === "tool" ? resultText(item.failed, words) : words;
  const files = [
    ...pictures.map((picture) => ({
      type: "input_image" as const,
      detail: "auto" as const,
      image_url: dataUrl(picture),
    })),
    ...pdfs.map((pdf) => ({
      type: "input_file" as const,
      filename: pdf.name ?? "file.pdf",
      file_data: dataUrl(pdf),
    })),
  ];
  const content = files.length > 0 ? [{ type: "input_text" as const, text }, ...files] : text;
  return item.role === "user"
    ? [{ role: "user", content }]
    : [{ type: "function_call_output", call_id: item.call, output: content }];
}

const piece = v.object({ delta: v.string() });

const itemDone = v.object({ item: v.object({ type: v.string(), status: v.nullish(v.string()) }) });
const functionCall = v.object({
  item: v.object({ call_id: v.string(), name: v.string(), arguments: v.string() }),
});

/** Without its encrypted form nothing is kept of it there. */
const reasoning = v.object({
  type: v.literal("reasoning"),
  id: v.string(),
  encrypted_content: v.string(),
  summary: v.array(v.object({ type: v.literal("summary_text"), text: v.string() })),
});

const ended = v.object({
  response: v.object({
    incomplete_details: v.nullish(v.object({ reason: v.nullish(v.string()) })),
    usage: v.nullish(
      v.object({
        input_tokens: tokens,
        input_tokens_details: v.nullish(v.object({ cached_tokens: tokens })),
        output_tokens: tokens,
      }),
    ),
  }),
});

const failed = v.object({ response: v.object({ error: v.optional(v.unknown()) }) });

async function* read(service: Service, raw: Raw): AsyncGenerator<ModelEvent> {
  const calls = new Calls(service);
  const thoughts = new Thoughts(service.by);
  let said = 0;
  let refused = false;
  for await (const event of raw) {
    const { type } = checked(service, v.object({ type: v.string() }), event);
    switch (type) {
      case "response.refusal.delta":
      case "response.output_text.delta": {
        refused ||= type === "response.refusal.delta";
        const { delta } = checked(service, piece, event);
        said += delta.length;
        yield { type: "text", text: delta };
        break;
      }
      case "response.output_item.done": {
        const { item } = checked(service, itemDone, event);
        const thought = v.safeParse(v.object({ item: reasoning }), event);
        if (thought.success) thoughts.add(thought.output.item, { text: said, calls: calls.size });
        // One that was cut has a status of its own.
        if (item.type !== "function_call" || item.status === "incomplete") break;
        const { call_id, name, arguments: args } = checked(service, functionCall, event).item;
        calls.add(call_id, name, args);
        break;
      }
      case "response.completed":
      case "response.incomplete": {
        const { usage, incomplete_details } = checked(service, ended, event).response;
        const isFiltered = incomplete_details?.reason === "content_filter";
        const cut = type === "response.incomplete" ? "length" : "done";
        yield* thoughts.end();
        yield* calls.end(
          refused || isFiltered ? "refused" : cut,
          usage
            ? {
                input: usage.input_tokens,
                cached: usage.input_tokens_details?.cached_tokens ?? 0,
                output: usage.output_tokens,
              }
            : undefined,
        );
        return;
      }
      case "response.failed":
        throw toldFailure(service, checked(service, failed, event).response.error);
      default: // The same again in other events, and what is yet to be invented.
    }
  }
}
