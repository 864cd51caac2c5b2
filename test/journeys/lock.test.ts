/** /lock on real processes, in the middle of what a model, a tool and a device do: all of it ends, within 2 s. */
import { appendFileSync } from "node:fs";
import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type World, pairedWorld, until } from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer, type Script } from "../support/models/server.ts";

/** A page that never comes, and how many asked for it and left. */
async function slowPage(): Promise<{ server: Server; place: string; left: () => number }> {
  let left = 0;
  const server = createServer((_, response) => void response.on("close", () => left++));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    server,
    place: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    left: () => left,
  };
}

async function start(home: World, config: string, ...scripts: Script[]) {
  const server = await ModelServer.start(chat, ...scripts);
  appendFileSync(
    join(home.home, "config.yaml"),
    `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n${config}`,
  );
  await home.startGateway();
  return server;
}

test("/lock ends a page that is fetched and asks no model; nothing is asked or fetched until it is lifted", async () => {
  await using home = await pairedWorld();
  const page = await slowPage();
  const fetch = (id: string) => ({
    calls: [{ id, name: "web_fetch", json: JSON.stringify({ url: `http://${page.place}/` }) }],
  });
  await using server = await start(home, `egress:\n  allow: ["${page.place}"]\n`, fetch("a"), {
    text: ["Open again."],
  });
  const owner = await home.owner(undefined, true);
  await owner.say("read that page for me, please");
  await until("the page is asked for", async () => {
    const { out } = await home.call("egress.list");
    return JSON.stringify(out).includes(page.place);
  });
  const began = performance.now();
  await owner.say("/lock");
  await until("the page's connection is closed", () => page.left() === 1);
  await owner.hear("why it ended", ({ error }) => error?.code === "locked");
  expect(performance.now() - began).toBeLessThan(2_000);
  expect(server.requests).toHaveLength(1);
  expect(await owner.ask("and what is in it, friend?")).toMatchObject({
    error: { code: "locked" },
  });
  expect(server.requests).toHaveLength(1);
  await owner.say("/unlock");
  await owner.hear("that it is lifted", ({ text }) => text.includes("lifted"));
  expect((await owner.ask("are you there, friend?")).text).toBe("Open again.");
  page.server.closeAllConnections();
  page.server.close();
}, 60_000);

test("/lock in the middle of an answer ends it", async () => {
  await using home = await pairedWorld();
  await using server = await start(home, "", { after: new Promise(() => {}) });
  const owner = await home.owner(undefined, true);
  await owner.say("tell me a very long story");
  await until("the question to the model", () => server.requests.length === 1);
  await owner.say("/lock");
  await until("the connection to the model is closed", () => server.left === 1);
  await owner.hear("why it ended", ({ error }) => error?.code === "locked");
}, 60_000);

test("`kith grants explain TOOL` says which line decides about a tool of the gateway", async () => {
  await using home = await pairedWorld();
  await using _ = await start(
    home,
    "permissions:\n  rules:\n    - ask: web_fetch\n    - deny: memory_*\n      agent: office\nagents:\n  office: { tools: ['memory_*'] }\n",
  );
  const explain = async (...args: string[]) =>
    (await kith(home.home, "grants", "explain", ...args)).stdout;
  expect(await explain("web_fetch")).toContain("ask (rule 1 of permissions (ask: web_fetch))");
  expect(await explain("memory_write")).toContain("allow (no line is about it)");
  expect(await explain("memory_write", "--agent", "office")).toContain("deny (rule 2");
  expect(await explain("web_fetch", "--agent", "office")).toContain(
    "deny (tools of the assistant office)",
  );
  const none = await kith(home.home, "grants", "explain", "camera.snap");
  expect([none.code, none.stderr]).toEqual([
    expect.any(Number),
    expect.stringContaining("no tool camera.snap"),
  ]);
  await home.call("lock");
  expect(await explain("memory_write")).toContain("deny (lock)");
}, 60_000);
