/** Several models as one: who is asked, who rests and for how long, and what the owner reads of it. */
import type { ModelEvent, ModelFailure, ProviderKind } from "@kith/gateway/model/provider";
import { fallback } from "@kith/gateway/model/providers/fallback";
import { openProvider } from "@kith/gateway/model/providers/open";
import { expect, test } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { ModelServer, type Script, type Wire } from "../support/models/server.ts";

const MINUTE = 60_000;
const services: [string, ProviderKind, Wire][] = [
  ["best", "anthropic", anthropic],
  ["good", "openai-compatible", chat],
  ["own", "ollama", ollama],
];
/** A wait that no SDK sits out. */
const busy = (seconds: number): Script => ({
  ...{ status: 429, words: "slowly", headers: { "retry-after": `${seconds}` } },
});
const overloaded: Script = { status: 529, headers: { "x-should-retry": "false" } };
const no: Script = { status: 401 };
const yes: Script = { text: ["yes"] };

/** So many models, each with its script; a clock that only `pass` moves. */
async function start(...scripts: readonly (readonly Script[])[]) {
  let now = 0;
  const servers = await Promise.all(
    scripts.map((script, at) => ModelServer.start((services[at] ?? services[0])![2], ...script)),
  );
  const models = await Promise.all(
    servers.map(async ({ baseUrl }, at) => {
      const [name, kind] = services[at]!;
      return { name, kind, provider: await openProvider({ provider: kind, name, baseUrl }) };
    }),
  );
  const provider = fallback(models, { mono: () => now });
  async function ask(by = provider, signal = new AbortController().signal) {
    const events: ModelEvent[] = [];
    const items = [{ role: "user", text: "hello" } as const];
    try {
      const request = { system: "", items, tools: [], maxTokens: 100 };
      for await (const event of by.stream(request, signal)) events.push(event);
    } catch (why) {
      return { why: why as ModelFailure };
    }
    return { model: events.flatMap((event) => (event.type === "usage" ? [event.model] : []))[0] };
  }
  return {
    ...{ servers, provider, ask },
    pass: (ms: number) => void (now += ms),
    states: () => provider.choices?.().map(({ state, restMs }) => restMs ?? state),
    asked: () => servers.map(({ requests }) => requests.length),
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
}

test("the first that is well answers, and says which it is", async () => {
  await using desk = await start([yes], [yes]);
  expect(await desk.ask()).toEqual({ model: "best" });
  expect(desk.asked()).toEqual([1, 0]);
});

test("one that has too much to do rests as long as it asks, and is asked again then", async () => {
  await using desk = await start([busy(90), yes], [yes, yes]);
  expect(await desk.ask()).toEqual({ model: "good" });
  expect(desk.states()).toEqual([90_000, "well"]);
  desk.pass(89_999);
  expect(await desk.ask()).toEqual({ model: "good" });
  desk.pass(1);
  expect(await desk.ask()).toEqual({ model: "best" });
  expect(desk.states()).toEqual(["well", "well"]);
});

test("who does not say how long rests a minute, each time twice as long, at most fifteen", async () => {
  const misses = Array.from({ length: 6 }, () => overloaded);
  await using desk = await start(
    [...misses, yes, overloaded],
    [...misses, yes].map(() => yes),
  );
  const rests = [];
  for (const _ of misses) {
    await desk.ask();
    const [rest] = desk.states() ?? [];
    rests.push(Number(rest) / MINUTE);
    desk.pass(Number(rest));
  }
  expect(rests).toEqual([1, 2, 4, 8, 15, 15]);
  expect(await desk.ask()).toEqual({ model: "best" });
  await desk.ask();
  expect(desk.states()).toEqual([MINUTE, "well"]);
});

test("one whose key is not accepted is out, however much time passes", async () => {
  await using desk = await start([no, yes], [yes, yes]);
  expect(await desk.ask()).toEqual({ model: "good" });
  desk.pass(1_000 * MINUTE);
  expect(await desk.ask()).toEqual({ model: "good" });
  expect(desk.states()).toEqual(["out", "well"]);
  expect(desk.provider.choices?.()[0]?.why).toContain("wants a key");
  expect(desk.asked()).toEqual([1, 2]);
});

test("one that is tried out and answers is well again", async () => {
  await using desk = await start([no, yes], [yes]);
  await desk.ask();
  expect(await desk.ask(desk.provider.choices?.()[0]?.provider)).toEqual({ model: "best" });
  expect(desk.states()).toEqual(["well", "well"]);
});

test("a request that is refused is not asked of another", async () => {
  await using desk = await start([{ status: 400, words: "too long" }], [yes]);
  expect((await desk.ask()).why).toMatchObject({ code: "model-refused" });
  expect(desk.asked()).toEqual([1, 0]);
  expect(desk.states()).toEqual(["well", "well"]);
});

test.each<[string, Script]>([
  ["cut", { text: ["half"], ending: "cut" }],
  ["ended by an error", { text: ["half"], ending: "overloaded" }],
])("an answer that is %s after its first words is the session's to ask again", async (_, half) => {
  await using desk = await start([half], [yes]);
  expect((await desk.ask()).why).toMatchObject({ retryable: true });
  expect(desk.asked()).toEqual([1, 0]);
  expect(await desk.ask()).toEqual({ model: "good" });
});

test("when all rest, it says when the first is asked again; none is asked before", async () => {
  await using desk = await start([busy(300)], [busy(30)], [{ status: 429 }]);
  expect((await desk.ask()).why).toMatchObject({ code: "model-busy", retryable: true });
  desk.pass(20_000);
  const { why } = await desk.ask();
  expect(why).toMatchObject({ code: "model-busy", retryable: true });
  expect(why?.message).toContain("It is asked again in 10 s.");
  expect(desk.asked()).toEqual([1, 1, 1]);
});

test("when all are away, each is asked at once: a network may be back", async () => {
  const gone: Script = { status: 503, headers: { "x-should-retry": "false" } };
  await using desk = await start([gone, yes], [gone]);
  expect((await desk.ask()).why).toMatchObject({ code: "model-away", retryable: true });
  expect(await desk.ask()).toEqual({ model: "best" });
});

test("one alone is asked in any case", async () => {
  await using desk = await start([no, yes]);
  expect((await desk.ask()).why).toMatchObject({ code: "model-key" });
  expect(await desk.ask()).toEqual({ model: "best" });
});

test("who stops the question has not found a model unwell", async () => {
  await using desk = await start([{ after: new Promise(() => {}) }], [yes]);
  const stop = new AbortController();
  const answer = desk.ask(desk.provider, stop.signal);
  await expect.poll(() => desk.asked()).toEqual([1, 0]);
  stop.abort(new Error("stop"));
  expect((await answer).why?.message).toBe("stop");
  expect(desk.states()).toEqual(["well", "well"]);
});
