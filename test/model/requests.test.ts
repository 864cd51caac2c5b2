/** What is particular to one service: what the others have no word for. */
import { inspect } from "node:util";
import type { Item, ModelRequest, ProviderKind } from "@kith/gateway/model/provider";
import { openProvider } from "@kith/gateway/model/providers/open";
import { Secret } from "@kith/gateway/secret";
import { afterEach, describe, expect, test, vi } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Wire } from "../support/models/server.ts";

const tool = (name: string) => ({
  name,
  description: `About ${name}`,
  schema: { type: "object", properties: { edge: { type: "number" } } },
});
const REQUEST: ModelRequest = {
  system: "You are Kith.",
  items: [{ role: "user", text: "hello" }],
  tools: [tool("camera_snap"), tool("device_status")],
  maxTokens: 1_000,
};
const DIALOGUE: readonly Item[] = [
  { role: "user", text: "a photo" },
  {
    role: "assistant",
    text: "One moment.",
    calls: [{ id: "call_1", name: "camera_snap", args: { edge: 800 } }],
  },
  {
    ...{ role: "tool", call: "call_1", name: "camera_snap", text: "taken" },
    pictures: [{ type: "image/jpeg", data: new Uint8Array([0xff, 0xd8]) }],
  },
  { role: "user", text: "again" },
];

/** The body of each request. */
async function asked(provider: ProviderKind, wire: Wire, ...requests: Partial<ModelRequest>[]) {
  await using server = await ModelServer.start(wire, ...requests.map(() => ({ text: ["ok"] })));
  const { baseUrl } = server;
  const model = await openProvider({ provider, name: "m", baseUrl });
  for (const request of requests) {
    const { signal } = new AbortController();
    const events = [];
    for await (const event of model.stream({ ...REQUEST, ...request }, signal)) events.push(event);
    expect(events.at(-1)).toEqual({ type: "end", why: "done" });
  }
  return server.requests.map(({ body }) => body);
}

afterEach(() => void vi.unstubAllGlobals());

describe("anthropic", () => {
  const unmarked = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value, (key, one) => (key === "cache_control" ? undefined : one)));

  test("the cache is marked after the tools, the system's text, the last request, and at the end", async () => {
    const [body] = await asked("anthropic", anthropic, { items: DIALOGUE });
    const cache_control = { type: "ephemeral" };
    const marked = [...body.tools, ...body.system, ...body.messages.flatMap((m: any) => m.content)]
      .filter((one) => one.cache_control)
      .map(({ name, text, cache_control }) => [name ?? text, cache_control]);
    expect(marked).toEqual([
      ["device_status", cache_control],
      ["You are Kith.", cache_control],
      ["a photo", cache_control],
      ["again", cache_control],
    ]);
  });

  test("a turn begins with all that the one before it was", async () => {
    const [first, second] = await asked(
      "anthropic",
      anthropic,
      { items: DIALOGUE.slice(0, 3) },
      { items: DIALOGUE },
    );
    expect(second.tools).toEqual(first.tools);
    expect(second.system).toEqual(first.system);
    const [begin, whole] = [unmarked(first.messages), unmarked(second.messages)].map((one) =>
      JSON.stringify(one).slice(0, -"]}]".length),
    );
    expect(whole?.startsWith(begin ?? "?")).toBe(true);
  });

  test("results and what the user says next are one message", async () => {
    const [{ messages }] = await asked("anthropic", anthropic, { items: DIALOGUE });
    expect(unmarked(messages)).toEqual([
      { role: "user", content: [{ type: "text", text: "a photo" }] },
      {
        role: "assistant",
        content: [
          { type: "text", text: "One moment." },
          { type: "tool_use", id: "call_1", name: "camera_snap", input: { edge: 800 } },
        ],
      },
      {
        role: "user",
        content: [
          {
            type: "tool_result",
            tool_use_id: "call_1",
            content: [
              { type: "text", text: "taken" },
              {
                type: "image",
                source: { type: "base64", media_type: "image/jpeg", data: "/9g=" },
              },
            ],
          },
          { type: "text", text: "again" },
        ],
      },
    ]);
  });

  test("a result without words or pictures has no content", async () => {
    const result = { role: "tool", call: "call_1", name: "camera_snap", text: "" } as const;
    const [{ messages }] = await asked("anthropic", anthropic, {
      items: [...DIALOGUE.slice(0, 2), { ...result, pictures: [] }],
    });
    expect(unmarked(messages.at(-1).content)).toEqual([
      { type: "tool_result", tool_use_id: "call_1" },
    ]);
  });

  test("without a system's text and tools there are none", async () => {
    const [body] = await asked("anthropic", anthropic, { system: "", tools: [] });
    expect(body).not.toHaveProperty("system");
    expect(body).not.toHaveProperty("tools");
  });
});

test("openai keeps nothing and gets every item", async () => {
  const [body] = await asked("openai", responses, { items: DIALOGUE });
  expect(body).toMatchObject({
    ...{ store: false, stream: true, instructions: "You are Kith.", max_output_tokens: 9_192 },
    input: [
      { role: "user", content: "a photo" },
      { role: "assistant", content: "One moment." },
      {
        ...{ type: "function_call", call_id: "call_1", name: "camera_snap" },
        arguments: '{"edge":800}',
      },
      {
        ...{ type: "function_call_output", call_id: "call_1" },
        output: [
          { type: "input_text", text: "taken" },
          { type: "input_image", image_url: "data:image/jpeg;base64,/9g=" },
        ],
      },
      { role: "user", content: "again" },
    ],
    tools: [{ type: "function", name: "camera_snap", strict: false }, { name: "device_status" }],
  });
});

test("openai-compatible shows a picture with what the user says next, so that sides take turns", async () => {
  const [{ messages, tools }] = await asked("openai-compatible", chat, { items: DIALOGUE });
  expect(messages.map(({ role }: any) => role)).toEqual([
    ...["system", "user", "assistant", "tool", "user"],
  ]);
  expect(messages.at(-1).content).toEqual([
    { type: "image_url", image_url: { url: "data:image/jpeg;base64,/9g=" } },
    { type: "text", text: "again" },
  ]);
  expect(tools).toMatchObject([{ function: { name: "camera_snap" } }, {}]);
});

test("ollama is given a window that holds the conversation, in steps", async () => {
  const long = "x".repeat(30_000);
  const items = DIALOGUE.slice(0, 1);
  const bodies = await asked(
    "ollama",
    ollama,
    { items },
    { items: [...items, { role: "user", text: long }] },
    { items: Array.from({ length: 40 }, () => ({ role: "user", text: long }) as const) },
  );
  expect(bodies.map(({ options }) => options.num_ctx)).toEqual([8_192, 16_384, 131_072]);
  expect(bodies[0].options.num_predict).toBe(1_000);
});

test.each<[string, object, RegExp]>([
  [
    "a name that nobody knows",
    { code: "ENOTFOUND" },
    /^Ollama at nowhere\.test:11434 cannot be found/,
  ],
  [
    "a certificate",
    { code: "CERT_HAS_EXPIRED" },
    /shows a certificate that is not trusted \(CERT_HAS_EXPIRED\)\.$/,
  ],
  ["one of nobody", { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }, /that is not trusted \(DEPTH_/],
  ["one of another", { code: "ERR_TLS_CERT_ALTNAME_INVALID" }, /that is not trusted \(ERR_TLS/],
  ["one of a stranger", { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }, /is not trusted \(UNABLE/],
  ["another failure", { code: "EWHAT" }, /cannot be reached \(EWHAT\)\.$/],
  ["words alone", {}, /cannot be reached\.$/],
])("%s is told", async (_what, cause, message) => {
  const failed = Object.assign(new TypeError("fetch failed"), {
    cause: Object.assign(new Error("sk-canary"), cause),
  });
  vi.stubGlobal("fetch", () => Promise.reject(failed));
  const baseUrl = "http://nowhere.test:11434/";
  const model = await openProvider({ provider: "ollama", name: "m", baseUrl });
  const answer = model.stream(REQUEST, new AbortController().signal)[Symbol.asyncIterator]();
  const why = await answer.next().catch((why: unknown) => why);
  expect(why).toMatchObject({
    ...{ code: "model-away", retryable: true },
    message: expect.stringMatching(message),
  });
  expect(inspect(why)).not.toContain("canary");
});

test.each(["", "laptop", "ftp://example.com", "http://me:secret@example.com/v1"])(
  "%j is no address of a service",
  async (baseUrl) => {
    const opened = openProvider({ provider: "openai", name: "m", baseUrl });
    await expect(opened).rejects.toMatchObject({
      code: "config-invalid",
      message: expect.not.stringContaining("secret"),
    });
  },
);

test.each(["", "sk-canary\n", "sk canary", "sk-canärie"])(
  "a key that can be none is not sent: %j",
  async (value) => {
    const opened = openProvider({ provider: "ollama", name: "m", apiKey: new Secret(value) });
    await expect(opened).rejects.toMatchObject({
      ...{ code: "model-key", retryable: false },
      message: expect.not.stringContaining("canar"),
    });
  },
);
