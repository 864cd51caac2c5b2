import type { Label, ToolContext } from "@kith/gateway/tools/tool";
import { Secret } from "@kith/gateway/secret";
import type { Search } from "@kith/gateway/web/search";
import { webTools } from "@kith/gateway/web/tools";
import { describe, expect, test } from "vitest";
import { type Answer, code, web } from "../egress/world.ts";

const brave: Search = { provider: "brave", key: new Secret("brave-canary") };
const searxng: Search = { provider: "searxng", baseUrl: "http://192.168.1.5:8888/searx/" };
const contents = { sink: () => Promise.reject(new Error("nothing is kept")) };

const context = (): ToolContext => ({
  ...{ call: "01K3V9QZ6T0R8M4X2C7B5N1PWD", session: "session/01K3V9QZ6T0R8M4X2C7B5N1PWE" as const },
  ...{ chat: "console", by: "console:owner", agent: "main", labels: [] },
});

async function start(search: Search | undefined, answer: Answer) {
  const there = await web(answer);
  const tools = webTools({ egress: there.egress, contents, seen: () => false, search });
  const tool = tools.find(({ name }) => name === "web_search");
  return {
    ...{ ...there, tool },
    search: (query: string) => {
      if (!tool) throw new Error("it is not offered");
      return tool.run({ query }, context(), new AbortController().signal);
    },
    [Symbol.asyncDispose]: () => there[Symbol.asyncDispose](),
  };
}

const json =
  (body: unknown, status = 200): Answer =>
  (_, response) =>
    void response.writeHead(status).end(JSON.stringify(body));

const found = [
  {
    title: "One",
    url: "https://one.example/",
    description: "the <strong>first</strong>\u001b[2J\n",
  },
  { title: "Two", url: "https://two.example/", description: null },
];

test("is not offered where no service is set up", async () => {
  await using there = await start(undefined, json({}));
  expect(there.tool).toBeUndefined();
});

test("SearXNG is asked at the owner's own address, and answers with titles, addresses and lines", async () => {
  const results = found.map(({ description: content, ...one }) => ({
    ...one,
    content,
    engine: "x",
  }));
  await using there = await start(searxng, json({ query: "x", results }));
  const { text, labels, source } = await there.search("tea & cake?");
  expect(there.dialled).toEqual(["192.168.1.5 8888"]);
  expect(there.hits[0]?.path).toBe("/searx/search?q=tea+%26+cake%3F&format=json");
  expect([labels, source]).toEqual([["untrusted"], "search results of SearXNG"]);
  expect(text).toMatch(
    /^SearXNG, [\dT:.-]+Z, for "tea & cake\?":\n\n1\. One\n {3}https:\/\/one\.example\/\n {3}the first \[2J\n\n2\. Two\n/,
  );
});

describe("Brave Search", () => {
  // It is spoken to by https only: here stands who answers in its place.
  const answered = (status: number, body: unknown) => {
    const wanted: unknown[] = [];
    const [, tool] = webTools({
      ...{ contents, seen: () => false, search: brave },
      egress: {
        get: async (given) => {
          wanted.push(given);
          const url = new URL(given.url);
          return {
            url,
            status,
            type: "application/json",
            body: Buffer.from(JSON.stringify(body)),
            at: 0,
          };
        },
      },
    });
    const search = async () => tool?.run({ query: "tea" }, context(), new AbortController().signal);
    return { search, wanted };
  };

  test("gets the key in its own header, by the way out alone", async () => {
    const { search, wanted } = answered(200, { web: { results: found } });
    expect((await search())?.text).toContain("1. One\n   https://one.example/\n   the first [2J");
    expect(wanted).toEqual([
      {
        url: "https://api.search.brave.com/res/v1/web/search?q=tea&count=10&text_decorations=false",
        ...{
          accept: "application/json",
          key: { header: "x-subscription-token", value: brave.key },
        },
      },
    ]);
    expect(JSON.stringify(wanted)).not.toContain("canary");
  });

  test.for<[number, unknown, string]>([
    [401, {}, "config-invalid"],
    [422, { error: {} }, "config-invalid"],
    [429, {}, "rate"],
    [500, {}, "page-away"],
    [200, { web: { results: [{ title: 1 }] } }, "page-away"],
    [200, null, "page-away"],
  ])("that answers %d %j fails as %s", async ([status, body, why]) => {
    expect(await code(answered(status, body).search())).toBe(why);
  });

  test("that found nothing says so", async () => {
    expect((await answered(200, {}).search())?.text).toContain("Nothing was found.");
  });
});

test("a SearXNG that gives no JSON is told by what to set there", async () => {
  await using there = await start(searxng, json({}, 403));
  await expect(there.search("x")).rejects.toThrow("search: formats");
});

test("however much is found, the text is at most 16,384 characters", async () => {
  const long = "é".repeat(20_000);
  const results = Array.from({ length: 50 }, () => ({
    title: long,
    url: `http://${long}`,
    content: long,
  }));
  await using there = await start(searxng, json({ results }));
  const { text } = await there.search('"'.repeat(400));
  expect(text.length).toBeLessThanOrEqual(16_384);
  expect(text).not.toContain("\n11. ");
});

test("the owner is asked before words go out that were written beside private content and content of others", async () => {
  await using there = await start(brave, json({}));
  const asks = (...labels: Label[]) => there.tool?.asks?.({ query: "tea" }, labels);
  expect([asks(), asks("untrusted"), asks("private")]).toEqual([undefined, undefined, undefined]);
  expect(asks("private", "untrusted")).toBe("ask Brave Search for “tea”");
});
