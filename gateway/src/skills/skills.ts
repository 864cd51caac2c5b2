/**
 * The skills that an assistant may use: Kith's own, those of the owner's home, and those of one assistant.
 *
 *   own (in the install) ──────────────────────────────► trusted
 *   HOME/skills, HOME/agents/NAME/skills ─ approved by their hash? ─► read as data, `untrusted`
 *
 * A skill is called by its folder. The first of a name has it: ours cannot be replaced, nor by a name that
 * only looks like it.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { within } from "@kith/shared/capabilities/own";
import { KithError } from "@kith/shared/errors";
import { deviceRows, offer } from "../devices/device.ts";
import { surroundings } from "../platform.ts";
import type { Documents } from "../runtime/documents.ts";
import type { Approved } from "./approved.ts";
import { type Diagnostic, type DiagnosticClass, isBroken } from "./diagnostic.ts";
import { type SkillFolder, SkillReader, isFolder } from "./folder.ts";
import { missing } from "./requires.ts";

/** Of all places that one assistant has. */
const MOST = 200;
const PROMPT_CHARS = 1_500;
/** Of one description in the prompt. */
const DESCRIPTION_CHARS = 240;
const FOLDER = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;
const AGENT = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/**
 * `broken`: it cannot be used. `unapproved`, `changed`: its owner has not approved what lies there now.
 * `waits`: something that it needs is not here. `hidden`: by its own word, no model is told of it.
 */
export type SkillState = "ready" | "broken" | "unapproved" | "changed" | "waits" | "hidden";

export interface Skill extends SkillFolder {
  /** Its folder; what it is called by. */
  readonly id: string;
  /** `own`, `home`, or the name of the assistant that has it. */
  readonly where: string;
  /** Under which it is approved. */
  readonly key: string;
  readonly state: SkillState;
  /** What it needs and is not here, in words. */
  readonly missing: readonly string[];
}

export interface SkillsOptions {
  /** Kith's own; see own.ts. */
  readonly own: string;
  readonly home: string;
  readonly documents: () => Pick<Documents, "get" | "list">;
}

interface Place {
  readonly where: string;
  readonly folder: string;
}

export class Skills {
  readonly #options: SkillsOptions;
  readonly #reader = new SkillReader();

  constructor(options: SkillsOptions) {
    this.#options = options;
  }

  /** What this assistant has, usable or not: ours first, then by name; at most 200 are read. */
  list(agent: string): Skill[] {
    return this.#from([...this.#shared(), ...this.#places(agent)]);
  }

  /** Of all assistants. */
  all(): Skill[] {
    const agents = join(this.#options.home, "agents");
    const places = isFolder(agents) ? names(agents).flatMap((name) => this.#places(name)) : [];
    return this.#from([...this.#shared(), ...places]);
  }

  /** For the instructions of a model: at most 1,500 characters, empty where there is none. */
  prompt(agent: string): string {
    const lines = ["Skills: how-tos to read with skill_read when one fits."];
    let room = PROMPT_CHARS - (lines[0]?.length ?? 0) - 40;
    let more = 0;
    for (const { id, state, description } of this.list(agent)) {
      if (state !== "ready") continue;
      const line = `${id}: ${shorten(description)}`;
      room -= line.length + 1;
      if (room < 0) more++;
      else lines.push(line);
    }
    if (more > 0) lines.push(`(${more} more do not fit here)`);
    return lines.length > 1 ? lines.join("\n") : "";
  }

  /**
   * What a model may read.
   * @throws KithError skill-unknown, skill-waits
   */
  usable(agent: string, id: string): Skill {
    const skill = this.list(agent).find((one) => one.id === id);
    // One that nobody approved is no business of a model: not even that it is there.
    if (
      !skill ||
      skill.state === "unapproved" ||
      skill.state === "hidden" ||
      skill.state === "broken"
    )
      throw new KithError("skill-unknown", `there is no skill ${id} that can be read`);
    if (skill.state === "ready") return skill;
    throw new KithError("skill-waits", `${id} cannot be used now: ${reason(skill)}`);
  }

  /**
   * What is in a folder of this machine: one skill, or a folder of them. As if it were approved.
   * @throws KithError no-file
   */
  check(folder: string): (SkillFolder & { readonly id: string })[] {
    const path = resolve(folder);
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new KithError("no-file", `there is no folder ${path}`);
    const inside = names(path);
    if (inside.some((name) => /^skills?\.md$/i.test(name)))
      return [{ ...this.#reader.read(path, basename(path)), id: basename(path) }];
    return inside
      .filter((name) => isFolder(join(path, name)))
      .slice(0, MOST)
      .map((name) => ({ ...this.#reader.read(join(path, name), name), id: name }));
  }

  #shared(): Place[] {
    const { own, home } = this.#options;
    return [
      { where: "own", folder: own },
      { where: "home", folder: join(home, "skills") },
    ];
  }

  /** Below the home nothing is reached through a link. */
  #places(agent: string): Place[] {
    const folder = join(this.#options.home, "agents", agent);
    const real = AGENT.test(agent) && isFolder(join(folder, "..")) && isFolder(folder);
    return real ? [{ where: agent, folder: join(folder, "skills") }] : [];
  }

  #from(places: readonly Place[]): Skill[] {
    const taken = new Map<string, string>();
    const skills: Skill[] = [];
    for (const place of places) {
      if (!isFolder(place.folder)) continue;
      for (const id of names(place.folder)) {
        const path = join(place.folder, id);
        const isLink = !isFolder(path);
        if (isLink && !isLinkToFolder(path)) continue;
        if (skills.length === MOST)
          return [...skills.slice(0, -1), tooMany(skills.at(-1) as Skill)];
        skills.push(this.#skill(place, id, path, isLink, taken));
      }
    }
    return skills;
  }

  #skill(
    place: Place,
    id: string,
    path: string,
    isLink: boolean,
    taken: Map<string, string>,
  ): Skill {
    const { where } = place;
    const wrong = (kind: DiagnosticClass, message: string): Diagnostic => ({
      ...{ class: kind, severity: "error", line: 0, file: "", message },
    });
    const look = looks(id);
    // What one assistant has is nothing to another.
    const before = taken.get(look) ?? taken.get(`${where}/${look}`);
    const problems = [
      ...(isLink ? [wrong("link", "a link to a folder is not followed")] : []),
      ...(FOLDER.test(id)
        ? []
        : [wrong("folder-name", "a folder's name has 1 to 64 letters, digits, dots, _ and -")]),
      ...(before === undefined
        ? []
        : [wrong("name-taken", `it is called like ${before}, or looks as if it were`)]),
    ];
    if (before === undefined)
      taken.set(where === "own" || where === "home" ? look : `${where}/${look}`, id);
    const read = isLink ? { ...EMPTY, name: id } : this.#reader.read(path, id);
    const diagnostics = [...problems, ...read.diagnostics];
    const key = `${where}/${id}`;
    const needs = missing(read.requires, {
      ...surroundings,
      offered: (cap) => offered(this.#options.documents(), cap),
    });
    const approved =
      where === "own"
        ? read.hash
        : this.#options.documents().get<Approved>("setting", `skill/${key}`)?.hash;
    const state: SkillState = isBroken(diagnostics)
      ? "broken"
      : approved === undefined
        ? "unapproved"
        : approved !== read.hash
          ? "changed"
          : read.hidden
            ? "hidden"
            : needs.length > 0
              ? "waits"
              : "ready";
    return { ...read, id, where, key, diagnostics, state, missing: needs };
  }
}

const EMPTY: SkillFolder = {
  ...{ name: "", description: "", body: "", hidden: false, diagnostics: [], hash: "" },
  requires: { bins: [], anyBins: [], env: [], config: [], capabilities: [], os: [] },
  texts: new Map(),
};

/** Why it is not ready, for people. */
export function reason({ state, missing, diagnostics }: Skill): string {
  switch (state) {
    case "ready":
      return "ready";
    case "broken":
      return diagnostics.find(({ severity }) => severity === "error")?.message ?? "broken";
    case "unapproved":
      return "nobody has approved it";
    case "changed":
      return "it has changed since it was approved";
    case "waits":
      return `it needs ${missing.join(", ")}`;
    case "hidden":
      return "by its own word no model is told of it";
  }
}

/** Whether a paired device offers it, here or away. */
function offered(documents: Pick<Documents, "get" | "list">, cap: string): boolean {
  return deviceRows(documents).some(
    ({ id, state, ceiling }) =>
      state === "paired" &&
      within(ceiling, cap) &&
      (offer(documents, id, cap)?.state ?? "off") !== "off",
  );
}

/** Equal for names that a person takes for the same: case, separators, and signs that look alike. */
const looks = (id: string): string =>
  id
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, "")
    .replaceAll("rn", "m")
    .replaceAll("vv", "w")
    .replaceAll(/[1il|]/g, "l")
    .replaceAll("0", "o")
    .replaceAll("5", "s");

const shorten = (text: string): string =>
  text.length > DESCRIPTION_CHARS
    ? `${text.slice(0, DESCRIPTION_CHARS - 1)}…`.toWellFormed()
    : text;

const tooMany = (last: Skill): Skill => ({
  ...last,
  state: "broken",
  diagnostics: [
    {
      ...{ class: "too-many", severity: "error", line: 0, file: "" },
      message: `more than ${MOST} skills: this one and what comes after it is not used`,
    },
  ],
});

/** Names in a folder that do not begin with a dot, in order; none where it cannot be read. */
function names(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => !name.startsWith("."))
      .toSorted();
  } catch {
    return [];
  }
}

const isLinkToFolder = (path: string): boolean => {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
};
