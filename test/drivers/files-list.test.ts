/** files.list and files.stat stay inside the folder that was shared, and read nothing. */
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileLister, holdAndCompare, holdByDescriptor } from "@kith/node-agent/drivers/files/list";
import { sharedFolders } from "@kith/node-agent/drivers/files/read";
import { filesList, filesStat } from "@kith/shared/capabilities/files";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { codeOf, folder, lend } from "./support.ts";

/** A shared folder with files, links of every sort, and a secret next to it. */
async function shared() {
  const home = await folder();
  const root = join(home.path, "root");
  await mkdir(join(root, "docs/deep"), { recursive: true });
  await writeFile(join(home.path, "secret"), "x");
  await writeFile(join(root, "note.txt"), "a note");
  await writeFile(join(root, "docs/b"), "");
  await writeFile(join(root, "docs/a"), "12345");
  await symlink("../secret", join(root, "link"));
  await symlink("..", join(root, "up"));
  await symlink("docs", join(root, "docs-link"));
  if (process.platform !== "win32") execFileSync("mkfifo", [join(root, "pipe")]);
  return Object.assign(home, { root });
}

const ways = [
  ["by descriptors", holdByDescriptor],
  ["by looking twice", holdAndCompare],
] as const;

describe.each(ways)("%s", (_, hold) => {
  const drivers = (root: string) => {
    const roots = new Map([["home", root]]);
    return fileLister(roots, () => sharedFolders(roots), hold);
  };
  const list = async (root: string, path = "", limit = 100) =>
    v.parse(filesList.out, await drivers(root).list.run({ path, limit }, lend()));

  test("a folder is listed by name; what is no file is said to be so", async () => {
    await using home = await shared();
    const { entries, total } = await list(home.root);
    expect(entries.map(({ name, kind, size }) => [name, kind, size])).toEqual([
      ["docs", "folder", 0],
      ["docs-link", "other", 0],
      ["link", "other", 0],
      ["note.txt", "file", 6],
      ["pipe", "other", 0],
      ["up", "other", 0],
    ]);
    expect(total).toBe(6);
    expect((await list(home.root, "docs")).entries.map(({ name }) => name)).toEqual([
      ...["a", "b", "deep"],
    ]);
  });

  test("one is told of without being read", async () => {
    await using home = await shared();
    const stat = drivers(home.root).stat;
    expect(v.parse(filesStat.out, await stat.run({ path: "docs/a" }, lend()))).toMatchObject({
      ...{ name: "a", kind: "file", size: 5, modified_at_ms: expect.any(Number) },
    });
    expect(await stat.run({ path: "link" }, lend())).toMatchObject({ kind: "other", size: 0 });
    expect(await codeOf(stat.run({ path: "docs/none" }, lend()))).toBe("no-file");
  });

  test.for([
    "up",
    "docs-link",
    "up/secret",
    "link",
    "note.txt",
    "..",
    ".",
    "/",
    "docs//deep",
    "a\\b",
  ])("%s is no way in", async (path) => {
    await using home = await shared();
    expect(await codeOf(list(home.root, path))).toBe("bad-args");
  });

  test("no more than was asked for, and the rest is counted", async () => {
    await using home = await folder();
    for (let n = 0; n < 300; n++)
      await writeFile(join(home.path, `${String(n).padStart(3, "0")}-${"n".repeat(200)}`), "");
    const { entries, total } = await list(home.path, "", 200);
    // Names of 204 bytes: what a result may hold ends it before the 200.
    expect([entries.length, total]).toEqual([80, 300]);
    expect((await list(home.path, "", 3)).entries).toHaveLength(3);
  });

  test.runIf(process.platform === "linux")(
    "a name that nobody can say is counted only",
    async () => {
      await using home = await folder();
      await writeFile(join(home.path, "a\u001b[2J"), "");
      await writeFile(join(home.path, "b"), "");
      expect(await list(home.path)).toMatchObject({ entries: [{ name: "b" }], total: 2 });
    },
  );

  test("of several folders one has to be named", async () => {
    await using home = await shared();
    const roots = new Map([
      ["one", home.root],
      ["two", join(home.root, "docs")],
    ]);
    const { list: many } = fileLister(roots, () => sharedFolders(roots), hold);
    expect(await codeOf(many.run({ path: "", limit: 1 }, lend()))).toBe("bad-args");
    const out = await many.run({ root: "two", path: "", limit: 9 }, lend());
    expect(out.total).toBe(3);
  });
});
