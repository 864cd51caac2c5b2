/**
 * The folder of one skill, read whole and at once: what is shown to somebody, hashed and given to a model are
 * the same bytes, and a path that a model says is only ever looked up among those that were read.
 * No link is followed, nothing that begins with a dot is read, nothing is executed.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readdirSync,
} from "node:fs";
import { join } from "node:path";
import { tame } from "@kith/shared/protocol/words";
import { type Diagnostic, isBroken } from "./diagnostic.ts";
import { isNative, scan } from "./scan.ts";
import { FILE_BYTES, type SkillFile, readSkill } from "./skill-file.ts";

const MOST_FILES = 64;
const MOST_BYTES = 1_048_576;
const MOST_DEPTH = 4;
/** Names that are looked at, folders among them. */
const MOST_NAMES = 1_000;

export interface SkillFolder extends SkillFile {
  /** Every text of it besides SKILL.md, by its path. */
  readonly texts: ReadonlyMap<string, string>;
  /** SHA-256 over names and bytes of all that was read, hex. */
  readonly hash: string;
}

interface Found {
  readonly path: string;
  readonly bytes: number;
  /** Changes with the file: what was read once need not be read again. */
  readonly mark: string;
}

/** What may be read of a folder, in the order of the paths; the rest is told. */
function walk(folder: string): { readonly found: readonly Found[]; readonly told: Diagnostic[] } {
  const found: Found[] = [];
  const told: Diagnostic[] = [];
  const tell = (
    severity: "warning" | "error",
    kind: "link" | "left-out" | "unreadable",
    path: string,
    message: string,
  ) => void told.push({ class: kind, severity, line: 0, file: tame(path, 255), message });
  let room = MOST_BYTES;
  let looked = 0;
  const into = (under: string, depth: number): void => {
    const names = readdirSync(join(folder, under)).toSorted();
    for (const name of names.filter((one) => !one.startsWith("."))) {
      if (looked++ === MOST_NAMES || found.length === MOST_FILES)
        return tell("warning", "left-out", under, "more than 64 files, or 1,000 names");
      if (looked > MOST_NAMES) return;
      const path = under === "" ? name : `${under}/${name}`;
      const { ino, size, ctimeMs, ...kind } = look(join(folder, path));
      if (kind.is === "link") {
        tell(
          depth === 0 && SKILL_FILE.test(name) ? "error" : "warning",
          "link",
          path,
          "a link is not followed",
        );
      } else if (kind.is === "folder") {
        if (depth === MOST_DEPTH) tell("warning", "left-out", path, "the folder is too deep");
        else into(path, depth + 1);
      } else if (kind.is !== "file" || size > FILE_BYTES || size > room || path.length > 255) {
        tell(
          "warning",
          "left-out",
          path,
          "no regular file of at most 256 KiB, or more than 1 MiB in all",
        );
      } else {
        room -= size;
        found.push({ path, bytes: size, mark: `${path}:${ino}:${size}:${ctimeMs}` });
      }
    }
  };
  try {
    into("", 0);
  } catch {
    tell("error", "unreadable", "", "the folder cannot be read");
  }
  return { found, told };
}

const SKILL_FILE = /^skills?\.md$/i;

function look(path: string) {
  const stats = lstatSync(path);
  const is = stats.isSymbolicLink()
    ? "link"
    : stats.isDirectory()
      ? "folder"
      : stats.isFile()
        ? "file"
        : "other";
  return { is, ino: stats.ino, size: stats.size, ctimeMs: stats.ctimeMs } as const;
}

/** Whether a folder lies there itself, and not a link to one. */
export function isFolder(path: string): boolean {
  try {
    return look(path).is === "folder";
  } catch {
    return false;
  }
}

/** O_NONBLOCK: a pipe that took the place of a file is not waited for. Windows has neither. */
const OPEN = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Never more than was found: what grew meanwhile is not what was counted. */
function bytesOf(path: string, most: number): Uint8Array | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, OPEN);
    const stats = fstatSync(file);
    return stats.isFile() && stats.size <= most ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function load(folder: string, name: string, { found, told }: ReturnType<typeof walk>): SkillFolder {
  const hash = createHash("sha256");
  const diagnostics = [...told];
  const texts = new Map<string, string>();
  const main =
    found.find(({ path }) => path === "SKILL.md") ??
    found.find(({ path }) => SKILL_FILE.test(path));
  let skill: SkillFile | undefined;
  for (const { path, bytes } of found) {
    const data = bytesOf(join(folder, path), bytes);
    if (!data) {
      diagnostics.push({
        ...{ class: "unreadable", severity: "error", line: 0, file: path },
        message: "it cannot be read, or changed meanwhile",
      });
      continue;
    }
    hash.update(`${path}\0${data.length}\0`).update(data);
    if (path === main?.path) skill = readSkill(data, name, path);
    else if (isNative(path))
      diagnostics.push({
        ...{ class: "native-code", severity: "warning", line: 0, file: path },
        message: "a program that no text shows; it is never started",
      });
    else {
      const text = textOf(data);
      if (text === undefined) continue;
      texts.set(path, text);
      diagnostics.push(...scan(text, path));
    }
  }
  if (!main && !isBroken(diagnostics))
    diagnostics.push({
      ...{ class: "no-skill-file", severity: "error", line: 0, file: "SKILL.md" },
      message: "the folder has no SKILL.md",
    });
  const read = skill ?? readSkill(new Uint8Array(), name);
  return {
    ...read,
    diagnostics: [...(skill ? read.diagnostics : []), ...diagnostics],
    texts,
    hash: hash.digest("hex"),
  };
}

function textOf(data: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

/** Reads folders, and one that did not change only once. */
export class SkillReader {
  readonly #known = new Map<string, { readonly mark: string; readonly skill: SkillFolder }>();

  /** `name` is that of the folder. Never throws: what is wrong stands in its diagnostics. */
  read(folder: string, name: string): SkillFolder {
    const walked = walk(folder);
    const mark = JSON.stringify([walked.found.map(({ mark }) => mark), walked.told]);
    const known = this.#known.get(folder);
    if (known?.mark === mark) return known.skill;
    const skill = load(folder, name, walked);
    this.#known.set(folder, { mark, skill });
    return skill;
  }
}
