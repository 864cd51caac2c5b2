/** What a model thought: it goes back as it was, where it was, to whoever made it. */
import type { Item, ModelEvent, ModelRequest, ProviderKind } from "@kith/gateway/model/provider";
import { openProvider } from "@kith/gateway/model/providers/open";
import { describe, expect, test } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Script, type Wire, sealOf } from "../support/models/server.ts";

const QUESTION: Item = { role: "user", text: "look" };
const call = (id: string) => ({ id, name: "camera_snap", json: "{}" });

type Settings = Partial<Parameters<typeof openProvider>[0]>;

/** A conversation with one model: what it says, and what it hears back. */
async function talk(provider: ProviderKind, wire: Wire, scripts: Script[], more: Settings = {}) {
  const server = await ModelServer.start(wire, ...scripts);
  const open = (name = "m") => openProvider({ provider, name, baseUrl: server.baseUrl, ...more });
  const model = await open();
  const ask = async (items: readonly Item[], by = model) => {
    const request: ModelRequest = { system: "", items, tools: [], maxTokens: 100 };
    const events: ModelEvent[] = [];
    for await (const one of by.stream(request, new AbortController().signal)) events.push(one);
    return events;
  };
  return {
    ...{ server, open, ask },
    bodies: () => server.requests.map(({ body }) => body),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** An answer and the results of its calls, as a session keeps them. */
function kept(events: readonly ModelEvent[]): Item[] {
  const calls = events.flatMap((event) => (event.type === "call" ? [event.call] : []));
  const thinking = events.flatMap((event) => (event.type === "thinking" ? event.thoughts : []));
  const text = events.flatMap((event) => (event.type === "text" ? [event.text] : [])).join("");
  // Rows are written and read again.
  return JSON.parse(
    JSON.stringify([
      { role: "assistant", text, calls, ...(thinking.length > 0 && { thinking }) },
      ...calls.map(({ id, name }) => ({ role: "tool", call: id, name, text: "ok", pictures: [] })),
    ]),
  );
}

const scripted = {
  thoughts: ["first", "second", "third"],
  text: ["I ", "look."],
  calls: [call("c1"), call("c2")],
};

describe("anthropic", () => {
  test("thinks as much as it is told to", async () => {
    await using plain = await talk("anthropic", anthropic, [{ text: ["ok"] }]);
    await plain.ask([QUESTION]);
    await using low = await talk("anthropic", anthropic, [{ text: ["ok"] }], { effort: "low" });
    await low.ask([QUESTION]);
    // Thinking is counted as a part of the answer, and has room beside it.
    expect(plain.bodies()[0]).toMatchObject({ thinking: { type: "adaptive" }, max_tokens: 8_292 });
    expect(plain.bodies()[0].output_config).toBeUndefined();
    expect(low.bodies()[0]).toMatchObject({
      ...{ thinking: { type: "adaptive" }, output_config: { effort: "low" } },
    });
  });

  test("each thought stands before what it led to, with its signature", async () => {
    await using desk = await talk("anthropic", anthropic, [scripted, { text: ["Done."] }]);
    const items = [QUESTION, ...kept(await desk.ask([QUESTION]))];
    await desk.ask(items);
    const thought = (thinking: string) => ({
      ...{ type: "thinking", thinking, signature: sealOf(thinking) },
    });
    expect(desk.bodies()[1].messages[1].content).toEqual([
      thought("first"),
      { type: "text", text: "I look." },
      thought("second"),
      { type: "tool_use", id: "c1", name: "camera_snap", input: {} },
      thought("third"),
      { type: "tool_use", id: "c2", name: "camera_snap", input: {} },
    ]);
  });
});

test("openai gets its reasoning back encrypted, and keeps nothing", async () => {
  await using desk = await talk("openai", responses, [scripted, { text: ["Done."] }], {
    effort: "high",
  });
  const items = [QUESTION, ...kept(await desk.ask([QUESTION]))];
  await desk.ask(items);
  expect(desk.bodies()[1]).toMatchObject({
    ...{ store: false, include: ["reasoning.encrypted_content"], reasoning: { effort: "high" } },
    input: [
      { role: "user" },
      { type: "reasoning", id: "rs_first", encrypted_content: sealOf("rs_first"), summary: [] },
      { role: "assistant", content: "I look." },
      { type: "reasoning", id: "rs_second" },
      { type: "function_call", call_id: "c1" },
      { type: "reasoning", id: "rs_third" },
      { type: "function_call", call_id: "c2" },
      { type: "function_call_output" },
      { type: "function_call_output" },
    ],
  });
});

test("ollama thinks where it is told to, and hears it again", async () => {
  const settings = { effort: "medium" } as const;
  await using desk = await talk("ollama", ollama, [scripted, { text: ["Done."] }], settings);
  await desk.ask([QUESTION, ...kept(await desk.ask([QUESTION]))]);
  expect(desk.bodies()[1]).toMatchObject({
    think: "medium",
    messages: [{}, { role: "assistant", thinking: "firstsecondthird" }, {}, {}],
  });
});

test("openai-compatible is told how much to think, where somebody says so", async () => {
  await using plain = await talk("openai-compatible", chat, [scripted]);
  await plain.ask([QUESTION]);
  await using high = await talk("openai-compatible", chat, [scripted], { effort: "high" });
  await high.ask([QUESTION]);
  expect(plain.bodies()[0]).not.toHaveProperty("reasoning_effort");
  expect(high.bodies()[0].reasoning_effort).toBe("high");
});

describe.each<[ProviderKind, Wire]>([
  ["anthropic", anthropic],
  ["openai", responses],
  ["ollama", ollama],
])("%s", (kind, wire) => {
  const reads = (body: unknown) =>
    /thinking":"|"type":"(?:reasoning|thinking)"/.test(JSON.stringify(body));
  const scripts = [scripted, { text: ["Done."] }, { text: ["Done."] }];

  test("another model does not get it", async () => {
    await using desk = await talk(kind, wire, scripts);
    const items = [QUESTION, ...kept(await desk.ask([QUESTION]))];
    await desk.ask(items, await desk.open("other"));
    await desk.ask(items);
    expect(desk.bodies().map(reads)).toEqual([false, false, true]);
  });

  test("of more than 64 KiB nothing is kept, and the conversation goes on", async () => {
    const long = "x".repeat(40 * 1_024);
    const thoughts = kind === "openai" ? [long, long] : [long, `${long}y`];
    await using desk = await talk(kind, wire, [{ ...scripted, thoughts }, { text: ["Done."] }]);
    const answer = await desk.ask([QUESTION]);
    expect(answer.map(({ type }) => type)).not.toContain("thinking");
    expect((await desk.ask([QUESTION, ...kept(answer)])).at(-1)).toMatchObject({ why: "done" });
  });

  test("what led to nothing is left out", async () => {
    const cut: Script = { thoughts: ["first"], stop: "length" };
    await using desk = await talk(kind, wire, [cut, { text: ["Done."] }]);
    const items = [QUESTION, ...kept(await desk.ask([QUESTION])), QUESTION];
    expect((await desk.ask(items)).at(-1)).toMatchObject({ why: "done" });
    if (kind !== "ollama") expect(reads(desk.bodies()[1])).toBe(false);
  });

  test("a model that cannot think is asked without, and not with it again", async () => {
    const no = { status: 400, words: "thinking with encrypted content is not supported" };
    const scripts = [no, { text: ["Yes."] }, { text: ["Yes."] }];
    await using desk = await talk(kind, wire, scripts, { effort: "low" });
    await desk.ask([QUESTION]);
    await desk.ask([QUESTION]);
    const asked = desk
      .bodies()
      .map((body) => "thinking" in body || "include" in body || "think" in body);
    expect(asked).toEqual([true, false, false]);
  });

  test("a thought that the service no longer takes is left out this once", async () => {
    const no = { status: 400, words: "invalid signature in thinking or reasoning block" };
    await using desk = await talk(kind, wire, [
      scripted,
      no,
      { text: ["Yes."] },
      { text: ["Yes."] },
    ]);
    const items = [QUESTION, ...kept(await desk.ask([QUESTION]))];
    await desk.ask(items);
    await desk.ask(items);
    expect(desk.bodies().map(reads)).toEqual([false, true, false, true]);
  });
});
