/**
 * The files that an assistant and its owner share: `workspace/` of the home, `agents/NAME/workspace/` of another
 * assistant. A path from a model is a list of names, each looked up inside the folder that is already open:
 *
 *   root (opened) ─► folder ─► folder ─► file        no link is followed on the way, and none at its end
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, readlink, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { folderOf, read, replace } from "../files/whole.ts";
import { hasProcFd } from "../platform.ts";

/** Names of one listing. */
export const MOST_LISTED = 200;
const MOST_DEPTH = 8;

export interface Entry {
  readonly name: string;
  readonly kind: "file" | "folder";
  readonly bytes: number;
  /** Unix ms. */
  readonly changed: number;
}

/** A folder that is held: where its entries can be looked at, until it is let go. */
interface Held extends AsyncDisposable {
  readonly path: string;
}

export class Workspace {
  readonly #home: string;
  readonly #names: readonly string[];

  /** `names`: of the folders from the home down to it. */
  constructor(home: string, names: readonly string[]) {
    this.#home = home;
    this.#names = names;
  }

  /** What lies in a folder, by name; a link and whatever else is no file is left out. @throws KithError bad-args, no-file */
  async list(path: string): Promise<{ readonly entries: readonly Entry[]; readonly more: number }> {
    await using folder = await this.#hold(path === "" ? [] : namesOf(path));
    const names = (await readdir(folder.path)).filter((name) => NAME.test(name)).toSorted();
    const found = await Promise.all(
      names.slice(0, MOST_LISTED).map(async (name): Promise<Entry | undefined> => {
        // Gone meanwhile: then it is not there.
        const entry = await lstat(join(folder.path, name)).catch(() => undefined);
        if (!entry?.isFile() && !entry?.isDirectory()) return undefined;
        const kind = entry.isFile() ? "file" : "folder";
        const bytes = entry.isFile() ? entry.size : 0;
        return { name, kind, bytes, changed: Math.floor(entry.mtimeMs) };
      }),
    );
    return {
      entries: found.filter((entry) => entry !== undefined),
      more: Math.max(0, names.length - MOST_LISTED),
    };
  }

  /** A whole file of at most 1 MiB. @throws KithError bad-args, no-file, too-big */
  async read(path: string): Promise<Uint8Array> {
    const names = namesOf(path);
    await using folder = await this.#hold(names.slice(0, -1));
    const found = await read(folder.path, names.at(-1) ?? "");
    if (!found) throw gone(path);
    return found.bytes;
  }

  /**
   * Puts a whole file there, in the place of one that may be there; its folders are made. Empty, it is removed.
   * The same again is harmless. @throws KithError bad-args, too-big, disk-full, conflict when somebody changed it meanwhile
   */
  async write(path: string, bytes: Uint8Array): Promise<void> {
    const names = namesOf(path);
    const name = names.at(-1) ?? "";
    await using folder = await this.#hold(names.slice(0, -1), true);
    const before = await read(folder.path, name);
    if (!before && bytes.length === 0) return;
    if (!(await replace(folder.path, name, bytes, before?.state)))
      throw new KithError("conflict", `${path} was changed meanwhile: read it again`);
  }

  /** Hands a file to `use` by a path that leads to it and nowhere else, whatever happens to its name. @throws KithError bad-args, no-file */
  async hold<T>(path: string, use: (held: string) => Promise<T>): Promise<T> {
    const names = namesOf(path);
    await using folder = await this.#hold(names.slice(0, -1));
    const inside = join(folder.path, names.at(-1) ?? "");
    const file = await open(inside, FILE).catch(refusal(path));
    try {
      if (!(await file.stat()).isFile()) throw isNoFile(path);
      return await use(hasProcFd ? `/proc/self/fd/${file.fd}` : inside);
    } finally {
      await file.close();
    }
  }

  async #hold(names: readonly string[], make = false): Promise<Held> {
    const root = await folderOf(this.#home, this.#names);
    return await (hasProcFd ? holdByDescriptor : holdAndCompare)(root, names, make).catch(
      refusal(names.join("/")),
    );
  }
}

const FOLDER = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0);
/** O_NONBLOCK: opening a pipe must not wait for its other end. Windows has neither. */
const FILE = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Linux: each folder is opened inside the one that is already open, so nothing can be swapped above it. */
async function holdByDescriptor(
  root: string,
  names: readonly string[],
  make: boolean,
): Promise<Held> {
  const inside = ({ fd }: FileHandle) => `/proc/self/fd/${fd}`;
  let folder = await open(root, FOLDER);
  try {
    const base = await readlink(inside(folder));
    for (const name of names) {
      const path = join(inside(folder), name);
      if (make) await mkdir(path, { mode: 0o700 }).catch(unlessThere);
      const next = await open(path, FOLDER);
      await folder.close();
      folder = next;
    }
    if ((await readlink(inside(folder))) !== join(base, ...names))
      throw new KithError("bad-args", "the folder was moved while it was opened");
    const held = folder;
    return { path: inside(held), [Symbol.asyncDispose]: () => held.close() };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/** Elsewhere: look, then look again. Whoever can write there may swap a folder in between. */
async function holdAndCompare(
  root: string,
  names: readonly string[],
  make: boolean,
): Promise<Held> {
  const base = await realpath(root);
  let path = base;
  for (const name of names) {
    path = join(path, name);
    if (make) await mkdir(path, { mode: 0o700 }).catch(unlessThere);
    if (!(await lstat(path)).isDirectory())
      throw new KithError("bad-args", "links are not followed, and a file has nothing inside");
  }
  const real = await realpath(path);
  if (real !== base && !real.startsWith(base.endsWith(sep) ? base : base + sep))
    throw new KithError("bad-args", "the folder was moved while it was opened");
  return { path: real, [Symbol.asyncDispose]: () => Promise.resolve() };
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/** No path of this machine is told. */
const refusal =
  (path: string) =>
  (error: NodeJS.ErrnoException): never => {
    if (error instanceof KithError) throw error;
    if (error.code === "ENOENT") throw gone(path);
    if (error.code === "ELOOP" || error.code === "ENOTDIR" || error.code === "ENXIO")
      throw isNoFile(path);
    throw error;
  };
const gone = (path: string) =>
  new KithError("no-file", `there is no ${path || "workspace"} in the workspace`);
const isNoFile = (path: string) =>
  new KithError("bad-args", `${path} is no regular file or folder; a link is not followed`);

/** What every system takes for a name and nothing more: none that is hidden, none that Windows gives a meaning of its own. */
const NAME =
  /^(?![. ])(?!(?:con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)\s*(?:\.|$))[^\p{C}/\\:*?"<>|]{1,100}(?<![. ])$/iu;

/** @throws KithError bad-args */
function namesOf(path: string): string[] {
  const names = path.split("/");
  if (
    names.length > MOST_DEPTH ||
    names.some((name) => !NAME.test(name) || tame(name, 255) !== name)
  )
    throw new KithError(
      "bad-args",
      "a path is like notes/list.md: names with forward slashes, relative to the workspace, at most 8, none of which begins with a dot",
    );
  return names;
}
