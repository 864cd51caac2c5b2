/** Chat Completions as local servers speak them. */
import { type Wire, sse } from "./server.ts";

const chunk = (delta: object, finish_reason: string | null = null) =>
  sse({
    ...{ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m" },
    choices: [{ index: 0, delta, finish_reason }],
    usage: null,
  });

export const chat: Wire = {
  base: "/v1",
  path: "/chat/completions",
  type: "text/event-stream",
  refusal: (_status, message) => ({ error: { message, type: "invalid_request_error" } }),
  objection({ messages, max_tokens }) {
    if (!(max_tokens > 0)) return "max_tokens must be positive";
    let open = new Set<string>();
    for (const { role, content, tool_calls = [], tool_call_id } of messages) {
      if (role === "tool") {
        if (typeof content !== "string") return "a tool message has text only";
        if (!open.delete(tool_call_id)) return "a tool message must follow its call";
        continue;
      }
      if (open.size > 0) return "tool_calls must be followed by tool messages";
      open = new Set(tool_calls.map(({ id }: any) => id));
    }
    return open.size > 0 ? "tool_calls must be followed by tool messages" : undefined;
  },
  begin: () => chunk({ role: "assistant", content: "" }),
  thought: (reasoning_content) => chunk({ reasoning_content }),
  text: (content) => chunk({ content }),
  call({ id, name, json }, index) {
    const first = { index, id, type: "function", function: { name, arguments: "" } };
    const piece = (args: string) =>
      chunk({ tool_calls: [{ index, function: { arguments: args } }] });
    return chunk({ tool_calls: [first] }) + piece(json.slice(0, 3)) + piece(json.slice(3));
  },
  end: (stop, calls, usage) =>
    chunk(
      {},
      stop
        ? { length: "length", refused: "content_filter" }[stop]
        : calls > 0
          ? "tool_calls"
          : "stop",
    ) +
    sse({
      choices: [],
      usage: {
        prompt_tokens: usage.input,
        prompt_tokens_details: { cached_tokens: usage.cached },
        completion_tokens: usage.output,
      },
    }) +
    sse("[DONE]"),
  error: (kind) =>
    sse({
      error: {
        message: "Sorry",
        type: kind === "error" ? "server_error" : "rate_limit_error",
      },
    }),
  reads: ({ tools = [], messages }) =>
    [...tools, ...messages].map((one) => ({ text: JSON.stringify(one) })),
  pictures: ({ messages }) =>
    messages
      .filter(({ role, content }: any) => role === "user" && Array.isArray(content))
      .flatMap(({ content }: any) => content)
      .filter(({ type }: any) => type === "image_url")
      .map(({ image_url }: any) => image_url.url.replace(/^data:image\/jpeg;base64,/, "")),
};
