/**
 * files.list and files.stat: what lies in a folder that the device's owner shared by name. Nothing
 * is read and no link is followed: the same way in as for files.read, one name after the other.
 */
import {
  constants,
  type FileHandle,
  lstat,
  open,
  readdir,
  readlink,
  realpath,
} from "node:fs/promises";
import { join, sep } from "node:path";
import type { OutOf } from "@kith/shared/capabilities/capability";
import { filesList, filesStat } from "@kith/shared/capabilities/files";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { hasProcFd } from "../../platform.ts";
import type { Driver, Probe } from "../driver.ts";
import { failureOf, namesOf, rootOf } from "./read.ts";

type Entry = OutOf<typeof filesStat>;

/** A folder that is held: where its entries can be looked at, until it is let go. */
interface Held extends AsyncDisposable {
  readonly path: string;
}

/** Opens the folder `names` inside `root` without following a link below it. */
export type HoldInside = (root: string, names: readonly string[]) => Promise<Held>;

/** Names of a listing have so many bytes in all: a result has 48 KiB. */
const NAME_BYTES = 16_384;
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

export function fileLister(
  roots: ReadonlyMap<string, string>,
  probe: () => Promise<Probe>,
  hold: HoldInside = holdInside,
): { list: Driver<typeof filesList>; stat: Driver<typeof filesStat> } {
  const common = { parallel: 4, maxMs: 10_000, probe } as const;
  const inFolder = async <T>(
    root: string | undefined,
    names: readonly string[],
    look: (path: string) => Promise<T>,
  ): Promise<T> => {
    try {
      await using folder = await hold(rootOf(roots, root), names);
      return await look(folder.path);
    } catch (thrown) {
      throw failureOf(thrown);
    }
  };
  return {
    list: {
      ...common,
      capability: filesList,
      run: ({ root, path, limit }, { signal }) =>
        inFolder(root, path === "" ? [] : namesOf(path), async (folder) => {
          const all = await readdir(folder);
          const entries: Entry[] = [];
          let bytes = 0;
          for (const name of all.toSorted()) {
            signal.throwIfAborted();
            // What cannot be said as a name cannot be asked for either.
            if (tame(name, 255) !== name) continue;
            bytes += Buffer.byteLength(name);
            if (entries.length >= limit || bytes > NAME_BYTES) break;
            // Gone meanwhile: then it is not there.
            const entry = await look(folder, name).catch(() => undefined);
            if (entry) entries.push(entry);
          }
          return { entries, total: all.length };
        }),
    },
    stat: {
      ...common,
      capability: filesStat,
      run: ({ root, path }) => {
        const names = namesOf(path);
        return inFolder(root, names.slice(0, -1), (folder) => look(folder, names.at(-1)!));
      },
    },
  };
}

async function look(folder: string, name: string): Promise<Entry> {
  const found = await lstat(join(folder, name));
  const kind = found.isFile() ? "file" : found.isDirectory() ? "folder" : "other";
  return {
    ...{ name, kind, size: kind === "file" ? found.size : 0 },
    modified_at_ms: Math.max(0, Math.floor(found.mtimeMs)),
  };
}

/** Linux: each folder is opened inside the one that is already open, as in read.ts. */
export const holdByDescriptor: HoldInside = async (root, names) => {
  const inside = ({ fd }: FileHandle) => `/proc/self/fd/${fd}`;
  let folder = await open(root, FOLDER);
  try {
    const base = await readlink(inside(folder));
    for (const name of names) {
      const next = await open(join(inside(folder), name), FOLDER | constants.O_NOFOLLOW);
      await folder.close();
      folder = next;
    }
    if ((await readlink(inside(folder))) !== join(base, ...names))
      throw new KithError("gone", "the folder was moved while it was opened");
    const held = folder;
    return { path: inside(held), [Symbol.asyncDispose]: () => held.close() };
  } catch (thrown) {
    await folder.close();
    throw thrown;
  }
};

/** Elsewhere: look, then look again; weaker, for the reason that read.ts gives. */
export const holdAndCompare: HoldInside = async (root, names) => {
  const base = await realpath(root);
  let path = base;
  for (const name of names) {
    path = join(path, name);
    if (!(await lstat(path)).isDirectory())
      throw new KithError("bad-args", "links are not followed, and a file has nothing inside");
  }
  const real = await realpath(path);
  if (real !== base && !real.startsWith(base.endsWith(sep) ? base : base + sep))
    throw new KithError("gone", "the folder was moved while it was opened");
  return { path: real, [Symbol.asyncDispose]: () => Promise.resolve() };
};

/** As well as this system can. */
export const holdInside: HoldInside = hasProcFd ? holdByDescriptor : holdAndCompare;
