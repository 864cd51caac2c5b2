/**
 * files.write: one file into a folder that the device's owner shared by name.
 *
 *   what is there? ─ exactly this ──► done                     (it was written before, perhaps by us)
 *        └ nothing, or the version that it replaces ──► a draft beside it, as it comes ──► whole?
 *              ──► the old version into .kith-old ──► the draft takes its place
 *
 * The draft's name is the call's, so that a call that is tried again after a crash goes on where it
 * stopped. Nobody sees half of a file, and nothing that was not named is replaced.
 */
import { createHash } from "node:crypto";
import {
  constants,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  rm,
} from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@kith/shared/clock";
import { filesWrite } from "@kith/shared/capabilities/files";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { PartialFile } from "@kith/shared/streams/partial-file.node";
import { crashpoint } from "../../crashpoint.ts";
import { isMissing, syncFolder } from "../../disk.ts";
import type { Driver, Probe } from "../driver.ts";
import { type HoldInside, holdInside } from "./list.ts";
import { failureOf, namesOf, rootOf } from "./read.ts";

const READ_BYTES = 1_048_576;
/** What only we may name. */
const OURS = ".kith-";
const DRAFT = ".kith-draft-";
const OLD = ".kith-old";
const KEEP_OLD_MS = 7 * 86_400_000;
/** A draft that nobody came back to is thrown away by a later write into the same folder. */
const KEEP_DRAFT_MS = 86_400_000;
/** Drafts and old versions that one write looks at. */
const MOST_LOOKED_AT = 1_000;

/** O_NONBLOCK: opening a pipe must not wait for its other end. */
const FILE = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

interface Found {
  readonly sha256: string;
  readonly mode: number;
}

export function fileWriter(
  roots: ReadonlyMap<string, string>,
  clock: Clock,
  probe: () => Promise<Probe>,
  hold: HoldInside = holdInside,
): Driver<typeof filesWrite> {
  return {
    capability: filesWrite,
    parallel: 2,
    maxMs: 600_000,
    probe,
    async run({ root, path, size, sha256, replaces }, tools) {
      const names = namesOf(path);
      if (names.some((one) => one.startsWith(OURS)))
        throw new KithError("bad-args", "names that begin with .kith- are not for others");
      const name = names.at(-1)!;
      const top = rootOf(roots, root);
      try {
        await using folder = await hold(top, names.slice(0, -1));
        const target = join(folder.path, name);
        const told = { name: tame(name, 255), size };
        const before = await look(target);
        const draft = join(folder.path, DRAFT + tools.call);
        if (before?.sha256 === sha256) {
          await rm(draft, { force: true }); // of an earlier try, which came this far
          return { ...told, changed: false };
        }
        if (before?.sha256 !== replaces) throw another(before, replaces);
        await sweep(folder.path, (one) => one.startsWith(DRAFT), KEEP_DRAFT_MS, clock);
        let kept: string | undefined;
        await tools.receive("content", async () => {
          const sink = new PartialFile(draft, {
            mode: 0o666, // as any program of this user makes one
            async settle(file, found) {
              if (found !== sha256)
                throw new KithError("hash-mismatch", "it is not the content that was approved");
              if (before) await file.chmod(before.mode);
              await durable(file);
              const now = await look(target);
              if (now?.sha256 !== before?.sha256) throw another(now, replaces);
              await using held = await hold(top, []);
              if (before) kept = await keepOld(held.path, target, name, clock);
              crashpoint("node.file");
              if (before) await rename(draft, target);
              else await secondName(draft, target);
              await rm(draft, { force: true });
              await syncFolder(folder.path);
              crashpoint("node.file");
            },
          });
          await sink.begin();
          return sink;
        });
        return { ...told, changed: true, ...(kept !== undefined && { kept: tame(kept, 300) }) };
      } catch (thrown) {
        throw failureOf(thrown, "write");
      }
    },
  };
}

async function durable(file: FileHandle): Promise<void> {
  crashpoint("node.file");
  await file.sync();
  await file.close();
  crashpoint("node.file");
}

/** The file at `path`, hashed; undefined: there is none. @throws KithError bad-args for what is no regular file */
async function look(path: string): Promise<Found | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, FILE);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const { mode, isFile } = await file.stat().then((found) => ({
      mode: found.mode & 0o777,
      isFile: found.isFile(),
    }));
    if (!isFile) throw new KithError("bad-args", "what has that name is no regular file");
    const hash = createHash("sha256");
    const buffer = new Uint8Array(READ_BYTES);
    for (let at = 0; ;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return { sha256: hash.digest("hex"), mode };
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

const another = (found: Found | undefined, replaces: string | undefined): KithError =>
  new KithError(
    "bad-args",
    found
      ? `another file has that name (SHA-256 ${found.sha256})${replaces === undefined ? "; name its hash to replace it" : ""}`
      : "the file that it should replace is not there",
  );

/** Its new name, from the shared folder. A version that is older than a week goes. */
async function keepOld(root: string, target: string, name: string, clock: Clock): Promise<string> {
  const old = join(root, OLD);
  await mkdir(old, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await sweep(old, () => true, KEEP_OLD_MS, clock);
  // With the time in front it is still a name that a file system takes (255 bytes).
  const kept = `${Math.floor(clock.now())}-${tame(name, 230)}`;
  // The name stays until the new version takes it: at no moment is there none.
  await secondName(target, join(old, kept));
  await syncFolder(old);
  return `${OLD}/${kept}`;
}

/** One more name, if it is free; where the file system has no links, the old one goes. @throws KithError bad-args */
async function secondName(path: string, name: string): Promise<void> {
  try {
    await link(path, name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new KithError("bad-args", "another file has that name now");
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
    await rename(path, name);
  }
}

async function sweep(
  folder: string,
  which: (name: string) => boolean,
  keepMs: number,
  clock: Clock,
): Promise<void> {
  const names = (await readdir(folder)).filter(which).slice(0, MOST_LOOKED_AT);
  for (const name of names) {
    const path = join(folder, name);
    const file = await open(path, FILE).catch(() => undefined); // gone, or no file of ours
    const found = await file?.stat();
    await file?.close();
    if (found && clock.now() - Math.max(found.mtimeMs, found.ctimeMs) > keepMs)
      await rm(path, { force: true });
  }
}
