/** What `kith init` proposes: asked of services on loopback, which list what they have. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { find, places, type Place } from "@kith/gateway/model/providers/found";
import { Secret } from "@kith/gateway/secret";
import { expect, test } from "vitest";

const { signal } = new AbortController();
const read = () => new Secret("sk-1");
const nothing = (): Secret => {
  throw new Error("nothing to read");
};

/** A service that answers each path so, and wants the key where it has one. */
async function serve(provider: Place["provider"], pages: Readonly<Record<string, object>>) {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const name = body === "" ? "" : `#${JSON.parse(body).model}`;
      const page = pages[`${request.url}${name}`];
      seen.push(`${request.method} ${request.url}${name}`);
      const known = provider === "ollama" || request.headers.authorization === "Bearer sk-1";
      response.writeHead(!known ? 401 : page ? 200 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify(page ?? { error: "no such page" }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const usual = places.find((one) => one.provider === provider)!;
  return {
    ...{ seen, place: { ...usual, baseUrl: `http://127.0.0.1:${port}` } },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("of Anthropic the newest of the middle size", async () => {
  const data = ["claude-opus-9", "claude-sonnet-9", "claude-sonnet-8"].map((id) => ({ id }));
  await using service = await serve("anthropic", { "/v1/models": { data } });
  expect(await find(service.place, read, signal)).toMatchObject({
    ...{ name: "claude-sonnet-9", apiKey: "${env:ANTHROPIC_API_KEY}" },
  });
});

test("of OpenAI the newest that is no variant of another", async () => {
  const data = [
    { id: "gpt-8", created: 1 },
    { id: "gpt-9.1", created: 3 },
    { id: "gpt-9.1-mini", created: 4 },
    { id: "text-embedding-9", created: 5 },
  ];
  await using service = await serve("openai", { "/models": { data } });
  expect(await find(service.place, read, signal)).toMatchObject({ name: "gpt-9.1" });
});

test("of Ollama the first that can call tools", async () => {
  await using service = await serve("ollama", {
    "/api/tags": { models: [{ name: "embed" }, { name: "small" }, { name: "large" }] },
    "/api/show#embed": { capabilities: ["embedding"] },
    "/api/show#small": { capabilities: ["completion", "tools"] },
  });
  const found = await find(service.place, nothing, signal);
  expect(found).toMatchObject({ name: "small" });
  expect(found?.apiKey).toBeUndefined();
  expect(service.seen).toEqual(["GET /api/tags", "POST /api/show#embed", "POST /api/show#small"]);
});

test("without a key nobody is asked, and without an Ollama nothing is said", async () => {
  await using service = await serve("anthropic", {});
  expect(await find(service.place, nothing, signal)).toBeUndefined();
  expect(service.seen).toEqual([]);
  const gone = { provider: "ollama", baseUrl: "http://127.0.0.1:1" } as const;
  expect(await find(gone, nothing, signal)).toBeUndefined();
});

test("a key that is not accepted, and a list of nothing that fits, are told", async () => {
  await using service = await serve("openai", { "/models": { data: [{ id: "tts-1" }] } });
  const other = () => new Secret("sk-2");
  expect(await find(service.place, other, signal)).toMatchObject({
    why: expect.stringContaining("does not accept the key"),
  });
  expect(await find(service.place, read, signal)).toMatchObject({
    why: expect.stringContaining("has no model that Kith would choose"),
  });
  await using odd = await serve("openai", { "/models": { data: 7 } });
  expect(await find(odd.place, read, signal)).toMatchObject({
    why: expect.stringContaining("did not list its models"),
  });
});
