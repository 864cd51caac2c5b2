/** files.write: whole or not at all, inside the folder that was shared, and nothing replaced that was not named. */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import {
  chmod,
  mkdir,
  readFile,
  readdir,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { holdAndCompare, holdByDescriptor } from "@kith/node-agent/drivers/files/list";
import { sharedFolders } from "@kith/node-agent/drivers/files/read";
import { fileWriter } from "@kith/node-agent/drivers/files/write";
import { filesWrite } from "@kith/shared/capabilities/files";
import { systemClock } from "@kith/shared/clock";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { codeOf, folder, lend } from "./support.ts";

const hash = (text: string) => createHash("sha256").update(text).digest("hex");
const WEEK_MS = 7 * 86_400_000;

async function shared() {
  const home = await folder();
  const root = join(home.path, "root");
  await mkdir(join(root, "docs"), { recursive: true });
  await writeFile(join(root, "old.txt"), "old");
  await writeFile(join(home.path, "secret"), "x");
  await symlink("../secret", join(root, "link"));
  await symlink("..", join(root, "up"));
  if (process.platform !== "win32") execFileSync("mkfifo", [join(root, "pipe")]);
  return Object.assign(home, { root });
}

describe.each([
  ["by descriptors", holdByDescriptor],
  ["by looking twice", holdAndCompare],
] as const)("%s", (_, hold) => {
  const tools = (text: string) => lend(undefined, new TextEncoder().encode(text));
  const write = async (root: string, path: string, text: string, more = {}, lent = tools(text)) => {
    const roots = new Map([["home", root]]);
    const driver = fileWriter(roots, systemClock, () => sharedFolders(roots), hold);
    const args = { path, size: Buffer.byteLength(text), sha256: hash(text), ...more };
    return v.parse(filesWrite.out, await driver.run(v.parse(filesWrite.args, args), lent));
  };
  const drafts = async (path: string) =>
    (await readdir(path)).filter((name) => name.startsWith(".kith-draft-"));

  test("a new file is there, as any program of its user would make it, and no draft is left", async () => {
    await using home = await shared();
    expect(await write(home.root, "docs/new.txt", "hello")).toEqual({
      ...{ name: "new.txt", size: 5, changed: true },
    });
    const path = join(home.root, "docs/new.txt");
    expect(await readFile(path, "utf8")).toBe("hello");
    expect((await stat(path)).mode & 0o111).toBe(0);
    expect(await drafts(join(home.root, "docs"))).toEqual([]);
  });

  test("empty content is a file as well", async () => {
    await using home = await shared();
    await write(home.root, "empty", "");
    expect((await stat(join(home.root, "empty"))).size).toBe(0);
  });

  test("exactly this is there already: nothing is sent", async () => {
    await using home = await shared();
    const lent = tools("old");
    expect(await write(home.root, "old.txt", "old", {}, lent)).toMatchObject({ changed: false });
    expect(lent.said).toEqual([]);
  });

  test("another file is replaced only by its hash; the version before and the rights are kept", async () => {
    await using home = await shared();
    const path = join(home.root, "old.txt");
    await chmod(path, 0o640);
    expect(await codeOf(write(home.root, "old.txt", "new"))).toBe("bad-args");
    expect(await codeOf(write(home.root, "old.txt", "new", { replaces: hash("else") }))).toBe(
      "bad-args",
    );
    expect(await readFile(path, "utf8")).toBe("old");
    const { kept = "" } = await write(home.root, "old.txt", "new", { replaces: hash("old") });
    expect(kept).toMatch(/^\.kith-old\/\d+-old\.txt$/);
    expect(await readFile(path, "utf8")).toBe("new");
    expect(await readFile(join(home.root, kept), "utf8")).toBe("old");
    if (process.platform !== "win32") expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await drafts(home.root)).toEqual([]);
  });

  test("a name as long as names may be can be replaced", async () => {
    await using home = await shared();
    const name = "\u6587".repeat(85);
    await write(home.root, name, "old");
    const { kept = "" } = await write(home.root, name, "new", { replaces: hash("old") });
    expect(await readFile(join(home.root, kept), "utf8")).toBe("old");
  });

  test("what should be replaced and is not there is said", async () => {
    await using home = await shared();
    expect(await codeOf(write(home.root, "none", "x", { replaces: hash("old") }))).toBe("bad-args");
  });

  test("content that is not what was approved changes nothing", async () => {
    await using home = await shared();
    expect(await codeOf(write(home.root, "new.txt", "hello", {}, tools("other")))).toBe(
      "hash-mismatch",
    );
    expect(await readdir(home.root)).not.toContain("new.txt");
    expect(await drafts(home.root)).toEqual([]);
  });

  test("a file that took the name meanwhile stays", async () => {
    await using home = await shared();
    const lent = tools("mine");
    const { receive } = lent;
    const slow = {
      ...lent,
      async receive(role: string, open: Parameters<typeof receive>[1]) {
        await writeFile(join(home.root, "new.txt"), "theirs");
        await receive(role, open);
      },
    };
    expect(await codeOf(write(home.root, "new.txt", "mine", {}, slow))).toBe("bad-args");
    expect(await readFile(join(home.root, "new.txt"), "utf8")).toBe("theirs");
    expect(await drafts(home.root)).toEqual([]);
  });

  test.for([
    ["../secret", "bad-args"],
    ["up/secret", "bad-args"],
    ["link", "bad-args"],
    ["pipe", "bad-args"],
    ["docs", "bad-args"],
    ["old.txt/x", "bad-args"],
    ["nowhere/x", "no-file"],
    [".kith-old/x", "bad-args"],
    ["docs/.kith-draft-x", "bad-args"],
    ["a//b", "bad-args"],
  ] as const)("%s is refused with %s, and nothing is written", async ([path, code]) => {
    await using home = await shared();
    expect(await codeOf(write(home.root, path, "x"))).toBe(code);
    expect(await readFile(join(home.path, "secret"), "utf8")).toBe("x");
    expect(await drafts(home.root)).toEqual([]);
  });

  test("versions of more than a week and drafts of more than a day go with a later write", async () => {
    await using home = await shared();
    const old = join(home.root, ".kith-old");
    await mkdir(old);
    await writeFile(join(old, "1-a"), "");
    await writeFile(join(old, "2-b"), "");
    await writeFile(join(home.root, ".kith-draft-lost"), "");
    const long = new Date(Date.now() + WEEK_MS + 60_000);
    await write(home.root, "old.txt", "new", { replaces: hash("old") });
    expect(await readdir(old)).toHaveLength(3);
    await utimes(join(old, "1-a"), long, long);
    const roots = new Map([["home", home.root]]);
    const clock = { ...systemClock, now: () => Date.now() + WEEK_MS + 30_000 };
    const later = fileWriter(roots, clock, () => sharedFolders(roots), hold);
    const args = { path: "old.txt", size: 5, sha256: hash("newer"), replaces: hash("new") };
    const { kept = "" } = v.parse(
      filesWrite.out,
      await later.run(v.parse(filesWrite.args, args), tools("newer")),
    );
    expect((await readdir(old)).toSorted()).toEqual(["1-a", kept.slice(10)].toSorted());
    expect(await drafts(home.root)).toEqual([]);
  });
});
