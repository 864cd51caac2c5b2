/**
 * Keys are references, never strings that flow: twenty of them, by variable, file and sealed store, set anew,
 * refused and echoed by services that fail in every way, and killed in the middle. Then every byte that Kith wrote,
 * printed or sent.
 */
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { forms as formsOfVerb, verbs } from "../../gateway/bin/verbs.mjs";
import { freePort } from "../support/free-port.ts";
import { pairedWorld } from "../support/home.ts";
import { kithWith } from "../support/kith.ts";
import { filesOf, formsOf } from "../support/leaks.ts";
import { chat } from "../support/models/chat.ts";
import { EchoService, ways } from "../support/models/echo.ts";
import { ModelServer } from "../support/models/server.ts";

/** Of letters that no header, address or JSON changes, and of some that they do. */
const KEYS = Array.from(
  { length: 20 },
  (_, n) => `sk-Canary${n}${n % 2 === 0 ? "+/=" : "_."}${randomBytes(9).toString("base64url")}Xw`,
);

const FORMS = KEYS.map((key) => [
  ...formsOf(key),
  // Split in two, each half is long enough to be known.
  key.slice(0, key.length / 2),
  key.slice(key.length / 2),
]);
const found = (where: string, text: string): string[] =>
  FORMS.flatMap((all, n) =>
    all.flatMap((form) => (text.includes(form) ? [`key ${n} as ${form} in ${where}`] : [])),
  );
const foundIn = (folder: string): string[] =>
  filesOf(folder).flatMap(({ path, content }) => found(path, content));

/** Those that wait for somebody, or end the gateway. */
const LONG = new Set(["up", "down", "chat", "ask", "node", "init", "shell", "service", "pair"]);
/** What every command that needs no more than its name is called by. */
const commands = Object.entries(verbs)
  .filter(([name]) => !LONG.has(name))
  .flatMap(([name, verb]) =>
    formsOfVerb(verb as never).flatMap(({ pattern }: { pattern: string }) => {
      const words = pattern.split(" ").filter(Boolean);
      const plain = words.every((word) => /^(?:[a-z-]+|\[[a-z]+\])$/.test(word));
      return plain ? [[name, ...words.filter((word) => !word.startsWith("["))]] : [];
    }),
  );

test("20 keys, and none of them in a file, an answer, a log, a request or a word of any process", async () => {
  await using home = await pairedWorld();
  const outside = mkdtempSync(join(tmpdir(), "kith-keys-"));
  const env: Record<string, string> = {};
  const sealed: [name: string, key: string][] = [];
  /** A key by each kind of reference in turn. */
  const references = KEYS.map((key, n) => {
    if (n % 3 === 0) {
      env[`CANARY_${n}`] = key;
      return `\${env:CANARY_${n}}`;
    }
    if (n % 3 === 1) {
      writeFileSync(join(outside, `${n}`), `${key}\n`, { mode: 0o600 });
      return `\${file:${join(outside, `${n}`)}}`;
    }
    sealed.push([`mine-${n}`, key]);
    return `\${secret:mine-${n}}`;
  });

  // Each service says the key that it got; two more places are wrong, and one answers.
  const services = await Promise.all(Object.values(ways).map((way) => EchoService.start(way)));
  const good = await ModelServer.start(
    chat,
    ...Array.from({ length: 60 }, () => ({ text: ["Well."] })),
  );
  const places = [
    ...services.map(({ host }) => `http://${host}/v1`),
    `https://${services[0]?.host}/v1`,
    `http://127.0.0.1:${await freePort()}/v1`,
    good.baseUrl,
  ];
  const [goodKey, searchKey, lateKey] = [places.length - 1, places.length, places.length + 1];
  expect(lateKey).toBe(KEYS.length - 1);
  const model = (n: number): string =>
    `{ provider: openai-compatible, name: m${n}, baseUrl: "${places[n]}", apiKey: "${references[n]}" }`;
  const failing = places.map((_, n) => n).slice(0, -1);

  const said: string[] = [];
  const kith = async (input: string, ...args: string[]) => {
    const { stdout, stderr, code } = await kithWith({ input, env }, home.home, ...args);
    said.push(stdout, stderr);
    return code;
  };
  const words: string[] = [];
  const start = () => home.startGateway({ env: { ...process.env, ...env } });
  let gateway = await start();
  for (const [name, key] of sealed) expect(await kith(`${key}\n`, "secrets", "set", name)).toBe(0);
  await gateway.end("SIGTERM");
  words.push(gateway.words);
  // Each assistant asks the one that fails, and then the one that is well; the first asks all that a list may have.
  appendFileSync(
    join(home.home, "config.yaml"),
    [
      "model:",
      ...[...failing.slice(0, 7), goodKey].map((n) => `  - ${model(n)}`),
      "agents:",
      ...failing.map((n) => `  a${n}: { model: [${model(n)}, ${model(goodKey)}] }`),
      `search: { provider: brave, apiKey: "${references[searchKey]}" }`,
      "",
    ].join("\n"),
  );
  gateway = await start();
  const node = await home.startNode("laptop", { allow: "device.status=allow" });
  await kith("", "models", "test", "--json");
  const chats = await Promise.all(
    ["console", ...failing.map((n) => `a${n}`)].map((name) => home.owner(name, true)),
  );
  for (const owner of chats) {
    await owner.say("how are you, in your own words?");
    await owner.hear("an answer or a failure", ({ final }) => final);
  }
  // In the middle of a question, and started anew.
  await chats[0]?.say("and once more, in your own words?");
  await gateway.end("SIGKILL");
  words.push(gateway.words);
  gateway = await start();
  await chats[0]?.hear("the answer after the crash", ({ final }) => final);
  // A key is set anew: the old one goes, the new one counts without a restart.
  const [[rotated] = [""]] = sealed;
  expect(await kith(`${KEYS[lateKey]}\n`, "secrets", "set", rotated, "--json")).toBe(0);
  await kith("", "models", "test");
  // One that is no value is refused, and not repeated.
  expect(await kith(`${KEYS[lateKey]}\u0007\n`, "secrets", "set", "wrong")).not.toBe(0);
  for (const command of commands) {
    await kith("", ...command);
    await kith("", ...command, "--json");
  }
  expect(commands.length).toBeGreaterThan(15);
  await gateway.end("SIGTERM");
  await node.end("SIGTERM");
  words.push(gateway.words, node.words);

  const messages = chats.flatMap((owner) => owner.messages);
  const bodies = [
    ...services.flatMap((service) => service.bodies),
    ...good.requests.map(({ body }) => JSON.stringify(body)),
  ];
  expect([
    ...foundIn(home.folder),
    ...found("what was printed", said.join("\n")),
    ...found("the processes' words", words.join("\n")),
    ...found("a chat", JSON.stringify(messages)),
    ...found("a request to a model", bodies.join("\n")),
  ]).toEqual([]);
  // They were used: each key came to its own service, and to no other.
  for (const [n, { keys }] of services.entries()) {
    const own = references[n] === `\${secret:${rotated}}` ? [KEYS[n], KEYS[lateKey]] : [KEYS[n]];
    expect([n, [...new Set(keys)].toSorted()]).toEqual([n, own.toSorted()]);
  }
  for (const { headers } of good.requests)
    expect(headers.authorization).toBe(`Bearer ${KEYS[goodKey]}`);
  // Every failure was told, in words of ours.
  expect(messages.filter(({ error }) => error).length).toBeGreaterThan(2);

  // And whoever looks would have found one, in any form.
  for (const form of FORMS[3] ?? []) {
    writeFileSync(join(home.home, "planted"), `xx${form}xx`);
    expect(foundIn(home.home).length).toBeGreaterThan(0);
  }
  rmSync(outside, { recursive: true });
  for (const service of services) await service[Symbol.asyncDispose]();
  await good[Symbol.asyncDispose]();
}, 120_000);
