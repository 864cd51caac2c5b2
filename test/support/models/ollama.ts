/** Ollama's `/api/chat`: a line of JSON for each piece; calls come whole, with parsed arguments. */
import { type Wire } from "./server.ts";

const line = (message: object, more: object = { done: false }) =>
  `${JSON.stringify({
    ...{ model: "m", created_at: "2026-12-01T00:00:00Z" },
    message: { role: "assistant", content: "", ...message },
    ...more,
  })}\n`;

export const ollama: Wire = {
  base: "",
  path: "/api/chat",
  type: "application/x-ndjson",
  refusal: (_status, error) => ({ error }),
  objection({ messages, options }) {
    if (!(options?.num_ctx >= 4_096)) return "this double wants a window";
    for (const { role, content, tool_calls = [] } of messages) {
      if (!["system", "user", "assistant", "tool"].includes(role)) return "invalid role";
      if (typeof content !== "string") return "json: cannot unmarshal content into string";
      if (tool_calls.some((one: any) => typeof one.function.arguments !== "object"))
        return "json: cannot unmarshal arguments into map";
    }
    return undefined;
  },
  begin: () => "",
  thought: (thinking) => line({ thinking }),
  text: (content) => line({ content }),
  call({ name, json }, _index, whole) {
    let args: unknown = json;
    try {
      args = JSON.parse(json);
    } catch {} // What is no JSON comes as a string from no Ollama, but may from what pretends to be one.
    // One that is cut at the model's limit never comes.
    return whole ? line({ tool_calls: [{ function: { name, arguments: args } }] }) : "";
  },
  end: (stop, _calls, usage) =>
    line(
      {},
      {
        done: true,
        done_reason: stop ? "length" : "stop",
        ...{ prompt_eval_count: usage.input, eval_count: usage.output },
      },
    ),
  error: () => `${JSON.stringify({ error: "Sorry" })}\n`,
  reads: ({ tools, messages }) =>
    [...tools, ...messages].map((one) => ({ text: JSON.stringify(one) })),
  pictures: ({ messages }) => messages.flatMap(({ images = [] }: any) => images),
};
