/** Whole small files of a folder: read and replaced without following a link, never in half. */
import { constants, type BigIntStats } from "node:fs";
import { lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { privateFolder } from "../platform.ts";
import { crashpoint } from "../runtime/crashpoint.ts";

export const FILE_BYTES = 1_048_576;

/** As it is now: changed when anything of this did. Neither an editor nor `touch` can set ctime. */
export const stateOf = ({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [ino, size, mtimeNs, ctimeNs].join(".");

/** O_NONBLOCK: opening a pipe must not wait for its other end. Windows has neither. */
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const DRAW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

/** Makes the folders below the home. @throws KithError home-unsafe where one of them is a link */
export async function folderOf(home: string, names: readonly string[]): Promise<string> {
  let path = home;
  for (const name of names) {
    path = join(path, name);
    await mkdir(path, { mode: 0o700 }).catch(unlessThere);
    if (!(await lstat(path)).isDirectory())
      throw new KithError("home-unsafe", `${path} must be a folder; a link is not followed`);
    privateFolder(path);
  }
  return path;
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/** A whole file; undefined where there is none. @throws KithError bad-args for a link, a folder, a pipe; too-big */
export async function read(
  folder: string,
  name: string,
): Promise<{ readonly bytes: Buffer; readonly state: string } | undefined> {
  const path = join(folder, name);
  const regular = (found: BigIntStats) => {
    if (!found.isFile())
      throw new KithError("bad-args", `${name} is no regular file; a link is not followed`);
    if (found.size > FILE_BYTES) throw new KithError("too-big", `${name} has more than 1 MiB`);
    return stateOf(found);
  };
  const before = await lstat(path, { bigint: true }).catch(unlessGone);
  if (!before) return undefined;
  regular(before);
  const file = await open(path, READ);
  try {
    const state = regular(await file.stat({ bigint: true }));
    const buffer = Buffer.alloc(FILE_BYTES + 1);
    let at = 0;
    for (let part = 1; part > 0 && at < buffer.length; at += part)
      part = (await file.read(buffer, at, buffer.length - at, at)).bytesRead;
    if (at > FILE_BYTES) throw new KithError("too-big", `${name} has more than 1 MiB`);
    return { bytes: Buffer.from(buffer.subarray(0, at)), state };
  } finally {
    await file.close();
  }
}

function unlessGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/**
 * Puts a whole file in the place of the one that `read` found (`state`; undefined: of none); empty, it is
 * removed. False where somebody changed that one meanwhile: nothing was done then.
 * @throws KithError disk-full, too-big
 */
export async function replace(
  folder: string,
  name: string,
  bytes: Uint8Array,
  state: string | undefined,
): Promise<boolean> {
  if (bytes.length > FILE_BYTES)
    throw new KithError("too-big", `${name} would have more than 1 MiB`);
  const path = join(folder, name);
  const draft = join(folder, `.${name}.kith`);
  await rm(draft, { force: true });
  const file = await open(draft, DRAW, 0o600);
  try {
    crashpoint("file.write");
    await file.writeFile(bytes);
    crashpoint("file.sync");
    await file.sync();
  } catch (cause) {
    await rm(draft, { force: true });
    if ((cause as NodeJS.ErrnoException).code !== "ENOSPC") throw cause;
    throw new KithError("disk-full", `there is no space for ${name}`, { cause });
  } finally {
    await file.close();
  }
  const now = await lstat(path, { bigint: true }).catch(unlessGone);
  if ((now && stateOf(now)) !== state) {
    await rm(draft, { force: true });
    return false;
  }
  crashpoint("file.rename");
  await rename(draft, path);
  if (bytes.length === 0) await rm(path);
  const held = await open(folder, "r");
  // Windows cannot sync a folder; there the rename itself is durable enough.
  await held.sync().catch(() => {});
  await held.close();
  crashpoint("file.done");
  return true;
}
