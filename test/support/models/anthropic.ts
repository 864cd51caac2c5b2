/** Anthropic's Messages, as of version 2026-10-21. */
import { type Wire, sealOf, sse } from "./server.ts";

const event = (type: string, more: object = {}) => sse({ type, ...more }, type);
const kinds: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  404: "not_found_error",
  429: "rate_limit_error",
  529: "overloaded_error",
};

/** Each block has an index; text is block 0 here, whatever its pieces are, and thinking block 99. */
export const anthropic: Wire = {
  base: "",
  path: "/v1/messages",
  type: "text/event-stream",
  refusal: (status, message) => ({
    type: "error",
    error: { type: kinds[status] ?? "api_error", message },
    request_id: "req_1",
  }),
  objection({ max_tokens, messages, tools = [], system = [], thinking }) {
    if (!(max_tokens > 0)) return "max_tokens: field required";
    if (thinking?.type === "enabled") return "thinking.type: use adaptive";
    if (messages[0]?.role !== "user") return "messages: first message must use the user role";
    const blocks = messages.flatMap(({ content }: any) => content);
    if ([...blocks, ...system].some(({ type, text }: any) => type === "text" && !text))
      return "messages: text content blocks must be non-empty";
    if ([...blocks, ...system, ...tools].filter((one) => one.cache_control).length > 4)
      return "A maximum of 4 blocks with cache_control may be provided.";
    if (thinking && thinking.type !== "adaptive") return "thinking.type: unknown";
    for (const one of blocks)
      if (one.type === "thinking" && one.signature !== sealOf(one.thinking))
        return "thinking blocks cannot be modified";
    for (const [at, { role, content }] of messages.entries()) {
      if (role === "user" && content.some(({ type }: any) => type === "thinking"))
        return "messages: thinking blocks are the assistant's";
      if (content.at(-1).type === "thinking") return "messages: final block cannot be `thinking`";
      const next = messages[at + 1]?.content ?? [];
      for (const { type, id } of content)
        if (type === "tool_use" && !next.some((one: any) => one.tool_use_id === id))
          return "messages: `tool_use` ids were found without `tool_result` blocks after";
    }
    return undefined;
  },
  begin: (usage) =>
    event("message_start", {
      message: {
        ...{ id: "msg_1", type: "message", role: "assistant", model: "m", content: [] },
        ...{ stop_reason: null, stop_sequence: null },
        usage: {
          input_tokens: usage.input - usage.cached - 5,
          cache_creation_input_tokens: 5,
          cache_read_input_tokens: usage.cached,
          output_tokens: 1,
        },
      },
    }) +
    event("ping") +
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
  thought: (text) => {
    const index = 99;
    const piece = (delta: object) => event("content_block_delta", { index, delta });
    return (
      event("content_block_start", {
        index,
        content_block: { type: "thinking", thinking: "", signature: "" },
      }) +
      piece({ type: "thinking_delta", thinking: text.slice(0, 2) }) +
      piece({ type: "thinking_delta", thinking: text.slice(2) }) +
      piece({ type: "signature_delta", signature: sealOf(text) }) +
      event("content_block_stop", { index })
    );
  },
  text: (text) => event("content_block_delta", { index: 0, delta: { type: "text_delta", text } }),
  call({ id, name, json }, at, whole) {
    const index = at + 1;
    const piece = (partial_json: string) =>
      event("content_block_delta", { index, delta: { type: "input_json_delta", partial_json } });
    return (
      event("content_block_stop", { index: at }) +
      event("content_block_start", {
        index,
        content_block: { type: "tool_use", id, name, input: {} },
      }) +
      piece("") +
      piece(json.slice(0, 3)) +
      (json.length > 3 ? piece(json.slice(3)) : "") +
      (whole ? event("content_block_stop", { index }) : "")
    );
  },
  end: (stop, calls, usage) =>
    event("content_block_stop", { index: calls }) +
    event("message_delta", {
      delta: {
        stop_reason: stop
          ? { length: "max_tokens", refused: "refusal" }[stop]
          : calls > 0
            ? "tool_use"
            : "end_turn",
        stop_sequence: null,
      },
      usage: { output_tokens: usage.output },
    }) +
    event("message_stop"),
  error: (kind) =>
    event("error", {
      error: { type: kind === "error" ? "api_error" : "overloaded_error", message: "Sorry" },
    }),
  reads: ({ tools = [], system = [], messages }) =>
    [
      ...tools,
      ...system,
      ...messages.flatMap(({ role, content }: any) =>
        content.map((one: any) => ({ role, ...one })),
      ),
    ].map(({ cache_control, ...block }) => ({
      text: JSON.stringify(block),
      marked: cache_control !== undefined,
    })),
  pictures: ({ messages }) =>
    messages
      .flatMap(({ content }: any) => content)
      .filter(({ type }: any) => type === "tool_result")
      .flatMap(({ content }: any) => content)
      .filter(({ type }: any) => type === "image")
      .map(({ source }: any) => source.data),
};
