/**
 * SKILL.md, read leniently: whatever a public skill has wrong is a diagnostic, and only what cannot be used is
 * an error. Nothing here throws for a file, whatever is in it.
 *
 *   bytes ─ text ─ front matter ─ YAML (once more with its texts quoted) ─ fields ─ body
 */
import { tame } from "@kith/shared/protocol/words";
import { LineCounter, type Pair, isMap, isScalar, parseDocument } from "yaml";
import type { Diagnostic, DiagnosticClass } from "./diagnostic.ts";
import { type Fields, type Requires, asFields, at, installSteps, requiresOf } from "./requires.ts";
import { scan } from "./scan.ts";

export const FILE_BYTES = 262_144;
const FRONT_CHARS = 32_768;
const NAME_CHARS = 64;
const DESCRIPTION_CHARS = 1_024;
const COMPATIBILITY_CHARS = 500;
const BODY_LINES = 500;
const STEP_CHARS = 200;
/** Diagnostics of one file. */
const MOST = 64;

const KEYS = ["name", "description", "license", "compatibility", "metadata", "allowed-tools"];
const NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

export interface SkillFile {
  /** For people; what it is called by is its folder. */
  readonly name: string;
  /** One line; empty where there is none. */
  readonly description: string;
  /** What stands after the front matter. */
  readonly body: string;
  readonly requires: Requires;
  /** Its own word that no model shall be told of it. */
  readonly hidden: boolean;
  readonly diagnostics: readonly Diagnostic[];
}

const NEEDS_NOTHING: Requires = requiresOf(undefined, () => {});

/** `folder` and `file` are names without a path. */
export function readSkill(bytes: Uint8Array, folder: string, file = "SKILL.md"): SkillFile {
  const diagnostics: Diagnostic[] = [];
  const say = (
    severity: Diagnostic["severity"],
    kind: DiagnosticClass,
    line: number,
    message: string,
  ): void => {
    if (diagnostics.length < MOST)
      diagnostics.push({ class: kind, severity, line, file, message: tame(message, 512) });
  };
  const nothing = (): SkillFile => ({
    ...{ name: tame(folder, NAME_CHARS), description: "", body: "" },
    ...{ requires: NEEDS_NOTHING, hidden: false, diagnostics },
  });

  if (bytes.length > FILE_BYTES) {
    say("error", "too-big", 0, "a file of more than 256 KiB");
    return nothing();
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    text = "\0";
  }
  if (text.includes("\0")) {
    say("error", "not-text", 0, "the file is no UTF-8 text");
    return nothing();
  }
  if (file !== "SKILL.md") say("warning", "file-case", 0, `${file} should be called SKILL.md`);
  if (text.startsWith("\ufeff")) {
    say("warning", "bom", 1, "it begins with a byte-order mark");
    text = text.slice(1);
  }
  if (text.includes("\r")) {
    say("warning", "crlf", 1, "its lines end in CR LF; LF is meant");
    text = text.replaceAll(/\r\n?/g, "\n");
  }
  diagnostics.push(...scan(text, file));

  const lines = text.split("\n");
  if (lines[0]?.trimEnd() !== "---") {
    say(
      "error",
      "no-front-matter",
      1,
      "it must begin with a line --- and its name and description",
    );
    return nothing();
  }
  const end = lines.findIndex((line, index) => index > 0 && line.trimEnd() === "---");
  if (end === -1) {
    say("error", "unclosed", 1, "no second line --- ends the front matter");
    return nothing();
  }
  const fields = front(lines.slice(1, end), say);
  if (!fields) return nothing();
  const { values, lineOf } = fields;
  const body = lines
    .slice(end + 1)
    .join("\n")
    .trim();
  if (body === "") say("warning", "body-empty", end + 1, "nothing stands after the front matter");
  if (lines.length - end - 1 > BODY_LINES)
    say("warning", "body-long", 0, `more than ${BODY_LINES} lines; move a part to another file`);

  const word = (key: string, most?: { readonly chars: number; readonly kind: DiagnosticClass }) => {
    const value = values.get(key);
    if (value === undefined || value === null) return undefined;
    if (typeof value === "object") {
      say("warning", "field-form", lineOf(key), `${key} must be a text`);
      return undefined;
    }
    if (typeof value !== "string")
      say("warning", "field-form", lineOf(key), `${key} must be a text: put it in quotes`);
    const read = String(value as string | number | boolean | bigint);
    if (most && read.length > most.chars)
      say("warning", most.kind, lineOf(key), `${key} has more than ${most.chars} characters`);
    return read;
  };

  const name = word("name");
  if (name === undefined || name === "") say("warning", "name-missing", 1, "it has no name");
  else {
    if (!NAME.test(name) || name.length > NAME_CHARS)
      say(
        ...(["warning", "name-form", lineOf("name")] as const),
        "a name has 1 to 64 small letters, digits and single hyphens between them",
      );
    if (name !== folder)
      say("warning", "name-folder", lineOf("name"), `its folder is called ${folder}, which counts`);
  }
  const description = word("description", { chars: DESCRIPTION_CHARS, kind: "description-long" });
  if (description === undefined || description.trim() === "")
    say("error", "description-missing", 1, "without a description nobody knows when to use it");
  word("license");
  word("compatibility", { chars: COMPATIBILITY_CHARS, kind: "compatibility-long" });
  if (Array.isArray(values.get("allowed-tools")))
    say("warning", "allowed-tools-list", lineOf("allowed-tools"), "allowed-tools must be one text");
  else word("allowed-tools");
  for (const key of values.keys())
    if (!KEYS.includes(String(key)))
      say("note", "unknown-key", lineOf(key), `${String(key)} is no key of the format`);

  const metadata = asFields(values.get("metadata"));
  const given = values.get("metadata") ?? undefined;
  const line = lineOf("metadata");
  if (given !== undefined && !metadata)
    say("warning", "field-form", line, "metadata must be a map of texts");
  else if (given !== metadata || [...(metadata ?? [])].some((pair) => !pair.every(isText)))
    say("note", "metadata-form", line, "metadata should be a map of texts, without maps inside");
  const requires = requiresOf(metadata, (field) =>
    say("warning", "requires-form", line, `${field} must be a text or a list of texts`),
  );
  for (const step of installSteps(metadata))
    say("note", "install", line, `would have you install: ${tame(step, STEP_CHARS)}`);

  return {
    name: tame(name ?? folder, NAME_CHARS),
    description: tame((description ?? "").replaceAll(/\s+/g, " ").trim(), DESCRIPTION_CHARS),
    body,
    requires,
    hidden: at(values, ["disable-model-invocation"]) === true,
    diagnostics,
  };
}

const isText = (value: unknown): boolean => typeof value === "string";

/** Reads the lines between the marks; undefined where nothing helps. Line 2 of the file is their first. */
function front(
  lines: readonly string[],
  say: (s: Diagnostic["severity"], kind: DiagnosticClass, line: number, message: string) => void,
): { readonly values: Fields; readonly lineOf: (key: unknown) => number } | undefined {
  const text = lines.join("\n");
  if (text.length > FRONT_CHARS) {
    say("error", "too-big", 1, "a front matter of more than 32,768 characters");
    return undefined;
  }
  const first = parsed(text);
  const quoted = first.broken && quote(lines);
  const second = quoted && parsed(quoted.text);
  const { broken, document, counter } = second && !second.broken ? second : first;
  if (broken || !document) {
    say("error", "yaml", (broken?.line ?? 0) + 1, `not YAML: ${broken?.message ?? ""}`);
    return undefined;
  }
  if (quoted && second && !second.broken)
    say("warning", "unquoted-colon", quoted.line + 2, "a text with a colon belongs in quotes");
  let values: unknown;
  try {
    values = document.toJS({ mapAsMap: true, maxAliasCount: 10 }) ?? new Map();
  } catch {
    say("error", "aliases", 1, "aliases without an anchor, or so many that they are an attack");
    return undefined;
  }
  if (!(values instanceof Map)) {
    say("error", "yaml", 2, "the front matter must be a list of keys with their values");
    return undefined;
  }
  const pairs: readonly Pair[] = isMap(document.contents) ? document.contents.items : [];
  const lineOf = (key: unknown): number => {
    const node = pairs.find((pair) => isScalar(pair.key) && pair.key.value === key)?.key;
    return isScalar(node) && node.range ? counter.linePos(node.range[0]).line + 1 : 1;
  };
  return { values: values as Fields, lineOf };
}

function parsed(text: string) {
  const counter = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: counter });
    const [error] = document.errors;
    const broken = error && {
      line: counter.linePos(error.pos[0]).line,
      message: error.message.split("\n")[0] ?? "",
    };
    return { document, counter, broken };
  } catch {
    // Nested so deep that the parser gave up.
    return { document: undefined, counter, broken: { line: 1, message: "too deep" } };
  }
}

/** `key: text: more`, with the text in quotes; undefined where no line is like that. `line` from 0. */
function quote(
  lines: readonly string[],
): { readonly text: string; readonly line: number } | undefined {
  let line = -1;
  const text = lines.map((one, index) => {
    const [, key = "", value = ""] =
      /^([\w-]+:[ \t]+)([^\s'"[{|>&*!].*)$/.exec(one.trimEnd()) ?? [];
    if (!/:(?:\s|$)/.test(value)) return one;
    if (line === -1) line = index;
    return key + JSON.stringify(value);
  });
  return line === -1 ? undefined : { text: text.join("\n"), line };
}
