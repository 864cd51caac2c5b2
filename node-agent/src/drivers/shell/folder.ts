/**
 * Which shared folder a command may work in. Sharing a folder for reading is one thing; here it
 * becomes writable for a program that somebody else chose, so some folders are refused.
 */
import { lstat, readlink, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, resolve, sep } from "node:path";
import { KithError } from "@kith/shared/errors";
import { runsAsRoot } from "../../platform.ts";

/** Whoever the command runs as, where that is not us. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface Folder {
  /** A real path. */
  readonly path: string;
  readonly as?: Owner;
}

/** Folders that no command may reach: neither they nor what is in them, nor what holds them. */
export interface Closed {
  /** The person's home: what starts with a dot there is closed, and it cannot be shared as a whole. */
  readonly home: string;
  /** Kith's own: keys, sockets, the ledger. */
  readonly own: readonly string[];
}

/** They are the system's: programs, settings, devices, sockets. */
const SYSTEM = ["bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr"];

const refuse = (why: string) => new KithError("denied-local", why);

/**
 * The folder behind a shared name, which is the owner's word and may be a link.
 * @throws KithError denied-local (not for commands), gone, os-permission
 */
export async function workFolder(
  shared: string,
  roots: ReadonlyMap<string, string>,
  closed: Closed,
): Promise<Folder> {
  const { path, looked } = await walk(shared).catch((cause: unknown) => {
    throw new KithError("gone", "the shared folder is not there", { cause });
  });
  const real = (one: string) => realpath(one).catch(() => resolve(one));
  const [home, ...own] = await Promise.all([closed.home, ...closed.own].map(real));
  if (home === undefined || holds(path, home) || own.some((one) => holds(path, one)))
    throw refuse("that folder holds a home or Kith's keys; share one inside it");
  if (own.some((one) => holds(one, path)) || SYSTEM.some((name) => holds(`/${name}`, path)))
    throw refuse("that folder is the system's or Kith's own");
  if (home !== sep && holds(home, path) && path.slice(home.length + 1).startsWith("."))
    throw refuse("hidden folders of a home are for settings and keys, not for commands");
  // Whoever may write in the outer one could make a name on the way a link to anywhere.
  for (const other of roots.values()) {
    const outer = await real(other);
    if ([...looked].some((folder) => holds(outer, folder)))
      throw refuse("that folder is inside another shared one; share only one of them");
  }
  return { path, ...(await owner(path)) };
}

/** As many links as Linux follows. */
const MOST_LINKS = 40;

/** The real path, and every folder in which a name was looked up on the way, links' targets included. */
async function walk(shared: string): Promise<{ path: string; looked: Set<string> }> {
  const looked = new Set<string>();
  let path: string = sep;
  let links = 0;
  for (const names = resolve(shared).split(sep); names.length > 0;) {
    const name = names.shift()!;
    if (name === "" || name === ".") continue;
    looked.add(path);
    const next = join(path, name); // `..` of a real path is its real parent
    if (!(await lstat(next)).isSymbolicLink()) {
      path = next;
      continue;
    }
    if (++links > MOST_LINKS) throw new Error("too many links");
    const target = await readlink(next);
    names.unshift(...target.split(sep));
    if (isAbsolute(target)) path = sep;
  }
  return { path, looked };
}

/** `outer` is `path` or above it. */
const holds = (outer: string, path: string) =>
  path === outer || path.startsWith(outer.endsWith(sep) ? outer : outer + sep);

/** The system's root is held in by less than anybody else (no bound on processes, /proc/sys). */
async function owner(path: string): Promise<{ as?: Owner }> {
  if (!runsAsRoot()) return {};
  const { uid, gid } = await stat(path);
  if (uid === 0 || gid === 0)
    throw new KithError(
      "os-permission",
      "the agent is root and so is the folder: run it as a person, or give the folder to one",
    );
  return { as: { uid, gid } };
}
