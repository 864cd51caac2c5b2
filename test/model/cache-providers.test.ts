/** What of a conversation each service need not read again: each request begins with all bytes of the one before. */
import type { Item, ModelEvent, ProviderKind, Tool } from "@kith/gateway/model/provider";
import { openProvider } from "@kith/gateway/model/providers/open";
import { expect, test } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Script, type Wire } from "../support/models/server.ts";

const TURNS = 20;
const tools: Tool[] = ["camera_snap", "device_status", "files_list", "files_read"].map((name) => ({
  ...{ name, description: `${name}: what it does with a device. `.repeat(4) },
  schema: { type: "object", properties: { device: { type: "string" } } },
}));
const asked = (at: number) => ({ id: `c${at}`, name: "files_list", json: '{"device":"laptop"}' });
const answer = (calls: Script["calls"] = []): Script => ({
  ...{ thoughts: ["where to look"], text: ["I look there, and tell you what I found. ".repeat(5)] },
  calls,
});

/** A conversation of so many turns, with `many` calls in each, as the service counts it at the last. */
async function talk(provider: ProviderKind, wire: Wire, turns: number, many: number) {
  const calls = Array.from({ length: many }, (_, at) => asked(at));
  const scripts = Array.from({ length: turns }, () => [answer(calls), answer()]).flat();
  await using server = await ModelServer.start(wire, ...scripts);
  server.counts = true;
  const { baseUrl } = server;
  const model = await openProvider({ provider, name: "m", baseUrl, effort: "low" });
  const items: Item[] = [];
  let events: ModelEvent[] = [];
  for (let turn = 0; turn < turns * 2; turn++) {
    if (turn % 2 === 0)
      items.push({ role: "user", text: `Question ${turn}: ${"what is there? ".repeat(10)}` });
    events = [];
    const request = { system: "You are Kith. ".repeat(40), items, tools, maxTokens: 1_000 };
    for await (const one of model.stream(request, new AbortController().signal)) events.push(one);
    const made = events.flatMap((event) => (event.type === "call" ? [event.call] : []));
    const thinking = events.flatMap((event) => (event.type === "thinking" ? event.thoughts : []));
    const text = events.flatMap((event) => (event.type === "text" ? [event.text] : [])).join("");
    items.push({ role: "assistant", text, calls: made, thinking });
    for (const { id, name } of made)
      items.push({ role: "tool", call: id, name, text: `${turn} files `.repeat(30), pictures: [] });
  }
  const told = events.find(({ type }) => type === "usage");
  return { counted: server.usages.at(-1), told };
}

test.each<[ProviderKind, Wire]>([
  ["anthropic", anthropic],
  ["openai", responses],
  ["openai-compatible", chat],
  ["ollama", ollama],
])("by the twentieth turn %s has most of it already", async (provider, wire) => {
  const { counted, told } = await talk(provider, wire, TURNS, 1);
  const share = (counted?.cached ?? 0) / (counted?.input ?? 1);
  process.stdout.write(`${provider}: ${(share * 100).toFixed(1)} % cached at turn ${TURNS}\n`);
  expect(share).toBeGreaterThan(0.8);
  // Ollama does not say.
  expect(told).toMatchObject({ cached: provider === "ollama" ? 0 : counted?.cached });
});

test("anthropic finds it also behind an answer of more blocks than its cache looks back", async () => {
  const { counted } = await talk("anthropic", anthropic, 4, 24);
  expect((counted?.cached ?? 0) / (counted?.input ?? 1)).toBeGreaterThan(0.7);
});
