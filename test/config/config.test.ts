/** Each wrong setting names the file, the line and what was expected. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { addListen, readConfig, readSecret, setModel, setName } from "@kith/gateway/config";
import { afterAll, describe, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "kith-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let homes = 0;

/** A home with this config, or a fresh one. */
function home(text?: string | Uint8Array) {
  const path = join(folder, String(++homes));
  mkdirSync(path);
  const file = join(path, "config.yaml");
  if (text !== undefined) writeFileSync(file, text);
  return { path, file };
}

/** `line: what was expected`, after the file's own name. */
function wrong(text: string | Uint8Array): string {
  const { path, file } = home(text);
  try {
    readConfig(path);
  } catch (error) {
    if (!(error instanceof KithError)) throw error;
    expect(error.code).toBe("config-invalid");
    expect(error.message.startsWith(`${file}:`)).toBe(true);
    return error.message.slice(file.length + 1);
  }
  throw new Error("it was taken");
}

test("a home without one gets one that says what there is, for its owner only", () => {
  const { path, file } = home();
  expect(readConfig(path)).toEqual({
    ...{ name: "kith", listen: [{ host: "127.0.0.1", port: 5484 }] },
    ...{ budgets: {}, prices: {}, agents: {}, permissions: { preset: "careful", rules: [] } },
    ...{ tailnet: { ceiling: "auto" }, egress: { allow: [] } },
  });
  expect(readFileSync(file, "utf8")).toMatch(/^# listen:/m);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a model: its key is a reference, and is read only where it is used", () => {
  const { path } = home(
    "model:\n  provider: ollama\n  name: small\n  baseUrl: http://127.0.0.1:1\n  apiKey: ${env:KITH_TEST_KEY}\n",
  );
  expect(readConfig(path).model).toEqual([
    {
      ...{ provider: "ollama", name: "small", baseUrl: "http://127.0.0.1:1" },
      apiKey: "${env:KITH_TEST_KEY}",
    },
  ]);
  expect(() => readSecret("${env:KITH_TEST_KEY}", path)).toThrow("nothing to read");
  const file = join(path, "key");
  writeFileSync(file, "s3cret\n");
  const secret = readSecret(`\${file:${file}}`, path);
  expect([secret.use((value) => value), `${JSON.stringify({ secret })}`]).toEqual([
    "s3cret",
    expect.not.stringContaining("s3cret"),
  ]);
});

test.for<[string, string]>([
  ["model: []\n", "1: model: expected 1 to 8 models"],
  [
    "model:\n  - provider: ollama\n    name: x\n  - provider: skynet\n",
    "4: model.1.provider: expected one of anthropic",
  ],
  ["model: x\n", "1: model: expected provider"],
  ["model:\n  provider: skynet\n  name: x\n", "2: model.provider: expected one of anthropic"],
  ["model:\n  provider: ollama\n", "1: model.name: expected"],
  [
    "model:\n  provider: ollama\n  name: x\n  apiKey: sk-123\n",
    "4: model.apiKey: expected a reference",
  ],
  [
    "model:\n  provider: ollama\n  name: x\n  baseUrl: file:///etc\n",
    "4: model.baseUrl: expected an address",
  ],
  ["egress: off\n", "1: egress: expected allow, a list"],
  ["egress:\n  allow: []\n  deny: [x]\n", "3: egress.deny: no such setting"],
  ["egress:\n  allow: 127.0.0.1:80\n", "2: egress.allow: expected a list"],
  ["egress:\n  allow: [a:1, 127.0.0.1]\n", "2: egress.allow.1: expected a host with its port"],
  ['egress:\n  allow: ["10.0.0.0/8:80"]\n', "2: egress.allow.0: expected a host with its port"],
  ['egress:\n  allow: ["a:99999"]\n', "2: egress.allow.0: expected a host with its port"],
  ['egress:\n  allow: ["*:80"]\n', "2: egress.allow.0: expected a host with its port"],
  [`egress:\n  allow: [${Array(65).fill("a:1")}]\n`, "2: egress.allow: expected at most 64"],
  ["search:\n  provider: skynet\n", "2: search.provider: expected provider: brave with apiKey"],
  ["search:\n  provider: brave\n", "1: search.apiKey: expected"],
  ["search:\n  provider: brave\n  apiKey: BSA123\n", "3: search.apiKey: expected a reference"],
  [
    "search:\n  provider: searxng\n  baseUrl: file:///x\n",
    "3: search.baseUrl: expected an address",
  ],
  ["search:\n  provider: searxng\n  apiKey: ${env:X}\n", "search.baseUrl: expected"],
  [
    "model:\n  provider: ollama\n  name: x\n  effort: much\n",
    "4: model.effort: expected one of low, medium, high",
  ],
])("%s is refused", ([text, words]) => {
  expect(wrong(text)).toContain(words);
});

test("what may be fetched from beside the public web, and whom to search with", () => {
  const read = (text: string) => readConfig(home(text).path);
  const allow = ["127.0.0.1:8080", "[fd00::1]:80", "nas.local:5000"];
  expect(read(`egress:\n  allow: ${JSON.stringify(allow)}\n`).egress).toEqual({ allow });
  expect(read("search:\n  provider: brave\n  apiKey: ${file:/x}\n").search).toEqual({
    ...{ provider: "brave", apiKey: "${file:/x}" },
  });
  expect(read("search:\n  provider: searxng\n  baseUrl: http://10.0.0.5:8888\n").search).toEqual({
    ...{ provider: "searxng", baseUrl: "http://10.0.0.5:8888" },
  });
});

test("reading keeps comments and order as they are", () => {
  const text = "# mine\nlisten: 127.0.0.1 # here\n\nname: home\n";
  const { path, file } = home(text);
  readConfig(path);
  expect(readFileSync(file, "utf8")).toBe(text);
});

test.for<[string, object]>([
  ["", { name: "kith" }],
  ["# nothing\n", { name: "kith" }],
  ["name: Büro\n", { name: "Büro" }],
  [`name: ${"x".repeat(64)}\n`, { name: "x".repeat(64) }],
  ["listen: 0.0.0.0:1\n", { listen: [{ host: "0.0.0.0", port: 1 }] }],
  ["listen: localhost\n", { listen: [{ host: "localhost", port: 5484 }] }],
  ["listen: '[::1]:65535'\n", { listen: [{ host: "::1", port: 65_535 }] }],
  [
    "listen:\n  - 127.0.0.1\n  - '[fd7a::1]'\n",
    {
      listen: [
        { host: "127.0.0.1", port: 5484 },
        { host: "fd7a::1", port: 5484 },
      ],
    },
  ],
])("%j is taken", ([text, expected]) => {
  expect(readConfig(home(text).path)).toMatchObject(expected);
});

describe("is refused", () => {
  test.for<[string, string | Uint8Array, RegExp]>([
    [
      "an unknown setting",
      "name: a\n\nport: 5484\n",
      /^3: port: no such setting \(there are name, listen, tailnet, model, budgets, prices, permissions, timezone, agents, egress and search\)$/,
    ],
    ["a setting of every object", "constructor: 1\n", /^1: constructor: no such setting/],
    [
      "a port too high",
      "# a\nlisten: 127.0.0.1:65536\n",
      /^2: listen: expected .*(?:port|address)/,
    ],
    [
      "an address that is none",
      "listen: http://x/\n",
      /^1: listen: expected an address such as 127\.0\.0\.1:5484/,
    ],
    ["a bare IPv6 address", "listen: '::1'\n", /^1: listen: expected an address/],
    ["a number", "listen: 5484\n", /^1: listen: expected an address/],
    [
      "one wrong of a list",
      "listen:\n  - 127.0.0.1\n  - 'a b'\n",
      /^[13]: listen.*expected an address/,
    ],
    ["an empty list", "listen: []\n", /^1: listen: expected 1 to 8 addresses/],
    [
      "nine addresses",
      `listen: [${Array(9).fill("127.0.0.1").join()}]\n`,
      /^1: listen: expected 1 to 8 addresses/,
    ],
    ["an empty name", "name: ''\n", /^1: name: expected a name of 1 to 64 bytes/],
    ["a name too long", `name: ${"x".repeat(65)}\n`, /^1: name: expected a name of 1 to 64 bytes/],
    ["a name that is a number", "\n\nname: 5\n", /^3: name: expected a name of 1 to 64 bytes/],
    [
      "a name with a terminal sequence",
      'name: "\\e[2J"\n',
      /^1: name: expected a name of 1 to 64 bytes/,
    ],
    ["a tailnet that is no word of ours", "tailnet: on\n", /^1: tailnet: expected off, or ceiling/],
    ["a mode that there is not", "tailnet:\n  ceiling: on\n", /^[12]: tailnet.*expected/],
    [
      "a list",
      "- name\n",
      /^1: expected only the settings name, listen, tailnet, model, budgets, prices, permissions, timezone, agents, egress and search/,
    ],
    [
      "a word",
      "hello\n",
      /^1: expected only the settings name, listen, tailnet, model, budgets, prices, permissions, timezone, agents, egress and search/,
    ],
    ["the same setting twice", "name: a\nname: b\n", /^2: not YAML: .*unique/],
    ["bad YAML", "name: a\nlisten: [\n", /^\d+: not YAML: /],
    ["a tab for a space", "listen:\n\t- a\n", /^\d+: not YAML: /],
    ["two documents", "name: a\n---\nname: b\n", /^\d+: not YAML: /],
    ["an alias of nothing", "name: *x\n", /^\d+: (?:not YAML|expected settings without aliases)/],
    [
      "an alias bomb",
      `a: &a [x,x]\n${"bcdefghijk".replaceAll(/./g, (c, at: number) => `${c}: &${c} [*${"abcdefghijk"[at]},*${"abcdefghijk"[at]}]\n`)}`,
      /^1: expected settings without aliases$/,
    ],
    [
      "bytes that are no text",
      new Uint8Array([0x6e, 0x61, 0x6d, 0x65, 0x3a, 0x20, 0xff, 0x00, 0xfe]),
      /^\d+: /,
    ],
  ])("%s", ([, text, expected]) => {
    expect(wrong(text)).toMatch(expected);
  });

  test("more than 256 KiB, before any of it is read", () => {
    const comment = (bytes: number) => `#${"x".repeat(bytes - 1)}`;
    expect(readConfig(home(comment(262_144)).path).name).toBe("kith");
    expect(wrong(comment(262_145))).toBe("1: expected a file of at most 256 KiB");
  });

  test("a folder in its place", () => {
    const { path, file } = home();
    mkdirSync(file);
    expect(() => readConfig(path)).toThrow(expect.objectContaining({ code: "config-invalid" }));
  });
});

test("the name can be changed, and everything else stays", () => {
  const { path, file } = home();
  writeFileSync(file, "# mine\nname: home # here\nlisten: 127.0.0.1:1\n");
  setName(path, "attic");
  expect(readConfig(path).name).toBe("attic");
  expect(readFileSync(file, "utf8")).toBe("# mine\nname: attic # here\nlisten: 127.0.0.1:1\n");
});

describe("one more address", () => {
  const listens = (path: string) => readConfig(path).listen.map(({ host, port }) => [host, port]);

  test("joins those that are there; comments and the rest stay", () => {
    const { path, file } = home();
    writeFileSync(file, "# mine\nname: home # here\nlisten: 127.0.0.1:1 # first\n");
    addListen(path, "192.168.1.10:1");
    addListen(path, "[fd00::2]:1");
    expect(listens(path)).toEqual([
      ["127.0.0.1", 1],
      ["192.168.1.10", 1],
      ["fd00::2", 1],
    ]);
    const text = readFileSync(file, "utf8");
    expect(text).toMatch(/^# mine\nname: home # here\n/);
  });

  test("to a file that names none, beside the one of a fresh gateway", () => {
    const { path, file } = home();
    readConfig(path);
    const fresh = readFileSync(file, "utf8");
    addListen(path, "192.168.1.10:5484");
    expect(listens(path)).toEqual([
      ["127.0.0.1", 5484],
      ["192.168.1.10", 5484],
    ]);
    expect(readFileSync(file, "utf8")).toContain(fresh.split("\n")[0]);
  });

  test("can be taken back, when nothing can listen there after all", () => {
    const { path, file } = home();
    writeFileSync(file, "listen: 127.0.0.1:1 # first\n");
    const undo = addListen(path, "192.168.1.10:1");
    expect(listens(path)).toHaveLength(2);
    undo();
    expect(readFileSync(file, "utf8")).toBe("listen: 127.0.0.1:1 # first\n");
  });

  test("that is there already changes nothing", () => {
    const { path, file } = home();
    writeFileSync(file, "listen: [ '[::1]:7',   127.0.0.1 ]\n");
    addListen(path, "[::1]:7");
    addListen(path, "127.0.0.1:5484");
    expect(readFileSync(file, "utf8")).toBe("listen: [ '[::1]:7',   127.0.0.1 ]\n");
  });

  test("too many: refused, and the file is as it was", () => {
    const { path, file } = home();
    const full = `listen: [${Array.from({ length: 8 }, (_, at) => `10.0.0.${at}`).join(", ")}]\n`;
    writeFileSync(file, full);
    expect(() => addListen(path, "10.0.0.9:1")).toThrow(
      expect.objectContaining({ code: "config-invalid" }),
    );
    expect(readFileSync(file, "utf8")).toBe(full);
  });
});

test("a model can be set in place of those that stand there, and everything else stays", () => {
  const { path, file } = home();
  const one = { provider: "ollama", name: "small" } as const;
  const block = "model:\n  provider: ollama\n  name: small\n";
  for (const [before, after] of [
    ["# mine\nname: home # here\n", `# mine\nname: home # here\n${block}`],
    ["# all of it\n", `# all of it\n\n${block}`],
    [
      "model:\n  - provider: openai\n    name: x\n# mine\nname: home\n",
      `${block}# mine\nname: home\n`,
    ],
  ] as const) {
    writeFileSync(file, before);
    setModel(path, one);
    expect(readFileSync(file, "utf8")).toBe(after);
    expect(readConfig(path).model).toEqual([one]);
  }
});
