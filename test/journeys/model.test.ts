/** A language model beside the commands: its calls are a person's, its answers outlive the gateway. */
import { appendFileSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { demo } from "../support/demo.ts";
import type { Message } from "../support/control.ts";
import { Control, pairedWorld, until, type World } from "../support/home.ts";
import { kith, kithWith } from "../support/kith.ts";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Script, type Wire } from "../support/models/server.ts";

const snap = { id: "c1", name: "camera_snap", json: '{"device":"laptop","look":true}' };
const SENTENCE = "grab a photo from my laptop camera and tell me what is on it";

test.for<[string, Wire]>([
  ["anthropic", anthropic],
  ["openai", responses],
  ["openai-compatible", chat],
  ["ollama", ollama],
])(
  "the demo through %s: the model asks for the photo, sees it, and tells",
  async ([provider, wire]) => {
    await using server = await ModelServer.start(
      wire,
      { calls: [snap] },
      { text: ["A test ", "pattern."] },
    );
    const said = await demo("--provider", provider, "--base-url", server.baseUrl);
    try {
      expect(said).toMatchObject({
        ...{ ok: true, shots: 1, auditVerified: true },
        ...{ answer: "A test pattern.", modelSawPicture: true },
      });
      expect(server.requests).toHaveLength(2);
      expect(server.pictures).toEqual([readFileSync(said.photo).toString("base64")]);
    } finally {
      rmSync(dirname(dirname(said.photo)), { recursive: true, force: true });
    }
  },
);

/** A gateway with a model that answers so, a laptop with a camera, and an owner in a chat. */
async function start(home: World, scripts: readonly Script[], node = {}): Promise<ModelServer> {
  const server = await ModelServer.start(chat, ...scripts);
  const model = `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n`;
  appendFileSync(join(home.home, "config.yaml"), model);
  await home.startGateway();
  await home.startNode("laptop", {
    ...{ allow: "camera.snap=allow,clipboard.read=allow", args: ["--camera", "test-pattern"] },
    ...node,
  });
  return server;
}
const isLast = ({ final }: Message) => final;

test("killed while the model thinks, while its call is asked about, and while it looks: one photo, one answer", async () => {
  await using home = await pairedWorld();
  const never = { after: new Promise(() => {}) };
  const calls = [snap];
  const scripts = [never, { calls }, never, { text: ["It is a test pattern."] }];
  await using server = await start(home, scripts);
  const owner = await home.owner(undefined, true);
  const killed = async () => {
    await home.gateway?.end("SIGKILL");
    await home.startGateway();
  };
  await owner.say(SENTENCE);
  await until("the first question to the model", () => server.requests.length === 1);
  await killed();
  const { question, text } = await owner.hear("the question", (message) => message.question);
  expect(question?.cap).toBe("camera.snap");
  expect(text).toContain("The model will see it.");
  await killed();
  await owner.say("/allow once");
  await until("the question about the picture", () => server.requests.length === 3);
  await killed();
  const answer = await owner.hear("the answer", ({ text }) => text.includes("test pattern."));
  expect(answer.final).toBe(true);
  expect(await home.ledger("laptop", "camera.snap")).toMatchObject([{ state: "done", starts: 1 }]);
  expect(owner.messages.filter(({ text }) => text === answer.text)).toHaveLength(1);
  expect([server.requests.length, server.pictures.length]).toEqual([4, 1]);
});

test("what was permitted before counts until the model has looked; then each call is asked about", async () => {
  await using home = await pairedWorld();
  const calls = [snap];
  await using server = await start(home, [
    { calls },
    { text: ["One."] },
    { calls },
    { text: ["Two."] },
  ]);
  await home.call("invoke", { device: "laptop", cap: "camera.snap", allow: "1h" });
  const owner = await home.owner(undefined, true);
  await owner.say(SENTENCE);
  await owner.hear("the first answer", ({ text }) => text === "One.");
  await owner.say("and now again, please look");
  const asked = await owner.hear(
    "the question",
    ({ question, text }) => question || text === "Two.",
  );
  expect(asked.question).toMatchObject({ cap: "camera.snap" });
  expect(asked.text).toContain("others may have written");
  await owner.say("/deny");
  expect(await owner.hear("the end", isLast)).toBeDefined();
  expect(JSON.stringify(server.requests.at(-1)?.body)).toContain("denied-owner");
  expect(await home.ledger("laptop", "camera.snap")).toHaveLength(2);
});

test("an answer is seen while it comes", async () => {
  await using home = await pairedWorld();
  await using _ = await start(home, [{ text: ["Once ", "upon ", "a time."] }]);
  const drafts: string[] = [];
  using link = await Control.open(home.home, (event, data) => {
    if (event === "chat.draft") drafts.push(data.text);
  });
  await link.call("chat.open", { chat: "console" });
  await link.call("chat.say", { text: "tell me a story" });
  await until("a draft", () => drafts.length > 0);
  expect("Once upon a time.".startsWith(drafts[0] ?? "none")).toBe(true);
});

test("a model that does not answer says why; commands work beside it, and `kith models test` says the same", async () => {
  await using home = await pairedWorld();
  const no = { status: 401, words: "invalid key" };
  await using server = await start(home, [no, no]);
  const owner = await home.owner(undefined, true);
  expect(await owner.ask("what is the capital of France?")).toMatchObject({
    error: { code: "model-key", remedy: expect.stringMatching(/./) },
  });
  expect((await owner.ask("/devices")).text).toContain("laptop");
  const tried = await kith(home.home, "models", "test", "--json");
  expect([tried.code, JSON.parse(tried.stdout).error.code]).toEqual([1, "model-key"]);
  expect(server.requests).toHaveLength(2);
});

test("`kith models test` of one that answers, and of none", async () => {
  await using home = await pairedWorld();
  await home.startGateway();
  expect((await kith(home.home, "models", "test")).stdout).toContain("No model is set up");
  await home.gateway?.end("SIGTERM");
  await using _ = await start(home, [{ text: ["ready"] }]);
  expect((await kith(home.home, "models", "test")).stdout).toMatch(
    /^m of openai-compatible answers, in /,
  );
});

test("a key that is set anew counts without a restart, and is in no file, log or audit as it was", async () => {
  await using home = await pairedWorld();
  await using server = await ModelServer.start(
    chat,
    ...Array.from({ length: 5 }, () => ({ text: ["ready"] })),
  );
  server.key = "sk-canary-1";
  const set = (input: string) => kithWith({ input }, home.home, "secrets", "set", "mine", "--json");
  await home.startGateway();
  expect((await set("sk-canary-1\n")).json).toEqual({ ok: true, name: "mine" });
  await home.gateway?.end("SIGTERM");
  appendFileSync(
    join(home.home, "config.yaml"),
    `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n  apiKey: \${secret:mine}\n`,
  );
  await home.startGateway();
  const tried = async () => (await kith(home.home, "models", "test", "--json")).json;
  expect(await tried()).toMatchObject({ ok: true });
  server.key = "sk-canary-2";
  expect(await tried()).toMatchObject({ error: { code: "model-key" } });
  expect((await kith(home.home, "models")).stdout).toMatch(/^m +openai-compatible +out /);
  expect((await set("sk-canary-2")).code).toBe(0);
  expect((await kith(home.home, "models")).stdout).toMatch(/^m +openai-compatible +well/);

  expect((await set("")).code).toBe(2);
  expect((await set("two\nlines")).json.error).toMatchObject({ code: "bad-args" });
  expect((await kith(home.home, "secrets")).stdout).toBe("canary\nmine\n");
  expect((await kith(home.home, "secrets", "remove", "mine")).code).toBe(0);
  expect((await kith(home.home, "secrets", "remove", "mine")).code).toBe(1);
  const deeds = (await home.audit()).filter(({ data }) => data.name === "mine");
  expect(deeds.map(({ what, data }) => [what, data.name, data.by])).toEqual([
    ["secret.set", "mine", "console:owner"],
    ["secret.set", "mine", "console:owner"],
    ["secret.removed", "mine", "console:owner"],
  ]);
  await home.gateway?.end("SIGTERM");
  for (const file of readdirSync(home.home, { recursive: true, withFileTypes: true }))
    if (file.isFile()) {
      const text = readFileSync(join(file.parentPath, file.name)).toString("latin1");
      for (const form of ["utf8", "base64", "hex"] as const)
        expect([file.name, text.includes(Buffer.from("sk-canary").toString(form))]).toEqual([
          file.name,
          false,
        ]);
    }
});
