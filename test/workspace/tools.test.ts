/** The workspace as a model has it. */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ToolContext } from "@kith/gateway/tools/tool";
import { workspaceTools } from "@kith/gateway/workspace/tools";
import { afterAll, expect, test } from "vitest";

const home = mkdtempSync(join(tmpdir(), "kith-workspace-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const signal = new AbortController().signal;
const context: ToolContext = {
  ...{ call: "C", session: "session/S", chat: "console", by: "console:owner" },
  ...{ agent: "main", labels: [] },
};
const tools = workspaceTools(home, (_path, type) =>
  Promise.resolve({ sha256: "ab", type, bytes: 7 }),
);
const tool = (name: string) => {
  const found = tools.find((one) => one.name === `workspace_${name}`);
  if (!found) throw new Error(name);
  return found;
};
const run = (name: string, args: object, agent = "main") =>
  tool(name).run(args as never, { ...context, agent }, signal);

test("what it reads, anybody may have put there", async () => {
  await run("write", { path: "a.txt", text: "hello" });
  const theirs = { labels: ["private", "untrusted"] };
  expect(await run("read", { path: "a.txt", line: 1 })).toMatchObject({
    ...theirs,
    ...{ text: "a.txt:\nhello", source: "the file a.txt of the workspace" },
  });
  expect(await run("list", { path: "" })).toMatchObject({
    ...theirs,
    text: expect.stringMatching(/^a\.txt  5 bytes, 20/),
  });
});

test("each assistant has its own", async () => {
  await run("write", { path: "mine.txt", text: "of main" });
  await expect(run("read", { path: "mine.txt", line: 1 }, "work")).rejects.toMatchObject({
    code: "no-file",
  });
  expect((await run("list", { path: "" }, "work")).text).toBe("It is empty.");
});

test("a long text comes in parts, and says where to read on", async () => {
  const lines = Array.from({ length: 3_000 }, (_, n) => `line ${n + 1}`);
  mkdirSync(join(home, "workspace"), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, "workspace/long.txt"), lines.join("\n"));
  let [read, from] = ["", 1];
  for (let parts = 0; from > 0 && parts < 10; parts++) {
    const { text } = await run("read", { path: "long.txt", line: from });
    expect(text.length).toBeLessThanOrEqual(16_384);
    const next = /\(lines \d+ to \d+ of 3000; read on from line (\d+)\)$/.exec(text);
    read += `${text
      .split("\n")
      .slice(1, next ? -1 : undefined)
      .join("\n")}\n`;
    from = Number(next?.[1] ?? 0);
  }
  expect(read.trimEnd()).toBe(lines.join("\n"));
});

test("a picture is shown; what is no text is told by its size", async () => {
  writeFileSync(join(home, "workspace/desk.png"), "png");
  writeFileSync(join(home, "workspace/data.bin"), Buffer.from([0xff, 0xfe, 0]));
  expect(await run("read", { path: "desk.png", line: 1 })).toMatchObject({
    pictures: [{ type: "image/png", bytes: 7 }],
  });
  await expect(run("read", { path: "data.bin", line: 1 })).rejects.toThrow("is no text: 3 bytes");
});

test("once others' words were read, the owner is asked before a file is written or removed", () => {
  const asks = (args: object, labels: ToolContext["labels"]) =>
    tool("write").asks?.(args as never, labels);
  expect(asks({ path: "a.txt", text: "x" }, ["private"])).toBeUndefined();
  expect(asks({ path: "a.txt", text: "buy" }, ["untrusted"])).toContain("3 characters: “buy”");
  expect(asks({ path: "a.txt", text: "" }, ["untrusted"])).toBe(
    "remove the file a.txt of the workspace",
  );
});
