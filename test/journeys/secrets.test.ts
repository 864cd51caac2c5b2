/**
 * Keys are references, never strings that flow: twenty of them, by variable, file and sealed store, set anew,
 * refused, echoed by services that fail, and killed in the middle. Then every byte that Kith wrote, printed or sent.
 */
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { pairedWorld, until } from "../support/home.ts";
import { kithWith } from "../support/kith.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer, type Script } from "../support/models/server.ts";

const KEYS = Array.from({ length: 20 }, (_, n) => `sk-Canary${n}q7Zr${(n * 7_919).toString(36)}Xw`);

/** Every form in which one could be written down. */
const formsOf = (key: string): readonly string[] => {
  const bytes = Buffer.from(key);
  return [
    key,
    encodeURIComponent(key),
    [...key].toReversed().join(""),
    ...(["hex", "base64url"] as const).map((form) => bytes.toString(form)),
    bytes.toString("hex").toUpperCase(),
    // Base64 within a longer text begins at one of three places, and its ends depend on what is beside it.
    ...[0, 1, 2].map((shift) =>
      Buffer.concat([Buffer.alloc(shift), bytes])
        .toString("base64")
        .slice(shift === 0 ? 0 : 4, -4),
    ),
  ];
};
const found = (where: string, text: string): string[] =>
  KEYS.flatMap((key, n) =>
    formsOf(key).flatMap((form) => (text.includes(form) ? [`key ${n} in ${where}`] : [])),
  );
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((file) =>
    file.isFile()
      ? found(
          join(file.parentPath, file.name),
          readFileSync(join(file.parentPath, file.name)).toString("latin1"),
        )
      : [],
  );
}

test("20 keys, and none of them in a file, an answer, a log, a request or a word of any process", async () => {
  await using home = await pairedWorld();
  const outside = mkdtempSync(join(tmpdir(), "kith-keys-"));
  const env: Record<string, string> = {};
  const references = KEYS.slice(0, 7).map((key, n) => {
    if (n % 3 === 0) {
      env[`CANARY_${n}`] = key;
      return `\${env:CANARY_${n}}`;
    }
    if (n % 3 === 1) {
      writeFileSync(join(outside, `${n}`), `${key}\n`, { mode: 0o600 });
      return `\${file:${join(outside, `${n}`)}}`;
    }
    return `\${secret:mine-${n}}`;
  });
  const echo = (key: string): Script => ({ status: 401, words: `invalid key: ${key}` });
  // Each service says the key that it got, in plain, wherever it fails.
  const scripts: Script[] = [
    ...KEYS.slice(0, 6).map((key, n): Script =>
      n % 2 === 0 ? echo(key) : { status: 500, words: key },
    ),
  ];
  const servers = await Promise.all(
    references.map(() =>
      ModelServer.start(chat, ...Array.from({ length: 12 }, () => scripts).flat()),
    ),
  );
  const good = await ModelServer.start(
    chat,
    { text: ["ready"] },
    { calls: [{ id: "c", name: "device_status", json: '{"device":"laptop"}' }] },
    { text: ["It is well."] },
    { text: [`You say ${"nothing"}.`], ending: "cut" },
    { text: ["Again."] },
    { text: ["Again."] },
  );
  const models = [...servers, good].map(
    ({ baseUrl }, n) =>
      `  - provider: openai-compatible\n    name: m${n}\n    baseUrl: ${baseUrl}\n    apiKey: ${references[n] ?? "${secret:last}"}\n`,
  );
  const said: string[] = [];
  const kith = async (input: string, ...args: string[]) => {
    const { stdout, stderr, code } = await kithWith({ input, env }, home.home, ...args);
    said.push(stdout, stderr);
    return code;
  };
  const words: string[] = [];
  let gateway = await home.startGateway({ env: { ...process.env, ...env } });
  for (const [n, key] of KEYS.entries())
    if (n % 3 === 2 || n >= 7)
      expect(await kith(`${key}\n`, "secrets", "set", n < 7 ? `mine-${n}` : "last")).toBe(0);
  await kith(`${KEYS[19]}\n`, "secrets", "set", "last", "--json");
  await gateway.end("SIGTERM");
  appendFileSync(join(home.home, "config.yaml"), `model:\n${models.join("")}`);
  gateway = await home.startGateway({ env: { ...process.env, ...env } });
  await home.startNode("laptop", { allow: "device.status=allow" });
  await kith("", "models", "test", "--json");
  await kith("", "models", "--json");
  const owner = await home.owner(undefined, true);
  await owner.say("how is my laptop, in your own words?");
  await owner.hear("the answer", ({ final }) => final);
  await kith("", "status", "--json");
  await kith("", "audit", "--json");
  await kith("", "doctor", "--json");
  await kith("", "egress", "--json");
  await kith("", "secrets", "--json");
  await kith("", "why", "console");
  words.push(gateway.words);
  await gateway.end("SIGKILL");
  gateway = await home.startGateway({ env: { ...process.env, ...env } });
  await owner.say("and once more, in your own words?");
  await until(
    "an answer or a failure",
    () => owner.messages.filter(({ final }) => final).length > 1,
  );
  await kith("", "transcripts", "rebuild");
  words.push(gateway.words);
  await gateway.end("SIGTERM");

  const bodies = [...servers, good].flatMap(({ requests }) =>
    requests.map(({ body }) => JSON.stringify(body)),
  );
  expect(bodies.length).toBeGreaterThan(7);
  expect([
    ...filesOf(home.home),
    ...found("what was printed", said.join("\n")),
    ...found("the gateway's words", words.join("\n")),
    ...found("a chat", JSON.stringify(owner.messages)),
    ...found("a request to a model", bodies.join("\n")),
  ]).toEqual([]);
  // They were used: a key came to its own service, and nowhere else.
  for (const [n, { requests }] of servers.entries())
    for (const { headers } of requests) expect(headers.authorization).toBe(`Bearer ${KEYS[n]}`);

  // And whoever looks would have found one, in any form.
  for (const form of formsOf(KEYS[3] ?? "")) {
    writeFileSync(join(home.home, "planted"), `xx${form}xx`);
    expect(filesOf(home.home).length).toBeGreaterThan(0);
  }
  rmSync(outside, { recursive: true });
  for (const server of [...servers, good]) await server[Symbol.asyncDispose]();
}, 120_000);
