/** OpenAI's Responses. */
import { type Wire, sealOf, sse } from "./server.ts";

let number = 0;
const event = (type: string, more: object = {}) =>
  sse({ type, sequence_number: number++, ...more }, type);

export const responses: Wire = {
  base: "/v1",
  path: "/responses",
  type: "text/event-stream",
  refusal: (_status, message) => ({
    error: { message, type: "invalid_request_error", param: null, code: null },
  }),
  objection({ input, store, max_output_tokens }) {
    if (!(max_output_tokens >= 16)) return "max_output_tokens: expected at least 16";
    if (store !== false) return "this double keeps nothing";
    for (const [at, { type, id, encrypted_content }] of input.entries()) {
      if (type !== "reasoning") continue;
      if (encrypted_content !== sealOf(id)) return "The encrypted content could not be verified.";
      const { type: next, role } = input[at + 1] ?? {};
      if (next !== "function_call" && next !== "reasoning" && role !== "assistant")
        return `Item '${id}' of type 'reasoning' was provided without its required following item.`;
    }
    const calls = new Set(
      input.map(({ type, call_id }: any) => type === "function_call" && call_id),
    );
    const results = new Set(
      input.map(({ type, call_id }: any) => type === "function_call_output" && call_id),
    );
    for (const id of calls)
      if (!results.has(id)) return `No tool output found for function call ${String(id)}.`;
    for (const id of results)
      if (!calls.has(id)) return `No tool call found for function call output ${String(id)}.`;
    return undefined;
  },
  begin: () =>
    event("response.created", { response: { id: "resp_1", status: "in_progress", output: [] } }) +
    event("response.output_item.added", {
      output_index: 0,
      item: { type: "message", id: "msg_1", role: "assistant", content: [] },
    }) +
    event("response.content_part.added", {
      ...{ item_id: "msg_1", output_index: 0, content_index: 0 },
      part: { type: "output_text", text: "" },
    }),
  thought: (text) =>
    event("response.output_item.done", {
      output_index: 0,
      item: {
        ...{ type: "reasoning", id: `rs_${text}`, status: "completed" },
        ...{ encrypted_content: sealOf(`rs_${text}`), summary: [] },
      },
    }),
  text: (delta) =>
    event("response.output_text.delta", {
      ...{ item_id: "msg_1", output_index: 0, content_index: 0 },
      delta,
    }),
  call({ id, name, json }, at, whole) {
    const item = { type: "function_call", id: `fc_${at}`, call_id: id, name, arguments: "" };
    const where = { item_id: item.id, output_index: at + 1 };
    return (
      event("response.output_item.added", { output_index: at + 1, item }) +
      event("response.function_call_arguments.delta", { ...where, delta: json }) +
      (whole
        ? event("response.function_call_arguments.done", { ...where, arguments: json }) +
          event("response.output_item.done", {
            output_index: at + 1,
            item: { ...item, arguments: json, status: "completed" },
          })
        : "")
    );
  },
  end(stop, _calls, counted) {
    const usage = {
      input_tokens: counted.input,
      input_tokens_details: { cached_tokens: counted.cached },
      output_tokens: counted.output,
      total_tokens: counted.input + counted.output,
    };
    if (!stop)
      return event("response.completed", {
        response: { status: "completed", incomplete_details: null, output: [], usage },
      });
    const reason = { length: "max_output_tokens", refused: "content_filter" }[stop];
    const cut = { type: "function_call", id: "fc_9", call_id: "call_cut", name: "x" };
    return (
      event("response.output_item.done", {
        output_index: 9,
        item: { ...cut, arguments: '{"a', status: "incomplete" },
      }) +
      event("response.incomplete", {
        response: { status: "incomplete", incomplete_details: { reason }, output: [], usage },
      })
    );
  },
  error: (kind) =>
    kind === "error"
      ? event("error", { code: "server_error", message: "Sorry", param: null })
      : event("response.failed", {
          response: {
            status: "failed",
            error: { code: "rate_limit_exceeded", message: "Sorry" },
          },
        }),
  reads: ({ tools, instructions, input }) =>
    [...tools, instructions, ...input].map((one) => ({ text: JSON.stringify(one) })),
  pictures: ({ input }) =>
    input
      .filter(({ type, output }: any) => type === "function_call_output" && Array.isArray(output))
      .flatMap(({ output }: any) => output)
      .filter(({ type }: any) => type === "input_image")
      .map(({ image_url }: any) => image_url.replace(/^data:image\/jpeg;base64,/, "")),
};
