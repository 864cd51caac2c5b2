/** An assistant in daily use, on real processes: stopped, interrupted, limited, reminded, and killed in the middle. */
import { appendFileSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Message } from "../support/control.ts";
import { pairedWorld, until, type World } from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer, type Script } from "../support/models/server.ts";

const call = (name: string, args: object, id = `c-${name}`) => ({
  ...{ id, name },
  json: JSON.stringify(args),
});
const snap = call("camera_snap", { device: "laptop" });
const isLast = ({ final }: Message) => final;

/** A gateway with a model that answers so, a laptop whose camera may be used, and an owner in a chat. */
async function start(home: World, scripts: readonly Script[], config = "") {
  const server = await ModelServer.start(chat, ...scripts);
  const model = `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n`;
  appendFileSync(join(home.home, "config.yaml"), model + config);
  await home.startGateway();
  await home.startNode("laptop", {
    ...{ allow: "camera.snap=allow,device.status=allow", args: ["--camera", "test-pattern"] },
  });
  return server;
}
/** What the model reads in its newest request. */
const told = (server: ModelServer): string => JSON.stringify(server.requests.at(-1)?.body.messages);

test("/stop in the middle of an answer, and in the middle of a question to the owner; then the next words begin anew", async () => {
  await using home = await pairedWorld();
  const never = { after: new Promise(() => {}) };
  await using server = await start(home, [never, { calls: [snap] }, { text: ["Hello again."] }]);
  const owner = await home.owner(undefined, true);
  await owner.say("tell me a very long story");
  await until("the question to the model", () => server.requests.length === 1);
  expect(await owner.ask("/stop")).toMatchObject({ text: "Stopped." });
  await until("the connection to the model is closed", () => server.left === 1);
  await owner.say("now take a photo and describe it");
  await owner.hear("the question", ({ question }) => question);
  await owner.say("/stop");
  await owner.hear("that it stopped", ({ text }) => text === "Stopped.");
  expect((await home.call("approvals.list")).out.approvals).toEqual([]);
  await owner.say("are you there, friend?");
  await owner.hear("the answer", ({ text }) => text === "Hello again.");
  expect(told(server)).toContain("the owner stopped it");
  expect(await home.ledger("laptop", "camera.snap")).toEqual([]);
});

test("it remembers in Markdown, reminds, and has a helper do a task", async () => {
  await using home = await pairedWorld();
  await using server = await start(home, [
    { calls: [call("memory_write", { file: "owner", text: "The owner likes green tea" })] },
    { calls: [call("reminder_add", { when: "in 2h", text: "tea" })] },
    { calls: [call("task", { task: "Which tea does the owner like?" })] },
    { calls: [call("memory_search", { words: "tea" })] },
    { text: ["Green tea."] },
    { text: ["All done."] },
  ]);
  const owner = await home.owner(undefined, true);
  expect(await owner.ask("please note that I like green tea, and remind me of it")).toMatchObject({
    text: "All done.",
  });
  expect(readFileSync(join(home.home, "memory/owner.md"), "utf8")).toMatch(
    /^- The owner likes green tea <!-- kith \w+ session\/\w+ in:console trusted/,
  );
  const { out } = await home.call("reminders.list");
  expect(out.reminders).toMatchObject([{ text: "tea", when: "in 2h" }]);
  // What the helper said is what the one that asked reads.
  expect(told(server)).toContain("Green tea.");
  expect(JSON.stringify(server.requests[3]?.body.messages)).not.toContain("please note");
  expect(JSON.stringify(server.requests[0]?.body)).toContain("daily-review");
});

test("the same call for the third time is not made", async () => {
  await using home = await pairedWorld();
  const again = { calls: [call("device_status", { device: "laptop" })] };
  await using server = await start(home, [again, again, again]);
  const owner = await home.owner(undefined, true);
  expect((await owner.ask("watch the laptop for me")).text).toContain("third time");
  expect(server.requests).toHaveLength(3);
  expect(await home.ledger("laptop", "device.status")).toHaveLength(2);
});

test("a budget holds, in words, before anything is asked", async () => {
  await using home = await pairedWorld();
  await using server = await start(
    home,
    [{ text: ["One."] }, { text: ["Two."] }],
    "budgets:\n  day: { tokens: 9200 }\n  chat: { camera: 0 }\n",
  );
  const owner = await home.owner(undefined, true);
  expect((await owner.ask("say one, will you?")).text).toBe("One.");
  expect(await owner.ask("say two, will you?")).toMatchObject({
    error: { code: "budget-spent" },
    text: expect.stringContaining("9,200 tokens"),
  });
  expect(server.requests).toHaveLength(1);
  expect((await owner.ask("/photo laptop")).text).toContain("0 camera uses");
  const usage = await kith(home.home, "usage", "--json");
  expect(JSON.parse(usage.stdout)).toMatchObject({ ok: true, used: { tokens: 127 } });
  expect((await owner.ask("/usage")).text).toContain("127 tokens");
});

test("killed while its own tool and a device's call are on their way: each happened once, and one answer", async () => {
  await using home = await pairedWorld();
  const note = call("memory_write", { file: "owner", text: "likes tea" });
  const slow = { after: new Promise(() => {}) };
  await using server = await start(home, [
    { calls: [note, snap] },
    slow,
    { text: ["Both are done."] },
  ]);
  const owner = await home.owner(undefined, true);
  await owner.say("note that I like tea and take a photo");
  await owner.hear("the question", ({ question }) => question);
  const killed = async () => {
    await home.gateway?.end("SIGKILL");
    await home.startGateway();
  };
  await killed();
  await owner.say("/allow once");
  await until("the question about both", () => server.requests.length === 2);
  await killed();
  const answer = await owner.hear("the answer", ({ text }) => text === "Both are done.");
  expect(answer.final).toBe(true);
  expect(await home.ledger("laptop", "camera.snap")).toMatchObject([{ state: "done", starts: 1 }]);
  expect(readFileSync(join(home.home, "memory/owner.md"), "utf8").match(/likes tea/g)).toHaveLength(
    1,
  );
  const results = server.requests
    .at(-1)
    ?.body.messages.filter(({ role }: { role: string }) => role === "tool");
  expect(results).toHaveLength(2);
});

test("two assistants: each has its chat, its tools and its memory", async () => {
  await using home = await pairedWorld();
  await using server = await start(
    home,
    [
      { calls: [call("memory_write", { file: "secret", text: "the work code is 77" })] },
      { text: ["Noted."] },
      { calls: [call("memory_search", { words: "code" })] },
      { text: ["Nothing."] },
    ],
    "agents:\n  work: { tools: ['memory_*'] }\n",
  );
  const work = await home.owner("work", true);
  await work.say("note the work code, it is 77");
  await work.hear("its answer", isLast);
  const tools = server.requests[0]?.body.tools.map(
    ({ function: { name } }: { function: { name: string } }) => name,
  );
  expect(tools).toEqual(["memory_search", "memory_read", "memory_write", "memory_forget"]);
  const owner = await home.owner(undefined, true);
  expect((await owner.ask("what is the work code, please?")).text).toBe("Nothing.");
  expect(told(server)).toContain("No line of memory has all of these words");
  expect(told(server)).not.toContain("77");
  expect(readFileSync(join(home.home, "agents/work/memory/secret.md"), "utf8")).toContain("77");
});

test("it writes a file of its workspace, and sends it to another chat once the owner has said yes", async () => {
  await using home = await pairedWorld();
  const file = { path: "lists/tea.md", text: "- green\n- black\n" };
  await using server = await start(home, [
    { calls: [call("workspace_write", file)] },
    { calls: [call("workspace_read", { path: file.path })] },
    { calls: [call("send_message", { chat: "family", text: "Our teas", file: file.path })] },
    { text: ["It is sent."] },
  ]);
  const family = await home.owner("family", true);
  await family.ask("/devices");
  const owner = await home.owner(undefined, true);
  await owner.say("make a list of our teas and send it to the family, will you");
  const question = await owner.hear("the question", (message) => message.question);
  expect(question.text).toMatch(/send “Our teas” and the file lists\/tea\.md to the chat family/);
  expect(question.text).toContain("Answer /allow once or /deny.");
  await owner.say("/allow once");
  await owner.hear("the answer", ({ text }) => text === "It is sent.");
  const got = await family.hear("the file", ({ text }) => text.startsWith("Our teas"));
  const [, path = ""] = /tea\.md, 16 bytes: (\S+)$/.exec(got.text) ?? [];
  expect(readFileSync(path, "utf8")).toBe(file.text);
  expect(readFileSync(join(home.home, "workspace", file.path), "utf8")).toBe(file.text);
  expect(told(server)).toContain("It was sent to family.");
});

test("a transcript of the day is Markdown, and the same bytes when it is made anew", async () => {
  await using home = await pairedWorld();
  await using _ = await start(home, [{ calls: [snap] }, { text: ["A *test* pattern."] }]);
  const owner = await home.owner(undefined, true);
  await owner.say("grab a picture of the laptop's view, and tell me about it");
  await owner.hear("the question", ({ question }) => question);
  await owner.say("/allow once");
  await owner.hear("the answer", ({ text }) => text === "A *test* pattern.");
  const rebuilt = async () =>
    JSON.parse((await kith(home.home, "transcripts", "rebuild", "--json")).stdout).written;
  await rebuilt();
  const folder = join(home.home, "transcripts/console");
  const [day = ""] = readdirSync(folder);
  const text = readFileSync(join(folder, day), "utf8");
  expect(text).toMatch(
    /You\n\ngrab a picture[\s\S]*camera_snap[\s\S]*!\[image\]\(\.\.\/\.\.\/media\/[0-9a-f]{64}\.jpg\)[\s\S]*A \\\*test\\\* pattern\./,
  );
  expect(text).not.toContain(home.home);
  rmSync(join(folder, day));
  expect(await rebuilt()).toBe(1);
  expect(readFileSync(join(folder, day), "utf8")).toBe(text);
});

test("`kith why` tells in one screen why an action was refused: a line of the owner, a no, a budget", async () => {
  await using home = await pairedWorld();
  const again = (id: string) => call("camera_snap", { device: "laptop" }, id);
  await using server = await start(
    home,
    [{ calls: [again("a")] }, { text: ["Two."] }, { calls: [again("b")] }, { text: ["Three."] }],
    "permissions:\n  rules:\n    - deny: device.status\nbudgets:\n  day: { camera: 1 }\n",
  );
  const owner = await home.owner(undefined, true);
  const refused = async () => {
    const { out } = await home.call("audit.list", { limit: 40 });
    const row = out.rows.findLast(({ what }: { what: string }) =>
      /^call\.(?:refused|denied)$/.test(what),
    );
    const { stdout } = await kith(home.home, "why", row.data.call);
    // Of 24 lines with 80 characters each.
    const lines = stdout.split("\n").map(({ length }) => Math.max(1, Math.ceil(length / 80)));
    expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(24);
    return stdout;
  };
  expect((await owner.ask("/status laptop")).text).toContain("denies device.status");
  expect(await refused()).toContain("rule 1 of permissions (deny: device.status)");
  await owner.say("take a photo and describe it, please do");
  await owner.hear("the question", ({ question }) => question);
  await owner.say("/deny");
  await owner.hear("two", ({ text }) => text === "Two.");
  expect(await refused()).toMatch(/the owner said no|denied-owner/);
  await owner.say("take one more photo and describe it, please do");
  await owner.hear("three", ({ text }) => text === "Three.");
  expect(await refused()).toMatch(/budget/);
  expect(server.requests).toHaveLength(4);
});

test("`kith why` of a chat tells which line keeps a tool from a model that wanted it", async () => {
  await using home = await pairedWorld();
  const fetch = call("web_fetch", { url: "https://example.org/" });
  await using server = await start(
    home,
    [{ calls: [fetch] }, { text: ["I may not."] }],
    "permissions:\n  rules:\n    - deny: web_*\n",
  );
  const owner = await home.owner(undefined, true);
  expect((await owner.ask("what is on example.org, friend?")).text).toBe("I may not.");
  const offered = JSON.stringify(server.requests[0]?.body.tools);
  expect(offered).not.toContain("web_fetch");
  expect(told(server)).toContain("it is not for you: rule 1 of permissions (deny: web_*)");
  const { stdout } = await kith(home.home, "why", "console");
  expect(stdout).toContain("the model wanted web_fetch: it is not for you: rule 1 of permissions");
});
