/** The folder of Markdown files: what lies in it. */
import type { BigIntStats } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { tame } from "@kith/shared/protocol/words";
import { FILE_BYTES, stateOf } from "../files/whole.ts";

export const MOST_FILES = 1_000;
/** Two edits within one tick of a file system's clock look like one: so young a file is read again. */
const YOUNG_MS = 100;

/** Ours while it is written; hidden from editors and from Git's `*.md`. */
const DRAFT = /^\..*\.md\.kith$/;

export interface Seen {
  readonly name: string;
  /** Undefined: it is not read, since it is no regular file or too big. */
  readonly state: string | undefined;
  /** Unix ms. */
  readonly changed: number;
  /** May have been changed again without a trace. */
  readonly young: boolean;
}

/** The first 1,000 Markdown files by name, and how many there are. `now` in Unix ms. */
export async function list(
  folder: string,
  now: number,
): Promise<{ readonly files: readonly Seen[]; readonly more: number }> {
  const names: string[] = [];
  for (const name of await readdir(folder)) {
    // Left by a process that was killed while it wrote.
    if (DRAFT.test(name)) await rm(join(folder, name), { force: true });
    if (/^[^.].*\.md$/.test(name) && tame(name, 255) === name) names.push(name);
  }
  const files = await Promise.all(
    names
      .toSorted()
      .slice(0, MOST_FILES)
      .map(async (name): Promise<Seen | undefined> => {
        const found = await lstat(join(folder, name), { bigint: true }).catch(() => undefined);
        return found && seen(name, found, now); // else gone meanwhile
      }),
  );
  return {
    files: files.filter((file) => file !== undefined),
    more: Math.max(0, names.length - MOST_FILES),
  };
}

function seen(name: string, found: BigIntStats, now: number): Seen {
  const changed = Number(found.mtimeMs);
  const is = found.isFile() && found.size <= FILE_BYTES;
  return { name, changed, state: is ? stateOf(found) : undefined, young: changed > now - YOUNG_MS };
}
