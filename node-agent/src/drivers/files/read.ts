/**
 * files.read: one file inside a folder that the device's owner shared by name.
 *
 *   root (opened) ─► folder ─► folder ─► file        each opened inside the one before,
 *        no link is followed on the way              then: is it where it was asked for?
 *
 * A path from a peer is a list of names, never a string for the system to interpret. Who can
 * write inside the root can swap names while we walk; that is why nothing is looked up twice.
 */
import {
  constants,
  type FileHandle,
  lstat,
  open,
  readlink,
  realpath,
  stat,
} from "node:fs/promises";
import { extname, join, sep } from "node:path";
import { filesRead } from "@kith/shared/capabilities/files";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { hasMagicNames, hasProcFd } from "../../platform.ts";
import type { Driver, Probe } from "../driver.ts";

/** Opens `names` inside `root` without following a link below it; the caller closes. */
export type OpenInside = (root: string, names: readonly string[]) => Promise<FileHandle>;

/** Deeper than any folder that a person shares. */
const MOST_NAMES = 64;

/** Media types by the end of a name; all else is a plain row of bytes. */
const types = new Map(
  (
    "txt text/plain, md text/markdown, csv text/csv, json application/json, pdf application/pdf, " +
    "zip application/zip, jpg image/jpeg, jpeg image/jpeg, png image/png, gif image/gif, " +
    "webp image/webp, heic image/heic, mp3 audio/mpeg, ogg audio/ogg, wav audio/wav, flac audio/flac, " +
    "mp4 video/mp4, webm video/webm"
  )
    .split(", ")
    .map((row) => row.split(" ") as [string, string]),
);

export function fileReader(
  roots: ReadonlyMap<string, string>,
  openInside: OpenInside = hasProcFd ? openByDescriptor : openAndCompare,
): Driver<typeof filesRead> {
  return {
    capability: filesRead,
    parallel: 4,
    maxMs: 600_000,
    probe: () => sharedFolders(roots),
    async run({ root, path, max_bytes }, tools) {
      const names = namesOf(path);
      const file = await openInside(rootOf(roots, root), names).catch((thrown: unknown) => {
        throw failureOf(thrown);
      });
      try {
        const { size, mtimeMs } = await regular(file);
        if (size > max_bytes)
          throw new KithError("too-big", `the file has ${size} bytes, allowed are ${max_bytes}`);
        tools.signal.throwIfAborted();
        const name = names.at(-1)!;
        const type = types.get(extname(name).slice(1).toLowerCase());
        tools.stream("content", type ?? "application/octet-stream", { file, size });
        return { name: tame(name, 255), size, modified_at_ms: Math.max(0, Math.floor(mtimeMs)) };
      } catch (thrown) {
        await file.close();
        throw thrown;
      }
    },
  };
}

/** Whether there is a shared folder, and which: what every capability of files rests on. */
export async function sharedFolders(roots: ReadonlyMap<string, string>): Promise<Probe> {
  const devices = [...roots.keys()]
    .slice(0, 16)
    .map((root) => ({ id: tame(root, 64), label: tame(root, 64) }));
  if (devices.length === 0)
    return { state: "unavailable", reason: "no folder shared yet (--root NAME=PATH)" };
  const found = await Promise.allSettled([...roots.values()].map((path) => stat(path)));
  const there = found.some((one) => one.status === "fulfilled" && one.value.isDirectory());
  return there
    ? { state: "ready", devices }
    : { state: "unavailable", reason: "the shared folders are not there" };
}

/** The folder of that name; the only one where none is named. @throws KithError bad-args */
export function rootOf(roots: ReadonlyMap<string, string>, name: string | undefined): string {
  const only = roots.size === 1 ? [...roots.keys()][0] : undefined;
  const path = roots.get(name ?? only ?? "");
  if (path !== undefined) return path;
  throw new KithError(
    "bad-args",
    `name one of the shared folders: ${tame([...roots.keys()].join(", "), 200)}`,
  );
}

const refuse = (why: string) => new KithError("bad-args", why);

/** The names on the way, or bad-args: anything that a system could read as more than a name. */
export function namesOf(path: string, magic = hasMagicNames): string[] {
  if (path.includes("\\") || tame(path, 1_024) !== path)
    throw refuse("a path has forward slashes and no control characters");
  const names = path.split("/");
  if (names.length > MOST_NAMES) throw refuse("the path is too deep");
  for (const name of names) {
    if (name === "" || name === "." || name === "..")
      throw refuse("a path is relative to the shared folder, without . or ..");
    if (Buffer.byteLength(name) > 255) throw refuse("a name in the path is too long");
    // Windows: streams and drives (`:`), wildcards, devices, and names it would shorten.
    if (
      magic &&
      /[:*?"<>|]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)\s*(\.|$)/i.test(name)
    )
      throw refuse("that name has a meaning of its own on Windows");
  }
  return names;
}

/** O_NONBLOCK: opening a pipe must not wait for its other end. Windows has none of the three. */
const FILE =
  constants.O_RDONLY |
  (constants.O_NOFOLLOW ?? 0) |
  (constants.O_NONBLOCK ?? 0) |
  (constants.O_NOCTTY ?? 0);
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Linux: each name is opened inside the folder that is already open, so nothing can be swapped
 * above it. A hard link is a file of the root like any other: the system decides who makes one.
 */
export const openByDescriptor: OpenInside = async (root, names) => {
  const inside = (folder: FileHandle, name = "") =>
    `/proc/self/fd/${folder.fd}${name && `/${name}`}`;
  // The root itself is the owner's word: it may be a link.
  let folder = await open(root, FOLDER);
  try {
    const base = await readlink(inside(folder));
    for (const name of names.slice(0, -1)) {
      const next = await open(inside(folder, name), FOLDER | constants.O_NOFOLLOW);
      await folder.close();
      folder = next;
    }
    const file = await open(inside(folder, names.at(-1)!), FILE);
    // A folder that we held may have been moved out of the root meanwhile, with the file in it.
    return await checked(file, async () => (await readlink(inside(file))) === join(base, ...names));
  } finally {
    await folder.close();
  }
};

/**
 * Elsewhere: look, open, look again. Weaker: Node has no `openat`, so somebody who can write
 * in the root and swaps a folder twice within this function, at the right moments, may win.
 */
export const openAndCompare: OpenInside = async (root, names) => {
  const base = await realpath(root);
  let path = base;
  for (const name of names) {
    path = join(path, name);
    const found = await lstat(path);
    if (!found.isFile() && !found.isDirectory())
      throw refuse("links are not followed, and only regular files are read");
  }
  const file = await open(path, FILE);
  return await checked(file, async () => {
    const real = await realpath(path);
    const [opened, found] = await Promise.all([
      file.stat({ bigint: true }),
      stat(real, { bigint: true }),
    ]);
    const within = real.startsWith(base.endsWith(sep) ? base : base + sep);
    return within && opened.ino === found.ino && opened.dev === found.dev;
  });
};

/** The file, if it is where it was asked for; else it is closed. */
async function checked(file: FileHandle, inPlace: () => Promise<boolean>): Promise<FileHandle> {
  try {
    await regular(file);
    if (await inPlace()) return file;
    throw new KithError("gone", "the file was moved while it was opened");
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

async function regular(file: FileHandle) {
  const found = await file.stat();
  if (!found.isFile()) throw refuse("not a regular file");
  return found;
}

/** What the system's refusal means. Its words hold a path, so they stay here. */
export function failureOf(thrown: unknown, doing: "read" | "write" = "read"): KithError {
  if (thrown instanceof KithError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const failure = (
    kith: "no-file" | "bad-args" | "os-permission" | "disk-full" | "driver",
    message: string,
  ) => new KithError(kith, message, { cause: thrown });
  if (code === "ENOENT")
    return failure("no-file", doing === "read" ? "no such file there" : "no such folder there");
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return failure("os-permission", `this program may not ${doing} that file`);
  if (code === "ENOSPC" || code === "EDQUOT")
    return failure("disk-full", "the device cannot store the content");
  if (code === "ELOOP" || code === "ENOTDIR")
    return failure("bad-args", "links are not followed, and a file has nothing inside");
  if (code === "ENXIO" || code === "EISDIR" || code === "ENAMETOOLONG")
    return failure("bad-args", "not a regular file");
  return failure("driver", "the file cannot be opened");
}
