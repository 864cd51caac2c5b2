/** Files that must survive a power cut, and folders that must be nobody else's. */
import { lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { KithError } from "@kith/shared/errors";

/** What was created in or renamed into `folder` is there after a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder; its file system journals the names itself.
  const handle = await open(folder, "r").catch(() => undefined);
  if (!handle) return;
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts `content` at `path` (0600) as a whole or not at all; resolves when it would survive a power cut. */
export async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.new`;
  await rm(draft, { force: true });
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncFolder(dirname(path));
}

/** The text of a file, or undefined where there is none. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Makes the folder (0700) or checks that it is ours alone. @throws KithError home-unsafe */
export async function privateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  // The folder itself may be reached by a link of its owner; what counts is where it ends.
  const found = await stat(path);
  if (!found.isDirectory()) throw new KithError("home-unsafe", `${path} is no folder`);
  refuseShared(path, found);
}

/** A file that only we may read and write, and no link. @throws KithError home-unsafe */
export async function privateFile(path: string): Promise<void> {
  const found = await lstat(path);
  if (!found.isFile()) throw new KithError("home-unsafe", `${path} is no regular file`);
  refuseShared(path, found);
}

function refuseShared(
  path: string,
  { mode, uid }: { readonly mode: number; readonly uid: number },
): void {
  // Windows has neither; there the profile folder's own rights protect it.
  const us = process.getuid?.();
  if (us === undefined) return;
  if (uid !== us) throw new KithError("home-unsafe", `${path} belongs to another user`);
  if (mode & 0o077)
    throw new KithError(
      "home-unsafe",
      `${path} is open to other users (mode ${(mode & 0o777).toString(8)})`,
    );
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
