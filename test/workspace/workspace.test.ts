/** The workspace: what a model may name in it, and that no name leads out of it. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Workspace } from "@kith/gateway/workspace/workspace";
import { afterAll, beforeEach, describe, expect, test } from "vitest";

const SECRET = "what lies outside";
const folders: string[] = [];
let home = "";
let workspace: Workspace;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "kith-workspace-"));
  folders.push(home);
  writeFileSync(join(home, "secret.txt"), SECRET);
  workspace = new Workspace(home, ["workspace"]);
});
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

const bytes = (text: string) => new TextEncoder().encode(text);
const text = async (path: string) => Buffer.from(await workspace.read(path)).toString();
const inside = (...names: string[]) => join(home, "workspace", ...names);

test("what is written is read, listed, replaced and removed; folders are made on the way", async () => {
  await workspace.write("notes/tea.md", bytes("green"));
  await workspace.write("notes/tea.md", bytes("black"));
  expect(await text("notes/tea.md")).toBe("black");
  expect((await workspace.list("")).entries).toMatchObject([{ name: "notes", kind: "folder" }]);
  expect(await workspace.list("notes")).toMatchObject({
    ...{ entries: [{ name: "tea.md", kind: "file", bytes: 5 }], more: 0 },
  });
  await workspace.write("notes/tea.md", bytes(""));
  expect((await workspace.list("notes")).entries).toEqual([]);
  await workspace.write("notes/tea.md", bytes(""));
  await expect(text("notes/tea.md")).rejects.toMatchObject({ code: "no-file" });
});

test("a file may be replaced by its owner at any time, and a link to it elsewhere is one file", async () => {
  await workspace.write("a.txt", bytes("one"));
  writeFileSync(inside("a.txt"), "two");
  expect(await text("a.txt")).toBe("two");
  linkSync(inside("a.txt"), inside("b.txt"));
  expect(await text("b.txt")).toBe("two");
});

test.for([
  ...["", ".", "..", "../secret.txt", "notes/../../secret.txt", "/etc/passwd", "notes//a", "a/"],
  ...[
    ".hidden",
    "notes/.git/config",
    "a\\b",
    "C:\\x",
    "a:stream",
    "con",
    "NUL.txt",
    "com1",
    "a.",
    "a ",
  ],
  ...[
    "a\0b",
    "a\nb",
    "a\u202eb",
    "\u200b",
    `${"x".repeat(101)}`,
    "1/2/3/4/5/6/7/8/9",
    "~/x",
    "a|b",
    "a*",
  ],
])("%j is no path of it, and nothing is made", async (path) => {
  for (const attempt of [
    () => workspace.read(path),
    () => workspace.write(path, bytes("x")),
    () => workspace.hold(path, () => Promise.resolve("held")),
    ...(path === "" ? [] : [() => workspace.list(path)]),
  ])
    if (path !== "~/x") await expect(attempt()).rejects.toMatchObject({ code: "bad-args" });
  expect(readdirSync(home).filter((name) => name !== "workspace")).toEqual(["secret.txt"]);
});

describe("a link is not followed", () => {
  const refused = { code: expect.stringMatching(/^(?:bad-args|no-file)$/) };
  const attempts = (path: string) => [
    () => workspace.read(path),
    () => workspace.write(path, bytes("x")),
    () => workspace.hold(path, (held) => Promise.resolve(readFileSync(held, "utf8"))),
  ];

  test("at the end of a path", async () => {
    await workspace.list("");
    symlinkSync(join(home, "secret.txt"), inside("link.txt"));
    for (const one of attempts("link.txt")) await expect(one()).rejects.toMatchObject(refused);
    expect((await workspace.list("")).entries).toEqual([]);
    expect(readFileSync(join(home, "secret.txt"), "utf8")).toBe(SECRET);
  });

  test("on its way, also where folders would be made", async () => {
    await workspace.list("");
    symlinkSync(home, inside("out"));
    for (const one of attempts("out/secret.txt"))
      await expect(one()).rejects.toMatchObject(refused);
    await expect(workspace.write("out/new/x.txt", bytes("x"))).rejects.toMatchObject(refused);
    await expect(workspace.list("out")).rejects.toMatchObject(refused);
    expect(existsSync(join(home, "new"))).toBe(false);
  });

  test("in the place of the workspace itself", async () => {
    mkdirSync(join(home, "elsewhere"));
    symlinkSync(join(home, "elsewhere"), join(home, "workspace"));
    await expect(workspace.write("a.txt", bytes("x"))).rejects.toMatchObject({
      code: "home-unsafe",
    });
    expect(readdirSync(join(home, "elsewhere"))).toEqual([]);
  });

  test("while somebody swaps a folder for a link and back", async () => {
    await workspace.write("notes/secret.txt", bytes("mine"));
    symlinkSync(home, inside("trap"));
    let [swapping, swaps] = [true, 0];
    const swapper = (async () => {
      while (swapping) {
        renameSync(inside("notes"), inside("aside"));
        renameSync(inside("trap"), inside("notes"));
        await setImmediate();
        renameSync(inside("notes"), inside("trap"));
        renameSync(inside("aside"), inside("notes"));
        swaps++;
        await setImmediate();
      }
    })();
    const read: string[] = [];
    for (let n = 0; n < 2_000; n++)
      await text("notes/secret.txt").then(
        (found) => void read.push(found),
        () => undefined,
      );
    swapping = false;
    await swapper;
    expect(swaps).toBeGreaterThan(100);
    expect(new Set(read)).toEqual(new Set(["mine"]));
  });
});

test("a file of more than 1 MiB, a pipe and a folder are told for what they are", async () => {
  await workspace.list("");
  writeFileSync(inside("big.bin"), Buffer.alloc(1_048_577));
  mkdirSync(inside("folder"));
  await expect(workspace.read("big.bin")).rejects.toMatchObject({ code: "too-big" });
  await expect(workspace.read("folder")).rejects.toMatchObject({ code: "bad-args" });
  await expect(workspace.list("big.bin")).rejects.toMatchObject({ code: "bad-args" });
});
