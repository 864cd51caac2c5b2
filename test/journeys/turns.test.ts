/** What is said while a model works, on real processes: stopped in the middle of a tool, steered, queued, asked back. */
import { once } from "node:events";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type World, pairedWorld, until } from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer, type Script } from "../support/models/server.ts";

const SLOW = fileURLToPath(new URL("../own/slow.mjs", import.meta.url));

const call = (name: string, args: object, id = `c-${name}`) => ({
  ...{ id, name },
  json: JSON.stringify(args),
});
const done = (text: string): Script => ({ text: [text] });

async function start(home: World, scripts: readonly Script[], config = "") {
  const server = await ModelServer.start(chat, ...scripts);
  const model = `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n`;
  appendFileSync(join(home.home, "config.yaml"), model + config);
  await home.startGateway();
  return server;
}
/** What people and tools said in its n-th request, in order. */
const read = (server: ModelServer, n: number): string[] =>
  server.requests[n]?.body.messages
    .filter(({ role }: { role: string }) => role === "user" || role === "tool")
    .map(({ content }: { content: unknown }) => String(content)) ?? [];

test("/stop in the middle of what a device does ends it there within a second, and nothing of it is read", async () => {
  await using home = await pairedWorld();
  const slow = call("x_slow_do", { device: "laptop" });
  await using server = await start(home, [{ calls: [slow] }, done("I am here.")]);
  const log = join(home.folder, "slow.log");
  await home.startNode("laptop", {
    ...{ allow: "x.slow.do=allow", args: ["--driver", SLOW], env: { SLOW: log } },
  });
  await home.call("devices.widen", { device: "laptop", cap: "x.slow.do" });
  const owner = await home.owner(undefined, true);
  await owner.say("do the slow thing, please");
  await owner.hear("the question", ({ question }) => question);
  await owner.say("/allow once");
  await until("it has begun", () => existsSync(log) && readFileSync(log, "utf8") === "begun\n");
  const began = performance.now();
  await owner.say("/stop");
  await owner.hear("that it stopped", ({ text }) => text === "Stopped.");
  await until("the device stopped", () => readFileSync(log, "utf8") === "begun\nstopped\n");
  const took = performance.now() - began;
  expect(took).toBeLessThan(1_000);
  console.log(`stopped at the device after ${Math.round(took)} ms`);
  await owner.say("are you there, friend?");
  await owner.hear("the next answer", ({ text }) => text === "I am here.");
  expect(read(server, 1).join()).toContain("the owner stopped it");
  expect(server.requests).toHaveLength(2);
});

describe("what is said meanwhile", () => {
  /** It waits in its first question until `go`; then it calls something harmless. */
  async function working(home: World, ...more: Script[]) {
    const { promise: go, resolve } = Promise.withResolvers<void>();
    const first = { after: go, calls: [call("memory_search", { words: "tea" })] };
    const server = await start(home, [first, ...more]);
    const owner = await home.owner(undefined, true);
    return { server, owner, go: resolve };
  }
  const asked = (server: ModelServer) => until("the question", () => server.requests.length === 1);

  test("is heard with its next step", async () => {
    await using home = await pairedWorld();
    const { server, owner, go } = await working(home, done("Both."));
    await using _ = server;
    await owner.say("which tea do I like, tell me");
    await asked(server);
    await owner.say("and which coffee, tell me");
    go();
    expect((await owner.hear("the answer", ({ final }) => final)).text).toBe("Both.");
    expect(read(server, 1)).toEqual([
      "which tea do I like, tell me",
      expect.stringContaining("No line"),
      "and which coffee, tell me",
    ]);
  });

  test.for([
    ["followup", [["and coffee, tell me"], ["and milk, tell me"]]],
    ["collect", [["and coffee, tell me\nand milk, tell me"]]],
  ] as const)("is heard after it: /queue %s", async ([mode, turns]) => {
    await using home = await pairedWorld();
    const { server, owner, go } = await working(home, done("First."), done("A."), done("B."));
    await using _ = server;
    await owner.ask(`/queue ${mode}`);
    await owner.say("which tea do I like, tell me");
    await asked(server);
    await owner.say("and coffee, tell me");
    await owner.say("and milk, tell me");
    go();
    const last = turns.length === 1 ? "A." : "B.";
    await owner.hear("the last answer", ({ text }) => text === last);
    const heard = server.requests.slice(2).map((_one, n) => read(server, n + 2).at(-1));
    expect(heard).toEqual(turns.flat());
    expect(read(server, 1)).toHaveLength(2);
  });

  test("ends it and begins with it: /queue interrupt", async () => {
    await using home = await pairedWorld();
    const { server, owner } = await working(home, done("Coffee it is."));
    await using _ = server;
    await owner.ask("/queue interrupt");
    await owner.say("which tea do I like, tell me");
    await asked(server);
    await owner.say("no, which coffee, tell me");
    await owner.hear("the answer", ({ text }) => text === "Coffee it is.");
    expect(server.left).toBe(1);
    expect(read(server, 1)).toEqual(["which tea do I like, tell me", "no, which coffee, tell me"]);
  });
});

test("it asks back, is killed meanwhile, and the owner's next words are the answer", async () => {
  await using home = await pairedWorld();
  const ask = call("ask_owner", { question: "Green or black?" });
  await using server = await start(home, [{ calls: [ask] }, done("Green tea it is.")]);
  const owner = await home.owner(undefined, true);
  await owner.say("order some tea for me, will you");
  await owner.hear("its question", ({ text }) => text === "Green or black?");
  await home.gateway?.end("SIGKILL");
  await home.startGateway();
  await owner.say("green, as always");
  await owner.hear("the answer", ({ text }) => text === "Green tea it is.");
  expect(read(server, 1)).toEqual(["order some tea for me, will you", "green, as always"]);
});

test("/clean leaves out what others wrote, and permissions count again", async () => {
  await using home = await pairedWorld();
  const page = createServer((_, response) => response.end("a page about tea"));
  page.listen(0, "127.0.0.1");
  await once(page, "listening");
  const place = `127.0.0.1:${(page.address() as AddressInfo).port}`;
  const fetch = call("web_fetch", { url: `http://${place}/` });
  const snap = (id: string) => call("camera_snap", { device: "laptop" }, id);
  await using server = await start(
    home,
    [
      ...[{ calls: [fetch] }, done("About tea."), { calls: [snap("a")] }, done("Not now.")],
      ...[{ calls: [snap("b")] }, done("Here it is.")],
    ],
    `egress:\n  allow: ["${place}"]\n`,
  );
  await home.startNode("laptop", {
    allow: "camera.snap=allow",
    args: ["--camera", "test-pattern"],
  });
  await home.call("invoke", { device: "laptop", cap: "camera.snap", allow: "1h" });
  const owner = await home.owner(undefined, true);
  expect((await owner.ask("what is on that page, friend?")).text).toBe("About tea.");
  await owner.say("take a picture for me, please do");
  const question = await owner.hear("the question", (message) => message.question);
  expect(question.text).toContain("it read what others may have written");
  await owner.say("/deny");
  await owner.hear("not now", ({ text }) => text === "Not now.");
  // Why there was a question although an hour was permitted: the permission does not count in this turn.
  const { out } = await home.call("audit.list", { limit: 60 });
  const denied = out.rows.find(({ what }: { what: string }) => what === "call.denied");
  const why = await kith(home.home, "why", denied.data.call);
  expect(why.stdout).toContain("read what others may have written");
  expect(why.stdout).toContain("said no");
  expect((await owner.ask("/clean")).text).toContain("permissions count again");
  expect((await owner.ask("take a picture for me, please do now")).text).toBe("Here it is.");
  const last = read(server, 5).join("\n");
  expect(last).toContain("left out]");
  expect(last).not.toContain("a page about tea");
  page.close();
});
