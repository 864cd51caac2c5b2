/** What `kith models test` says: each thing that may be wrong has a sentence of its own, whatever the service is. */
import type { ProviderKind } from "@kith/gateway/model/provider";
import { openProvider } from "@kith/gateway/model/providers/open";
import { Secret } from "@kith/gateway/secret";
import { afterEach, expect, test, vi } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Script, type Wire } from "../support/models/server.ts";

afterEach(() => void vi.useRealTimers());

/** How each service says that it has no such model. */
const services: [ProviderKind, Wire, Script][] = [
  ["anthropic", anthropic, { status: 404, words: "model: m" }],
  ["openai", responses, { status: 404, words: "The model `m` does not exist or …" }],
  ["openai-compatible", chat, { status: 400, words: "m is not a valid model ID" }],
  ["ollama", ollama, { status: 404, words: "model 'm' not found" }],
];

interface Case {
  readonly script?: Script;
  readonly key?: string;
  readonly at?: (baseUrl: string) => string;
  readonly gone?: boolean;
}

test.each(services)("%s", async (provider, wire, noModel) => {
  // The SDKs ask three times where nobody is, and sleep between.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  async function told({ script = {}, key = "sk-1", at = (url) => url, gone = false }: Case) {
    const server = await ModelServer.start(wire, script, script, script);
    server.key = "sk-1";
    const { baseUrl, host } = server;
    if (gone) await server[Symbol.asyncDispose]();
    const apiKey = new Secret(key);
    const model = await openProvider({ provider, name: "m", baseUrl: at(baseUrl), apiKey });
    const items = [{ role: "user", text: "hello" } as const];
    const request = { system: "", items, tools: [], maxTokens: 100 };
    const answer = model.stream(request, new AbortController().signal)[Symbol.asyncIterator]();
    let why: Error | undefined;
    answer.next().catch((thrown: Error) => (why = thrown));
    await expect.poll(() => (vi.advanceTimersByTime(400), why), { interval: 5 }).toBeDefined();
    if (!gone) await server[Symbol.asyncDispose]();
    return why?.message.replace(/^.*? at \S+ /, "").replace(host, "HOST");
  }
  const page = "<!doctype html>\n<title>Hello</title>\n";
  const sentences = {
    key: await told({ key: "sk-2" }),
    address: await told({ at: (url) => `${url}/nowhere` }),
    page: await told({ script: { page } }),
    name: await told({ script: noModel }),
    nobody: await told({ gone: true }),
    tls: await told({ at: (url) => url.replace("http:", "https:") }),
  };
  expect(sentences).toMatchObject({
    key: "does not accept the key (401).",
    address: expect.stringMatching(/^has no models at this address; check baseUrl \(404\)/),
    page: expect.stringMatching(/no answer of a model/),
    name: expect.stringMatching(/^knows no model m \(40[04]\): /),
    nobody: "refuses the connection.",
    tls: "does not speak TLS at this address; http:// may be meant.",
  });
});
