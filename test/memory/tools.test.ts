/** What a model gets of memory, and what an owner does with it by methods. */
import { memoryTools } from "@kith/gateway/memory/tools";
import { describe, expect, test } from "vitest";
import { start } from "./start.ts";

const ID = /[0-9A-HJKMNP-TV-Z]{26}/;

describe("a model", () => {
  test.for([
    "two\nlines",
    "a <!-- comment -->",
    "",
    "   ",
    "x".repeat(2_049),
    "right\u202eleft",
    "\ud800",
  ])("cannot write %j", async (text) => {
    await expect(start().use("memory_write", { file: "a", text })).rejects.toThrow();
  });

  test("reads a long file in parts", async () => {
    const world = start();
    world.hand("a.md", Array.from({ length: 400 }, (_, n) => `line ${n + 1} of many`).join("\n\n"));
    const first = await world.use("memory_read", { file: "a" });
    expect(first.text.length).toBeLessThanOrEqual(16_384);
    const [, next] = /More from line (\d+) on\.$/.exec(first.text) ?? [];
    const second = await world.use("memory_read", { file: "a", line: Number(next) });
    expect(second.text.startsWith(`[a.md:${next},`)).toBe(true);
    await expect(world.use("memory_read", { file: "b" })).rejects.toMatchObject({
      code: "memory-unknown",
    });
  });

  test("forgets a line that it names by id and text, and is asked about where others may have had it do so", async () => {
    const world = start();
    const forget = memoryTools(world.all).find(({ name }) => name === "memory_forget");
    const call = world.id();
    await world.use("memory_write", { file: "a", text: "Anna likes tea" }, { call });
    const args = { id: call, text: "Anna likes tea" };
    expect(forget?.asks?.(args, ["private"])).toBeUndefined();
    expect(forget?.asks?.(args, ["untrusted"])).toContain("“Anna likes tea”");
    const wrong = await world.use("memory_forget", { id: call, text: "a harmless line" });
    expect(wrong.text).toContain("No such line");
    expect((await world.memory.search("tea")).found).toHaveLength(1);
    expect((await world.use("memory_forget", args)).text).toBe(
      "Forgotten: 1 lines, in memory/a.md, memory.db.",
    );
    expect((await world.use("memory_forget", args)).text).toContain("(any more)");
    expect((await world.memory.search("tea")).found).toEqual([]);
  });
});

describe("an owner", () => {
  test("adds, finds, reads and vouches for lines", async () => {
    const world = start();
    const { out } = await world.call("memory.add", { text: "  the boiler is old " });
    const mine = { file: "notes.md", line: 1, text: "the boiler is old", by: "console:owner" };
    expect(out).toMatchObject({ ...mine, trusted: true, id: expect.stringMatching(ID) });
    world.hand("house.md", "# House\n- the roof is new\n");
    const { out: found, text } = await world.call("memory.search", { words: "roof" });
    expect(found).toMatchObject({ lines: [{ file: "house.md", trusted: false }], more: false });
    expect(text).toMatch(
      /^the roof is new\n {4}house\.md:2 {2}\S+ \S+, by hand or by somebody else, untrusted {2}\([0-9A-F]{6}\)$/,
    );
    const id = /\((\S{6})\)$/.exec(text)?.[1];
    expect((await world.call("memory.show", {})).out).toEqual({
      files: [
        { file: "house.md", lines: 2, trusted: 0 },
        { file: "notes.md", lines: 1, trusted: 1 },
      ],
      unread: [],
    });
    const trusted = await world.call("memory.trust", { ids: [id] });
    expect(trusted.out).toMatchObject({ lines: [{ text: "the roof is new", trusted: true }] });
    const shown = await world.call("memory.show", { file: "house" });
    expect(shown.out).toMatchObject({
      lines: [
        { line: 1, text: "# House", trusted: false },
        { line: 2, trusted: true },
      ],
    });
  });

  test("gives one order of a chat, carried out twice, one line", async () => {
    const world = start();
    const caller = { by: "console:owner", key: "session/X/7" };
    for (let n = 0; n < 2; n++) {
      await world.call("memory.add", { text: "tea", file: "a" }, caller);
      await world.again();
    }
    await world.call("memory.add", { text: "tea", file: "a" }, { ...caller, key: "session/X/8" });
    expect(world.read("a.md").trim().split("\n")).toHaveLength(2);
  });

  test("sees what would be forgotten, then gets a receipt", async () => {
    const world = start();
    await world.call("memory.add", { text: "tea with Anna" });
    const shown = await world.call("memory.forget", { what: "anna" });
    expect(shown.out).toMatchObject({
      done: false,
      lines: [{ text: "tea with Anna" }],
      receipt: [],
    });
    expect(shown.text).toContain("--yes");
    const done = await world.call("memory.forget", { what: "anna", yes: true });
    expect(done.out).toMatchObject({
      done: true,
      edited: [],
      receipt: [
        { store: "memory/notes.md", removed: 1 },
        { store: "memory.db", removed: 1 },
      ],
    });
    expect(done.text).toContain("Not reached: what was said in chats");
    await expect(world.call("memory.forget", { what: "anna", yes: true })).rejects.toMatchObject({
      code: "memory-unknown",
    });
    // What nobody did is not told of.
    expect(world.deeds).toEqual(["memory.forgotten"]);
  });

  test("reads a file of many lines in parts", async () => {
    const world = start();
    world.hand("a.md", "x\n".repeat(700));
    const { out } = await world.call("memory.show", { file: "a" });
    expect(out).toMatchObject({ next: 501 });
    expect((await world.call("memory.show", { file: "a", line: 501 })).out).toMatchObject({
      lines: { length: 200 },
    });
  });

  test.for<[string, object, string]>([
    ["memory.search", { words: "" }, "bad-args"],
    ["memory.search", { words: "x".repeat(257) }, "bad-args"],
    ["memory.search", { words: "x", agent: "../main" }, "bad-args"],
    ["memory.show", { file: "../kith.db" }, "memory-unknown"],
    ["memory.add", { text: "x", file: "../x" }, "bad-args"],
    ["memory.trust", { ids: ["ABC"] }, "memory-unknown"],
    ["memory.trust", { ids: [""] }, "bad-args"],
    ["memory.forget", { what: "nothing like it" }, "memory-unknown"],
  ])("%s %j is refused: %s", async ([op, args, code]) => {
    await expect(start().call(op, args)).rejects.toMatchObject({ code });
  });
});
