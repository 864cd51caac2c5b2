/** files.read stays inside the folder that was shared, whatever it is asked for. */
import { execFileSync, spawn } from "node:child_process";
import { chmod, link, mkdir, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  fileReader,
  namesOf,
  openAndCompare,
  openByDescriptor,
} from "@kith/node-agent/drivers/files/read";
import { filesRead } from "@kith/shared/capabilities/files";
import type { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { codeOf, folder, lend } from "./support.ts";

const SECRET = "outside: must never be read";

/** A shared folder with files, links of every sort, and a secret next to it. */
async function shared() {
  const home = await folder();
  const root = join(home.path, "root");
  const at = (name: string) => join(root, name);
  await mkdir(at("docs/deep"), { recursive: true });
  await writeFile(join(home.path, "secret"), SECRET);
  await writeFile(at("note.txt"), "a note");
  await writeFile(at("docs/deep/picture.JPG"), "inside");
  await writeFile(at("grüße 你好.md"), "hello");
  await writeFile(at("empty"), "");
  await symlink("../secret", at("link"));
  await symlink(join(home.path, "secret"), at("absolute-link"));
  await symlink("..", at("up"));
  await symlink(home.path, at("out"));
  await symlink("docs", at("docs-link"));
  await symlink("note.txt", at("inner-link"));
  await symlink("nowhere", at("dangling"));
  await symlink("circle", at("circle"));
  await symlink("/proc/self/environ", at("environ"));
  await symlink("../../../secret", at("docs/deep/link"));
  if (process.platform !== "win32") execFileSync("mkfifo", [at("pipe")]);
  return Object.assign(home, { root });
}

/** The text of a file, through the driver. */
async function read(root: string, path: string, how = openByDescriptor, max_bytes = 1_000_000) {
  const tools = lend();
  const out = await fileReader(new Map([["home", root]]), how).run({ path, max_bytes }, tools);
  const content = tools.contents[0];
  if (!content || !("file" in content)) throw new Error("no file was handed over");
  try {
    const { buffer } = await content.file.read(Buffer.alloc(content.size), 0, content.size, 0);
    return { out: v.parse(filesRead.out, out), text: buffer.toString(), said: tools.said[0] };
  } finally {
    await content.file.close();
  }
}

const hostile = [
  ["", "/", "//", ".", "..", "./", "../", "/.", "/..", "./.", "../..", "...//", "....//secret"],
  [
    "../secret",
    "../../secret",
    "./../secret",
    "docs/../../secret",
    "docs/../note.txt",
    "docs/deep/../../../secret",
  ],
  [
    "docs/..",
    "docs/.",
    "docs/./deep/picture.JPG",
    "./note.txt",
    "note.txt/",
    "docs//deep/picture.JPG",
    "note.txt/..",
    "note.txt/../note.txt",
  ],
  [
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/note.txt",
    "~",
    "~/secret",
    "~root/.bashrc",
    "$HOME/secret",
    "${HOME}",
    "`id`",
  ],
  [
    "..\\secret",
    "docs\\..\\..\\secret",
    "\\etc\\passwd",
    "\\\\server\\share\\x",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "C:note.txt",
    "\\\\?\\C:\\x",
    "\\\\.\\pipe\\x",
  ],
  [
    "file:///etc/passwd",
    "http://localhost/",
    "%2e%2e/secret",
    "..%2fsecret",
    "%2e%2e%2fsecret",
    "..%5csecret",
    "..%00/secret",
    "%252e%252e/secret",
  ],
  [
    "note.txt\0",
    "note.txt\0.jpg",
    "\0",
    "..\0/secret",
    "../secret\0.txt",
    "note.txt\n",
    "\r\n../secret",
    "\u001b[2J",
    "note\u202etxt.exe",
    "\u200b../secret",
    "\ufeff../secret",
  ],
  [
    "．．/secret",
    "‥/secret",
    "..∕secret",
    "..／secret",
    "\u2024\u2024/secret",
    "\ud800",
    ". ./secret",
    ".. /secret",
    "..;/secret",
    " ../secret",
  ],
  ["a/".repeat(64) + "b", "a".repeat(256), "ä".repeat(128), "a/".repeat(511) + "bb"],
  [
    "link",
    "absolute-link",
    "up/secret",
    "up/root/note.txt",
    "out/secret",
    "docs-link/deep/picture.JPG",
    "inner-link",
    "dangling",
    "circle",
    "circle/x",
    "environ",
    "docs/deep/link",
  ],
  ["docs", "docs/deep", "pipe", "pipe/x", "note.txt/x", "no/such/file", "empty/../../secret"],
  [
    "/dev/zero",
    "dev/zero",
    "proc/self/fd/0",
    "/dev/fd/0",
    "-rf",
    "--",
    "|id",
    "> x",
    "*",
    "?ote.txt",
    "[n]ote.txt",
    "NOTE.TXT:stream",
    "note.txt::$DATA",
  ],
].flat();

const linux = process.platform === "linux";
const ways = [
  ...(linux ? [["by descriptor (Linux)", openByDescriptor] as const] : []),
  ["by comparing (elsewhere)", openAndCompare] as const,
];

describe.each(ways)("reading a shared folder %s", (_way, how) => {
  test("gives files at any depth with their size and type", async () => {
    await using home = await shared();
    expect(await read(home.root, "note.txt", how)).toMatchObject({
      text: "a note",
      said: "stream: content text/plain",
      out: { name: "note.txt", size: 6 },
    });
    expect(await read(home.root, "docs/deep/picture.JPG", how)).toMatchObject({
      text: "inside",
      said: "stream: content image/jpeg",
    });
    expect(await read(home.root, "grüße 你好.md", how)).toMatchObject({
      text: "hello",
      said: "stream: content text/markdown",
    });
    expect(await read(home.root, "empty", how)).toMatchObject({
      text: "",
      said: "stream: content application/octet-stream",
    });
  });

  test(`refuses ${hostile.length} hostile names, each with a code and without naming a path`, async () => {
    await using home = await shared();
    const escapes: string[] = [];
    for (const path of hostile) {
      const told = await read(home.root, path, how).then(
        ({ text }) => `read ${JSON.stringify(text)}`,
        (thrown: unknown) => thrown as KithError,
      );
      if (typeof told === "string") escapes.push(`${JSON.stringify(path)}: ${told}`);
      else {
        expect(["bad-args", "no-file"], `${JSON.stringify(path)}: ${told.message}`).toContain(
          told.code,
        );
        expect(told.message).not.toContain(home.path);
      }
    }
    expect(escapes).toEqual([]);
    expect(hostile.length).toBeGreaterThanOrEqual(60);
  });

  test.each([
    "link",
    "absolute-link",
    "environ",
    "dangling",
    "circle",
    "up/secret",
    "out/secret",
    "up/root/note.txt",
    "docs-link/deep/picture.JPG",
    "inner-link",
    "docs/deep/link",
  ])("refuses %s as a link, before it was opened, even where it leads inside", async (path) => {
    await using home = await shared();
    expect(await codeOf(read(home.root, path, how))).toBe("bad-args");
  });

  test("leaves no descriptor open behind a refusal or an answer", async () => {
    await using home = await shared();
    const count = async () => {
      const held = await Promise.all(
        (await readdir("/proc/self/fd").catch(() => [])).map((fd) =>
          readlink(`/proc/self/fd/${fd}`).catch(() => ""),
        ),
      );
      return held.filter((name) => name.startsWith(home.path)).length;
    };
    for (const path of [
      "note.txt",
      "docs/deep/picture.JPG",
      "up/secret",
      "docs",
      "docs/no",
      "link",
      "pipe",
    ])
      await read(home.root, path, how).catch(() => {});
    await codeOf(read(home.root, "note.txt", how, 5));
    expect(await count()).toBe(0);
  });

  test("takes a file at the limit and refuses one byte more", async () => {
    await using home = await shared();
    expect((await read(home.root, "note.txt", how, 6)).text).toBe("a note");
    expect(await codeOf(read(home.root, "note.txt", how, 5))).toBe("too-big");
  });

  test("says so when the system forbids it", async () => {
    await using home = await shared();
    await writeFile(join(home.root, "closed"), "x", { mode: 0o000 });
    // Root may read everything: for one call it is nobody.
    const root = process.geteuid?.() === 0;
    if (root) await Promise.all([chmod(home.path, 0o755), chmod(home.root, 0o755)]);
    if (root) process.seteuid?.(65_534);
    try {
      expect(await codeOf(read(home.root, "closed", how))).toBe("os-permission");
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  test("a root that is a link is the owner's own word and works", async () => {
    await using home = await shared();
    await symlink(home.root, join(home.path, "alias"));
    expect((await read(join(home.path, "alias"), "note.txt", how)).text).toBe("a note");
  });
});

describe("several shared folders", () => {
  test("are told apart by name, and only a single one may go unnamed", async () => {
    await using home = await shared();
    const reader = fileReader(
      new Map([
        ["a", home.root],
        ["b", join(home.root, "docs")],
      ]),
    );
    const ask = (root: string | undefined, path: string) => {
      const tools = lend();
      return reader
        .run({ path, max_bytes: 100, ...(root !== undefined && { root }) }, tools)
        .finally(() => {
          for (const content of tools.contents) if ("file" in content) void content.file.close();
        });
    };
    expect(await ask("b", "deep/picture.JPG")).toMatchObject({ name: "picture.JPG" });
    expect(await codeOf(ask("b", "note.txt"))).toBe("no-file");
    for (const root of [undefined, "c", "", "__proto__", home.root])
      expect(await codeOf(ask(root, "note.txt"))).toBe("bad-args");
    expect(await reader.probe()).toMatchObject({
      state: "ready",
      devices: [{ id: "a" }, { id: "b" }],
    });
  });

  test("none at all, or none that exists, is said by the probe", async () => {
    expect(await fileReader(new Map()).probe()).toMatchObject({ state: "unavailable" });
    expect(await fileReader(new Map([["a", "/no/such/folder"]])).probe()).toMatchObject({
      state: "unavailable",
    });
  });
});

test.each([
  "a:b",
  "C:",
  "note.txt::$DATA",
  "CON",
  "con.txt",
  "aux .txt",
  "COM1",
  "lpt9.log",
  "NUL",
  "x.",
  "x ",
  "a?b",
  "docs/nul/x",
  "CONIN$",
])("on Windows %j is refused, elsewhere it is a name like others", (name) => {
  expect(() => namesOf(name, true)).toThrow("Windows");
  expect(namesOf(name, false).join("/")).toBe(name);
});

/** Somebody who can write inside the root and swaps names as fast as the system allows. */
const swapper = `
  const fs = require("node:fs"), { join } = require("node:path");
  const [root, outside] = process.argv.slice(1), at = (n) => join(root, n);
  const attempt = (f) => { try { f(); } catch {} };
  process.stdout.write("ready");
  for (;;) {
    // A folder becomes a link to the outside and a folder again; so does a file.
    attempt(() => { fs.renameSync(at("dir"), at("dir.real")); fs.renameSync(at("dir.link"), at("dir")); });
    attempt(() => { fs.renameSync(at("dir"), at("dir.link")); fs.renameSync(at("dir.real"), at("dir")); });
    attempt(() => { fs.renameSync(at("file"), at("file.real")); fs.renameSync(at("file.link"), at("file")); });
    attempt(() => { fs.renameSync(at("file"), at("file.link")); fs.renameSync(at("file.real"), at("file")); });
    // A folder is carried out of the root, gets another file there, and comes back.
    attempt(() => { fs.renameSync(at("moved"), join(outside, "moved")); fs.renameSync(join(outside, "moved/secret"), join(outside, "moved/file")); });
    attempt(() => { fs.renameSync(join(outside, "moved/file"), join(outside, "moved/secret")); fs.renameSync(join(outside, "moved"), at("moved")); });
  }`;

test.runIf(linux)(
  "3,000 opens against somebody who swaps folders, files and links: none escapes",
  async () => {
    await using home = await folder();
    const [root, outside] = [join(home.path, "root"), join(home.path, "outside")];
    for (const name of [join(root, "dir"), join(root, "moved"), join(outside, "dir")])
      await mkdir(name, { recursive: true });
    await writeFile(join(root, "dir/file"), "inside");
    await writeFile(join(root, "file"), "inside");
    await writeFile(join(outside, "dir/file"), SECRET);
    await writeFile(join(outside, "file"), SECRET);
    // Only while it is outside does the carried folder hold a `file`.
    await writeFile(join(root, "moved/secret"), SECRET);
    await symlink(join(outside, "dir"), join(root, "dir.link"));
    await symlink(join(outside, "file"), join(root, "file.link"));

    const attacker = spawn(process.execPath, ["-e", swapper, root, outside], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const counts: Record<string, number> = {};
    try {
      await new Promise((resolve) => attacker.stdout.once("data", resolve));
      for (let i = 0; i < 3_000; i++) {
        const path = ["dir/file", "file", "moved/file"][i % 3]!;
        const end = await read(root, path).then(
          ({ text }) => text,
          (thrown: unknown) => (thrown as KithError).code,
        );
        counts[end] = (counts[end] ?? 0) + 1;
      }
    } finally {
      attacker.kill("SIGKILL");
      await new Promise((resolve) => attacker.once("exit", resolve));
    }
    console.log(`swapper: ${JSON.stringify(counts)}`);
    expect(counts[SECRET] ?? 0).toBe(0);
    expect(
      Object.keys(counts).filter((end) => !["inside", "bad-args", "no-file", "gone"].includes(end)),
    ).toEqual([]);
    expect(counts["inside"]).toBeGreaterThan(0);
  },
  60_000,
);

test.runIf(linux)("a hard link inside the root is a file of the root", async () => {
  await using home = await shared();
  await link(join(home.root, "note.txt"), join(home.root, "second"));
  await rm(join(home.root, "note.txt"));
  expect((await read(home.root, "second")).text).toBe("a note");
});
