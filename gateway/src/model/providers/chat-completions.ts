/** OpenAI's Chat Completions as LM Studio, vLLM, llama.cpp and OpenRouter speak them, through OpenAI's SDK. */
import type OpenAI from "openai";
import * as v from "valibot";
import type { Item, ModelEvent, ModelRequest, Picture, Provider } from "../provider.ts";
import { type Raw, answer, checked, tokens } from "./answer.ts";
import { Calls } from "./calls.ts";
import type { Service } from "./failure.ts";
import { openClient } from "./openai-client.ts";
import { argsText, dataUrl, resultText, shown } from "./item.ts";
import { thinking } from "./thoughts.ts";

type Message = OpenAI.ChatCompletionMessageParam;

export async function openChatCompletions(service: Service, baseUrl: string): Promise<Provider> {
  const client = await openClient(service, baseUrl);
  const ask = thinking((request: ModelRequest, thinks, signal) =>
    client.chat.completions.create(toBody(service, request, thinks), { signal }),
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
  { model, effort }: Service,
  { system, items, tools, maxTokens }: ModelRequest,
  thinks: boolean,
): OpenAI.ChatCompletionCreateParamsStreaming {
  return {
    model,
    // Deprecated at OpenAI, but the name that the others know.
    max_tokens: maxTokens,
    stream: true,
    stream_options: { include_usage: true },
    ...(thinks && effort && { reasoning_effort: effort }),
    messages: [
      ...(system ? [{ role: "system" as const, content: system }] : []),
      ...toMessages(items),
    ],
    // An empty list is refused by some.
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, schema }) => ({
        type: "function" as const,
        function: { name, description, parameters: { ...schema, type: "object" } },
      })),
    }),
  };
}

/**
 * A result has no room for pictures: they come as the user's, after the last result of a row,
 * because nothing may stand between those. With the user's next words they are one message, since
 * the templates of some models want the sides to take turns.
 */
function toMessages(items: readonly Item[]): Message[] {
  const messages: Message[] = [];
  let pictures: Picture[] = [];
  const show = (text: string) => {
    messages.push({
      role: "user",
      content: [
        ...pictures.map((picture) => ({
          type: "image_url" as const,
          image_url: { url: dataUrl(picture) },
        })),
        { type: "text", text },
      ],
    });
    pictures = [];
  };
  for (const item of items) {
    if (item.role !== "assistant") {
      const { text, pictures: seen } = shown(item, false);
      pictures.push(...seen);
      if (item.role === "tool")
        messages.push({
          ...{ role: "tool", tool_call_id: item.call },
          content: resultText(item.failed, text),
        });
      else if (pictures.length > 0) show(text);
      else messages.push({ role: "user", content: text });
    } else {
      if (pictures.length > 0) show(SHOWN);
      messages.push({
        role: "assistant",
        content: item.text || null,
        ...(item.calls.length > 0 && {
          tool_calls: item.calls.map((call) => ({
            type: "function" as const,
            id: call.id,
            function: { name: call.name, arguments: argsText(call) },
          })),
        }),
      });
    }
  }
  if (pictures.length > 0) show(SHOWN);
  return messages;
}

const SHOWN = "(what the tools above brought, in their order)";

const chunk = v.object({
  choices: v.optional(
    v.array(
      v.object({
        delta: v.nullish(
          v.object({
            content: v.nullish(v.string()),
            refusal: v.nullish(v.string()),
            tool_calls: v.nullish(
              v.array(
                v.object({
                  index: v.nullish(v.pipe(v.number(), v.safeInteger())),
                  id: v.nullish(v.string()),
                  function: v.nullish(
                    v.object({
                      name: v.nullish(v.string()),
                      arguments: v.nullish(v.string()),
                    }),
                  ),
                }),
              ),
            ),
          }),
        ),
        finish_reason: v.nullish(v.string()),
      }),
    ),
    [],
  ),
  usage: v.nullish(
    v.object({
      prompt_tokens: tokens,
      prompt_tokens_details: v.nullish(v.object({ cached_tokens: tokens })),
      completion_tokens: tokens,
    }),
  ),
});

async function* read(service: Service, raw: Raw): AsyncGenerator<ModelEvent> {
  const calls = new Calls(service);
  let refused = false;
  let finish: string | undefined;
  let usage: { input: number; cached: number; output: number } | undefined;
  for await (const event of raw) {
    const { choices, usage: counted } = checked(service, chunk, event);
    if (counted)
      usage = {
        input: counted.prompt_tokens,
        cached: counted.prompt_tokens_details?.cached_tokens ?? 0,
        output: counted.completion_tokens,
      };
    const [choice] = choices;
    if (!choice) continue;
    const { content, refusal, tool_calls } = choice.delta ?? {};
    if (content) yield { type: "text", text: content };
    if (refusal) {
      refused = true;
      yield { type: "text", text: refusal };
    }
    for (const { index, id, function: made } of tool_calls ?? []) {
      // Who leaves the index out begins each call with its id.
      const at = index ?? (id ? calls.size : calls.size - 1);
      if (!calls.has(at)) calls.begin(at, id, made?.name ?? "");
      calls.append(at, made?.arguments ?? "");
    }
    finish = choice.finish_reason ?? finish;
  }
  if (finish === undefined) return; // Cut: some services end their stream like any other then.
  if (finish === "length") calls.dropLast();
  const why = finish === "length" ? "length" : "done";
  yield* calls.end(refused || finish === "content_filter" ? "refused" : why, usage);
}
