/** Memory that others edit meanwhile, that hostile names and words meet, and what a forgotten line leaves behind. */
import {
  existsSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { onCrashpoint } from "../support/crash.ts";
import { start } from "./start.ts";

afterEach(() => onCrashpoint(undefined));

const texts = async (world: ReturnType<typeof start>, words: string) =>
  (await world.memory.search(words)).found.map(({ text }) => text);
const line = (text: string) => ({ file: "people", text });

describe("a file edited by hand", () => {
  test("is read again after an edit of the same size whose time was set back", async () => {
    const world = start();
    world.hand("a.md", "one cat\n");
    const old = new Date(Date.now() - 86_400_000);
    utimesSync(world.path("a.md"), old, old);
    await world.memory.search("cat");
    world.hand("a.md", "one dog\n");
    utimesSync(world.path("a.md"), old, old);
    expect(await texts(world, "dog")).toEqual(["one dog"]);
    expect(await texts(world, "cat")).toEqual([]);
  });

  test("may be any text: CRLF, a BOM, no line feed at its end, bytes that are no UTF-8", async () => {
    const world = start();
    world.hand("a.md", Buffer.from("\uFEFFfirst\r\nsecond \xff\xfe line\r\nlast", "latin1"));
    expect(await texts(world, "second line")).toEqual(["second \uFFFD\uFFFD line"]);
    await world.use("memory_write", { file: "a", text: "one more" });
    const bytes = readFileSync(world.path("a.md"), "latin1");
    expect(bytes).toContain("second \xff\xfe line\r\nlast\n- one more <!-- kith ");
  });

  test("counts as untrusted until the owner vouches for a line, which stays when others change", async () => {
    const world = start();
    world.hand("a.md", "# Home\r\n- the cat is called Mia\r\n- the dog is called Bo\r\n");
    const { found } = await world.memory.search("mia");
    expect(found).toMatchObject([{ file: "a.md", n: 2, text: "- the cat is called Mia" }]);
    expect(found[0]?.mark).toBeUndefined();
    await world.memory.trust([found[0]!.id], "console:owner");
    expect(world.read("a.md")).toMatch(
      /^# Home\r\n- the cat is called Mia <!-- kith \S{26} console:owner trusted [0-9a-f]{20} -->\r\n- the dog is called Bo\r\n$/,
    );
    world.hand("a.md", world.read("a.md").replace("Bo", "Rex").replace("# Home", "# House\r\n"));
    const marked = await world.memory.search("mia");
    expect(marked.found).toMatchObject([{ n: 3, mark: { by: "console:owner", trusted: true } }]);
  });
});

describe("a mark", () => {
  test.for<[string, (text: string) => string]>([
    ["the text was changed", (text) => text.replace("3 May", "4 May")],
    ["the text was indented", (text) => `  ${text}`],
    ["the label was changed", (text) => text.replace(" trusted ", " untrusted ")],
    ["the writer was changed", (text) => text.replace("session/0", "session/1")],
    ["an origin was added", (text) => text.replace(" in:", ` of:${"0".repeat(26)} in:`)],
    ["the chat was left out", (text) => text.replace(" in:console", "")],
    ["the sum was changed", (text) => text.replace(/[0-9a-f]{20}/, "0".repeat(20))],
    ["a second one stands behind it", (text) => text.replace("\n", " <!-- kith x -->\n")],
  ])("is false where %s", async ([, edit]) => {
    const world = start();
    await world.use("memory_write", line("Anna's birthday is 3 May"));
    expect((await world.memory.search("anna")).found[0]?.mark?.trusted).toBe(true);
    world.hand("people.md", edit(world.read("people.md")));
    const { found } = await world.memory.search("anna");
    expect(found).toHaveLength(1);
    expect(found[0]?.mark).toBeUndefined();
    expect((await world.use("memory_search", { words: "anna" })).labels).toContain("untrusted");
  });

  test("of an untrusted line is lifted by the owner alone, and only for what was read", async () => {
    const world = start();
    await world.use("memory_write", line("pay the bill"), { labels: ["untrusted"] });
    const [found] = (await world.memory.search("bill")).found;
    world.hand("people.md", world.read("people.md").replace("bill", "bribe"));
    await expect(world.memory.trust([found!.id], "console:owner")).rejects.toMatchObject({
      code: "memory-unknown",
    });
    world.hand("people.md", world.read("people.md").replace("bribe", "bill"));
    const [now] = await world.memory.trust([found!.id.slice(-6)], "console:owner");
    expect(now?.mark).toMatchObject({ id: found!.id, trusted: true, chat: "console" });
    expect(await world.memory.trust([found!.id], "console:owner")).toHaveLength(1);
  });
});

describe("a write", () => {
  test("of the same call is one line, also after it was edited", async () => {
    const world = start();
    const call = world.id();
    await world.use("memory_write", line("likes tea"), { call });
    await world.again();
    await world.use("memory_write", line("likes tea"), { call });
    world.hand("people.md", world.read("people.md").replace("tea", "green tea"));
    await world.use("memory_write", line("likes tea"), { call });
    expect(world.read("people.md").match(/\n/g)).toHaveLength(1);
  });

  test("and others at once lose nothing", async () => {
    const world = start();
    const numbers = Array.from({ length: 20 }, (_, n) => `fact number ${n}`);
    await Promise.all(numbers.map((text) => world.use("memory_write", line(text))));
    expect(world.read("people.md").split("\n")).toHaveLength(21);
    expect(statSync(world.path("people.md")).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(world.home, "memory"))).toEqual(["people.md"]);
  });

  test("keeps what somebody saved while it was written", async () => {
    const world = start();
    world.hand("people.md", "- one\n");
    const saves = ["- one\n- two\n", "- one\n- two\n- three\n"];
    onCrashpoint((name) => {
      const save = name === "file.sync" ? saves.shift() : undefined;
      if (save !== undefined) world.hand("people.md", save);
    });
    await world.use("memory_write", line("four"));
    expect(world.read("people.md")).toMatch(/^- one\n- two\n- three\n- four <!-- .*-->\n$/);
    onCrashpoint((name) => {
      if (name === "file.sync") world.hand("people.md", `${world.read("people.md")}x\n`);
    });
    await expect(world.use("memory_write", line("five"))).rejects.toMatchObject({ code: "busy" });
    expect(world.read("people.md")).not.toContain("five");
  });

  test("above 1 MiB, or into file 1,001, is refused and changes nothing", async () => {
    const world = start();
    world.hand("people.md", "x".repeat(1_048_576 - 40));
    await expect(world.use("memory_write", line("y"))).rejects.toMatchObject({ code: "too-big" });
    expect(statSync(world.path("people.md")).size).toBe(1_048_576 - 40);
    for (let n = 1; n < 1_000; n++) world.hand(`f${n}.md`, "z\n");
    const more = { file: "more", text: "y" };
    await expect(world.use("memory_write", more)).rejects.toMatchObject({ code: "too-big" });
    expect(existsSync(world.path("more.md"))).toBe(false);
    world.hand("zz.md", "last\n");
    expect((await world.memory.files()).unread).toEqual(["1 files above 1000"]);
  });
});

describe("names and links", () => {
  test.for([
    "../x",
    "a/b",
    "a.md",
    ".hidden",
    "",
    "A",
    "x".repeat(65),
    "a\u0000",
    "/etc/passwd",
    "..",
  ])("a model may not name a file %j", async (file) => {
    const world = start();
    for (const tool of ["memory_write", "memory_read"])
      await expect(world.use(tool, { file, text: "y" })).rejects.toThrow(/name|key/);
    await expect(world.memory.show(file)).rejects.toMatchObject({ code: "memory-unknown" });
  });

  test("a link to a file is neither read nor written through", async () => {
    const world = start();
    const secret = join(world.home, "secret.txt");
    writeFileSync(secret, "the password is swordfish\n");
    world.hand("a.md", "nothing\n");
    symlinkSync(secret, world.path("people.md"));
    symlinkSync(join(world.home, "absent.md"), world.path("loose.md"));
    expect(await texts(world, "swordfish")).toEqual([]);
    expect((await world.memory.files()).unread).toEqual(["loose.md", "people.md"]);
    for (const file of ["people", "loose"])
      await expect(world.use("memory_write", { file, text: "y" })).rejects.toMatchObject({
        code: "bad-args",
      });
    await expect(world.memory.show("people")).rejects.toMatchObject({ code: "memory-unknown" });
    expect(readFileSync(secret, "utf8")).toBe("the password is swordfish\n");
    expect(existsSync(join(world.home, "absent.md"))).toBe(false);
  });

  test("a link in the place of a draft is not written through", async () => {
    const world = start();
    const target = join(world.home, "target");
    writeFileSync(target, "whole");
    world.hand("a.md", "");
    symlinkSync(target, world.path(".people.md.kith"));
    await world.use("memory_write", line("y"));
    expect(readFileSync(target, "utf8")).toBe("whole");
  });
});

describe("a search", () => {
  test.for([
    `"`,
    `a" OR "b`,
    "NEAR(a b)",
    "text:anna",
    "-anna",
    "anna*",
    "(anna",
    "anna AND",
    "^anna",
    "a' --",
    "{file} : x",
    "\u0000",
  ])("takes %j for words", async (words) => {
    const world = start();
    world.hand("a.md", "Anna and and or near text a b x\nBea\n");
    const { found } = await world.memory.search(words);
    expect(found.every(({ text }) => !text.startsWith("Bea"))).toBe(true);
  });

  test("knows no case and no accents, and finds words by their beginning", async () => {
    const world = start();
    world.hand("a.md", "Zoë mag Crème brûlée\n");
    for (const words of ["zoe", "CREME brulee", "bru", "cre\u0300me"])
      expect([words, (await texts(world, words)).length]).toEqual([words, 1]);
    expect(await texts(world, "rulee")).toEqual([]);
  });

  test("reads 4 KiB of a line, and no file of more than 1 MiB", async () => {
    const world = start();
    world.hand("a.md", `${"x ".repeat(2_100)}beyond\nshort\n`);
    world.hand("big.md", "big ".repeat(262_145));
    expect(await texts(world, "beyond")).toEqual([]);
    expect(await texts(world, "big")).toEqual([]);
    expect((await world.memory.files()).unread).toEqual(["big.md"]);
    const [long] = (await world.memory.search("x")).found;
    await expect(world.memory.trust([long!.id], "console:owner")).rejects.toMatchObject({
      code: "bad-args",
    });
  });
});

describe("forgetting", () => {
  const stored = (world: ReturnType<typeof start>, words: string) =>
    [join(world.home, "memory.db"), ...readdirSync(join(world.home, "memory")).map(world.path)]
      .map((path) => readFileSync(path, "latin1").toLowerCase())
      .some((text) => text.includes(words));

  test("of one among a thousand leaves no trace of its words in the index", async () => {
    const world = start();
    const others = Array.from({ length: 1_000 }, (_, n) => `- zulu${n} and some more words`);
    world.hand("a.md", `${others.join("\n")}\n- quixotism\n`);
    await world.memory.search("x");
    expect(stored(world, "quixotism")).toBe(true);
    await world.memory.forget("quixotism", true);
    expect(stored(world, "quixotism")).toBe(false);
    expect(stored(world, "uixotis")).toBe(false);
    expect(await texts(world, "zulu999")).toHaveLength(1);
  });

  test("a line that the owner edited and vouched for goes with the one that it was", async () => {
    const world = start();
    const call = world.id();
    await world.use("memory_write", line("Anna lives in Rome"), { call });
    world.hand("people.md", world.read("people.md").replace("Rome", "Rome now"));
    const [edited] = (await world.memory.search("rome")).found;
    await world.memory.trust([edited!.id], "console:owner");
    await world.use("memory_write", { file: "notes", text: "of Anna", of: [call] });
    const { lines } = await world.memory.forget("of Anna", false);
    expect(lines).toHaveLength(1);
    const both = await world.memory.forget("rome", true);
    expect(both.lines.map(({ file }) => file)).toContain("people.md");
    expect(existsSync(world.path("people.md"))).toBe(false);
  });

  test("needs something that is there, and not more than 200 lines", async () => {
    const world = start();
    world.hand("a.md", "same thing\n".repeat(201));
    await expect(world.memory.forget("absent", true)).rejects.toMatchObject({
      code: "memory-unknown",
    });
    await expect(world.memory.forget("same", true)).rejects.toMatchObject({ code: "too-big" });
    await expect(world.memory.forget("!!!", true)).rejects.toMatchObject({
      code: "memory-unknown",
    });
  });
});
