/** OpenAI's Responses interface, through its SDK. Nothing is kept there: each request has all items. */
import type OpenAI from "openai";
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Provider } from "../provider.ts";
import { type Raw, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import { type Service, toldFailure } from "./failure.ts";
import { openClient } from "./openai-client.ts";
import { argsText, dataUrl, resultText } from "./item.ts";

type Input = OpenAI.Responses.ResponseInputItem;

export async function openResponses(service: Service, baseUrl: string): Promise<Provider> {
  const client = await openClient(service, baseUrl);
  return {
    stream: (request, signal) =>
      answer(
        service,
        signal,
        (signal) => client.responses.create(toBody(service.model, request), { signal }),
        (raw) => read(service, raw),
      ),
  };
}

function toBody(
  model: string,
  { system, items, tools, maxTokens }: ModelRequest,
): OpenAI.Responses.ResponseCreateParamsStreaming {
  return {
    model,
    instructions: system,
    max_output_tokens: maxTokens,
    store: false,
    stream: true,
    input: items.flatMap(toInput),
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

function toInput(item: Item): Input[] {
  switch (item.role) {
    case "user":
      return [{ role: "user", content: item.text }];
    case "assistant":
      return [
        ...(item.text ? [{ role: "assistant" as const, content: item.text }] : []),
        ...item.calls.map((call) => ({
          type: "function_call" as const,
          call_id: call.id,
          name: call.name,
          arguments: argsText(call),
        })),
      ];
    case "tool": {
      const text = resultText(item);
      const pictures = item.pictures.map((picture) => ({
        type: "input_image" as const,
        image_url: dataUrl(picture),
      }));
      return [
        {
          type: "function_call_output",
          call_id: item.call,
          output: pictures.length > 0 ? [{ type: "input_text", text }, ...pictures] : text,
        },
      ];
    }
  }
}

const piece = v.object({ delta: v.string() });

const itemDone = v.object({ item: v.object({ type: v.string(), status: v.nullish(v.string()) }) });
const functionCall = v.object({
  item: v.object({ call_id: v.string(), name: v.string(), arguments: v.string() }),
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
  let refused = false;
  for await (const event of raw) {
    const { type } = checked(service, v.object({ type: v.string() }), event);
    switch (type) {
      case "response.refusal.delta":
      case "response.output_text.delta":
        refused ||= type === "response.refusal.delta";
        yield { type: "text", text: checked(service, piece, event).delta };
        break;
      case "response.output_item.done": {
        const { item } = checked(service, itemDone, event);
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
      default: // The same again in other events, reasoning, and what is yet to be invented.
    }
  }
}
