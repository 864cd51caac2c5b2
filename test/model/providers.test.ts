import { inspect } from "node:util";
import type {
  Item,
  ModelEvent,
  ModelFailure,
  ModelRequest,
  ProviderKind,
} from "@kith/gateway/model/provider";
import { openProvider } from "@kith/gateway/model/providers/open";
import { Secret } from "@kith/gateway/secret";
import { afterEach, describe, expect, test, vi } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Script, USAGE, type Wire } from "../support/models/server.ts";

const KEY = "sk-canary-4711";
interface Row {
  readonly kind: ProviderKind;
  readonly wire: Wire;
  /** How often a service is asked that has too much to do. */
  readonly asks: number;
  readonly cached: number;
  /** An event of a known type with a field of a wrong one. */
  readonly wrong: object;
}
const rows: readonly Row[] = [
  {
    ...{ kind: "anthropic", wire: anthropic, asks: 3, cached: USAGE.cached },
    wrong: { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: 7 } },
  },
  {
    ...{ kind: "openai", wire: responses, asks: 3, cached: USAGE.cached },
    wrong: { type: "response.output_text.delta", delta: 7 },
  },
  {
    ...{ kind: "openai-compatible", wire: chat, asks: 3, cached: USAGE.cached },
    wrong: { choices: [{ delta: { content: 7 } }] },
  },
  {
    ...{ kind: "ollama", wire: ollama, asks: 1, cached: 0 },
    wrong: { message: { content: 7 } },
  },
];

const REQUEST: ModelRequest = {
  system: "You are Kith.",
  items: [{ role: "user", text: "hello" }],
  tools: [],
  maxTokens: 1_000,
};
const snap = { id: "call_1", name: "camera_snap", json: '{"max_edge_px":800,"what":"ä \\"x\\""}' };
const status = { id: "call_2", name: "device_status", json: "{}" };

const USUAL = new Set(
  "accept accept-encoding accept-language authorization connection content-length content-type host sec-fetch-mode user-agent".split(
    " ",
  ),
);

/** What came of an answer, and how it ended otherwise. */
async function ask(
  { kind, server, key = KEY }: { kind: ProviderKind; server: ModelServer; key?: string | null },
  request: Partial<ModelRequest> = {},
  signal = new AbortController().signal,
) {
  const { baseUrl } = server;
  const provider = await openProvider({
    ...{ provider: kind, name: "m", baseUrl },
    ...(key !== null && { apiKey: new Secret(key) }),
  });
  expect(inspect(provider, { depth: 9, showHidden: true })).not.toContain(KEY);
  const events: ModelEvent[] = [];
  try {
    for await (const event of provider.stream({ ...REQUEST, ...request }, signal))
      events.push(event);
  } catch (why) {
    expect(inspect(why, { depth: 9, showHidden: true })).not.toContain(KEY);
    return { ...told(events), why: why as ModelFailure };
  }
  return { ...told(events), why: undefined };
}

function told(events: readonly ModelEvent[]) {
  const texts = events.flatMap((event) => (event.type === "text" ? [event.text] : []));
  const calls = events.flatMap((event) => (event.type === "call" ? [event.call] : []));
  return { events, texts, text: texts.join(""), calls, last: events.at(-1) };
}

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});

describe.each(rows)("$kind", ({ kind, wire, asks, cached, wrong }) => {
  const start = async (...scripts: Script[]) => {
    const server = await ModelServer.start(wire, ...scripts);
    server.key = KEY;
    return server;
  };

  test("an answer comes in its pieces, with what it cost", async () => {
    await using server = await start({ text: ["Guten ", "", "Tag, ", "wie geht’s? 📷"] });
    const { events } = await ask({ kind, server });
    expect(events).toEqual([
      { type: "text", text: "Guten " },
      { type: "text", text: "Tag, " },
      { type: "text", text: "wie geht’s? 📷" },
      { type: "usage", model: "m", ...USAGE, cached },
      { type: "end", why: "done" },
    ]);
  });

  test("an answer may be empty", async () => {
    await using server = await start({});
    expect((await ask({ kind, server })).last).toEqual({ type: "end", why: "done" });
  });

  test("several calls of one answer come whole, in the model's order", async () => {
    await using server = await start({ text: ["Both."], calls: [snap, status] });
    const { text, calls, last } = await ask({ kind, server });
    expect(text).toBe("Both.");
    expect(calls).toMatchObject([
      { name: "camera_snap", args: { max_edge_px: 800, what: 'ä "x"' } },
      { name: "device_status", args: {} },
    ]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    if (kind !== "ollama") expect(calls.map(({ id }) => id)).toEqual([snap.id, status.id]);
    expect(last).toEqual({ type: "end", why: "calls" });
  });

  test("two calls of one id are told apart", async () => {
    await using server = await start({ calls: [snap, snap] });
    const [one, two] = (await ask({ kind, server })).calls;
    expect(one?.id).toMatch(/^[\w-]+$/);
    expect(two?.id).not.toBe(one?.id);
  });

  test("the results of all calls go back, each picture once", async () => {
    const data = new TextEncoder().encode("a photo");
    const args = { max_edge_px: 800 };
    const result = { role: "tool", text: "", pictures: [] } as const;
    const items: Item[] = [
      { role: "user", text: "two photos" },
      {
        role: "assistant",
        text: "",
        calls: [
          { id: "call_1", name: "camera_snap", args },
          { id: "call_2", name: "camera_snap", args: undefined },
        ],
      },
      { ...result, call: "call_1", name: "camera_snap", pictures: [{ type: "image/jpeg", data }] },
      { ...result, call: "call_2", name: "camera_snap", text: "no camera", failed: true },
      { role: "user", text: "and?" },
    ];
    await using server = await start({ text: ["Nice."] }, { text: ["Nice."] });
    expect((await ask({ kind, server }, { items })).text).toBe("Nice.");
    const picture = Buffer.from(data).toString("base64");
    expect(server.pictures).toEqual([picture]);
    // Also where nobody spoke after it.
    await ask({ kind, server }, { items: items.slice(0, -1) });
    expect(server.pictures).toEqual([picture]);
    expect(JSON.stringify(server.requests[1]?.body)).toMatch(/Failed: no camera|"is_error":true/);
  });

  test.each([
    ["cut off", '{"max_edge_px":'],
    ["a list", "[1]"],
    ["a word", '"x"'],
    ["nothing", "null"],
    ["too deep", `{"a":${'{"a":'.repeat(40)}1${"}".repeat(41)}`],
  ])("arguments that are %s are none", async (_what, json) => {
    await using server = await start({ calls: [{ ...snap, json }, status] });
    const { calls, last } = await ask({ kind, server });
    expect(calls).toMatchObject([{ args: undefined }, { args: {} }]);
    expect(last).toEqual({ type: "end", why: "calls" });
  });

  test("a call that was being written at the limit is not told", async () => {
    await using server = await start({ calls: [status, snap], half: true, stop: "length" });
    const { calls, last } = await ask({ kind, server });
    expect(calls).toMatchObject([{ name: "device_status" }]);
    expect(last).toEqual({ type: "end", why: "length" });
  });

  // Ollama has no word for it.
  if (kind !== "ollama")
    test("who refuses asks for nothing", async () => {
      await using server = await start({ text: ["No."], calls: [snap], stop: "refused" });
      const { text, calls, last } = await ask({ kind, server });
      expect({ text, calls, last }).toEqual({
        text: "No.",
        calls: [],
        last: { type: "end", why: "refused" },
      });
    });

  test.each<[number, string, string, boolean]>([
    [307, "moved", "model-name", false],
    [400, "this is too long", "model-refused", false],
    [400, "model: m does not exist", "model-name", false],
    [401, `wrong key ${KEY}`, "model-key", false],
    [403, "not yours", "model-key", false],
    [404, "model 'm' not found", "model-name", false],
    [413, `too large, says ${KEY}`, "model-refused", false],
    [429, "slowly", "model-busy", true],
    [529, "overloaded", "model-busy", true],
    [500, "oops", "model-away", true],
    [503, "later", "model-away", true],
  ])("status %i (%s) is %s", async (status, words, code, retryable) => {
    const headers = { "retry-after-ms": "1", "retry-after": "0.001" };
    const script = { status, words, headers: { ...headers, location: "http://127.0.0.1:1/" } };
    await using server = await start(script, script, script, script);
    const { events, why } = await ask({ kind, server });
    expect(events).toEqual([]);
    expect(why).toMatchObject({ code, retryable });
    expect(why?.message).toContain(server.host);
    if (status === 413) expect(why?.message).toMatch(/: too large, says …$/);
    expect(server.requests.length).toBe(retryable ? asks : 1);
  });

  test("what was too much once is asked for again, where the SDK does", async () => {
    const headers = { "retry-after-ms": "1", "retry-after": "0.001" };
    await using server = await start({ status: 429, headers }, { text: ["Here."] });
    const { text, why } = await ask({ kind, server });
    if (asks > 1) expect(text).toBe("Here.");
    else expect(why).toMatchObject({ code: "model-busy", retryable: true });
  });

  test("nobody waits for an hour because a service says so", async () => {
    await using server = await start({ status: 429, headers: { "retry-after": "3600" } });
    const { why } = await ask({ kind, server });
    expect(why).toMatchObject({ code: "model-busy", retryable: true, retryAfterMs: 3_600_000 });
    expect(why?.message).toContain("3600 s");
    expect(server.requests.length).toBe(1);
  });

  test.each(["error", "cut", "end"] as const)(
    "an answer that ends by %s is none",
    async (ending) => {
      const calls = [snap];
      await using server = await start(
        { ending },
        { text: ["Here"], ending },
        { calls, half: true, ending },
      );
      expect((await ask({ kind, server })).why).toMatchObject({
        code: "model-away",
        retryable: true,
      });
      const { text, why } = await ask({ kind, server });
      expect(text).toBe("Here");
      expect(why).toMatchObject({ code: "model-away", retryable: true });
      expect(why?.message).toContain(server.host);
      const cut = await ask({ kind, server });
      expect(cut).toMatchObject({ calls: [], why: { code: "model-away" } });
    },
  );

  // Ollama has no word for it.
  if (kind !== "ollama")
    test("a service may have too much to do in mid-answer", async () => {
      await using server = await start({ text: ["Here"], ending: "overloaded" });
      const { why } = await ask({ kind, server });
      expect(why).toMatchObject({ code: "model-busy", retryable: true });
    });

  test.each([
    ["no JSON", "<html>"],
    ["JSON of another kind", "7"],
    ["nothing", "null"],
    ["a type that is none", '{"type":7,"choices":7,"message":7}'],
    ["a field that is none", JSON.stringify(wrong)],
  ])("what is %s is no answer", async (_what, junk) => {
    const frame = wire === ollama ? `${junk}\n` : `event: x\ndata: ${junk}\n\n`;
    await using server = await start({ text: ["Here"], junk: frame });
    expect((await ask({ kind, server })).why).toMatchObject({ code: "model-away" });
  });

  test("a text of 256 KiB is taken, one byte more is not", async () => {
    const half = "x".repeat(128 * 1_024);
    await using server = await start({ text: [half, half] }, { text: [half, half, "y"] });
    expect((await ask({ kind, server })).last).toEqual({ type: "end", why: "done" });
    expect((await ask({ kind, server })).why).toMatchObject({ code: "model-away" });
  });

  test("arguments of more than 256 KiB are not gathered", async () => {
    const json = JSON.stringify({ a: "x".repeat(256 * 1_024) });
    await using server = await start({ calls: [{ ...snap, json }] });
    expect(await ask({ kind, server })).toMatchObject({ calls: [], why: { code: "model-away" } });
  });

  test("64 calls are taken, one more is not", async () => {
    const calls = (many: number) =>
      Array.from({ length: many }, (_, n) => ({ ...status, id: `call_${n}` }));
    await using server = await start({ calls: calls(64) }, { calls: calls(65) });
    expect((await ask({ kind, server })).calls.length).toBe(64);
    expect(await ask({ kind, server })).toMatchObject({ calls: [], why: { code: "model-away" } });
  });

  test("a line without an end is not read for ever", async () => {
    await using server = await start({ junk: "x".repeat(5 * 1_048_576) });
    expect((await ask({ kind, server })).why).toMatchObject({ code: "model-away" });
  });

  test("a first byte that comes late is waited for", async () => {
    let release = () => {};
    const after = new Promise<void>((resolve) => (release = resolve));
    await using server = await start({ text: ["Late."], after });
    const answer = ask({ kind, server });
    await expect.poll(() => server.requests.length).toBe(1);
    release();
    expect((await answer).text).toBe("Late.");
  });

  test.each<[string, Script]>([
    ["before the first byte", { after: new Promise(() => {}) }],
    ["in mid-answer", { text: ["Here"], ending: "silence" }],
    ["while the SDK waits", { status: 429, headers: { "retry-after": "15" } }],
  ])("aborting %s ends it at once, for the service too", async (_when, script) => {
    if (script.status && asks === 1) return;
    await using server = await start(script);
    const stop = new AbortController();
    const reason = new Error("the owner said stop");
    const answer = ask({ kind, server }, {}, stop.signal);
    await expect.poll(() => server.requests.length).toBe(1);
    stop.abort(reason);
    expect((await answer).why).toBe(reason);
    if (!script.status) await expect.poll(() => server.left).toBe(1);
    expect((await ask({ kind, server }, {}, stop.signal)).why).toBe(reason);
    expect(server.requests.length).toBe(1);
  });

  test("who stops listening ends the request", async () => {
    await using server = await start({ text: ["Here"], ending: "silence" });
    const { baseUrl } = server;
    const apiKey = new Secret(KEY);
    const provider = await openProvider({ provider: kind, name: "m", baseUrl, apiKey });
    for await (const event of provider.stream(REQUEST, new AbortController().signal)) {
      expect(event).toEqual({ type: "text", text: "Here" });
      break;
    }
    await expect.poll(() => server.left).toBe(1);
  });

  test("four minutes of silence are enough", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await using server = await start({ after: new Promise(() => {}) });
    const answer = ask({ kind, server });
    await expect.poll(() => server.requests.length).toBe(1);
    vi.advanceTimersByTime(239_000);
    vi.advanceTimersByTime(1_000);
    const { why } = await answer;
    expect(why).toMatchObject({ code: "model-away", retryable: true });
    expect(why?.message).toContain("4 minutes");
  });

  test("a service that is not there is away", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const server = await start();
    const { host, baseUrl } = server;
    await server[Symbol.asyncDispose]();
    const gone = { host, baseUrl } as ModelServer;
    const { why } = await settled(ask({ kind, server: gone }));
    expect(why).toMatchObject({ code: "model-away", retryable: true });
    expect(why?.message).toContain(`${host} refuses the connection`);
  });

  test("nothing but the settings says where a request goes and what its headers are", async () => {
    const canary = "x-canary: 1\nAuthorization: Bearer other\nanthropic-version: 1";
    const variables = Object.entries({
      ...{ ANTHROPIC_CUSTOM_HEADERS: canary, OPENAI_CUSTOM_HEADERS: canary },
      ...{ ANTHROPIC_BASE_URL: "http://127.0.0.1:1", OPENAI_BASE_URL: "http://127.0.0.1:1/v1" },
      ...{ ANTHROPIC_API_KEY: "other", ANTHROPIC_AUTH_TOKEN: "other", OPENAI_API_KEY: "other" },
      ...{ OPENAI_ADMIN_KEY: "other", OPENAI_ORG_ID: "other", OPENAI_PROJECT_ID: "other" },
      ...{ ANTHROPIC_PROFILE: "other", OLLAMA_HOST: "http://127.0.0.1:1" },
      ...{ ANTHROPIC_LOG: "debug", OPENAI_LOG: "debug" },
    });
    await using server = await start({ text: ["Hello."] }, { text: ["Hello."] });
    await ask({ kind, server });
    for (const [name, value] of variables) vi.stubEnv(name, value);
    expect((await ask({ kind, server })).text).toBe("Hello.");
    const [before, after] = server.requests.map(({ headers, body }) => ({ headers, body }));
    expect(after).toEqual(before);
    expect(Object.keys(after?.headers ?? {}).filter((name) => !USUAL.has(name))).toEqual(
      kind === "anthropic" ? ["anthropic-version"] : [],
    );
  });

  test("without a key none is sent, whatever the environment holds", async () => {
    for (const name of ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"])
      vi.stubEnv(name, KEY);
    await using server = await start({ status: 401 }, { text: ["Hello."] });
    const { why } = await ask({ kind, server, key: null });
    expect(why?.message).toMatch(/wants a key, and has none \(401\)\.$/);
    server.key = undefined;
    expect((await ask({ kind, server, key: null })).text).toBe("Hello.");
    for (const { headers } of server.requests) {
      expect(headers.authorization).toBeUndefined();
      expect(JSON.stringify(headers)).not.toContain(KEY);
    }
  });
});

/** Moves the clock on while a promise waits: an SDK sleeps between its tries. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let over = false;
  void promise.finally(() => (over = true));
  await expect.poll(() => (vi.advanceTimersByTime(400), over), { interval: 5 }).toBe(true);
  return promise;
}
