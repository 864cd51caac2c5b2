/**
 * What a skill says it needs, and what of that is not here. The names of other programs' settings are read as
 * they are found in public skills: each of these namespaces may stand in `metadata`, and each one counts.
 */
import { parseDocument } from "yaml";

export type Fields = ReadonlyMap<unknown, unknown>;

const NAMESPACES = ["kith", "openclaw", "clawdbot", "moltbot", "clawdis"];
const LISTS = ["bins", "anyBins", "env", "config", "capabilities"] as const;
/** Names in one list, and characters of each. */
const MOST = 32;
const MOST_CHARS = 128;
const MOST_ALIASES = 10;

export interface Requires {
  /** Programs: all of `bins`, one of each `anyBins`. */
  readonly bins: readonly string[];
  readonly anyBins: readonly (readonly string[])[];
  /** Variables of the environment. */
  readonly env: readonly string[];
  /** Settings of the program that it was written for: none of them exists here. */
  readonly config: readonly string[];
  /** Of paired devices, such as `camera.snap`. */
  readonly capabilities: readonly string[];
  /** One of each list. */
  readonly os: readonly (readonly string[])[];
}

/** What is here to meet it. */
export interface Surroundings {
  /** As Node names it: `linux`, `darwin`, `win32`. */
  readonly os: string;
  readonly program: (name: string) => boolean;
  readonly variable: (name: string) => boolean;
  /** Whether a paired device offers this capability. */
  readonly offered: (cap: string) => boolean;
}

/** YAML, and so JSON, as maps: no key of it can be a property of ours. @throws whatever the parser throws */
export function readFields(text: string): unknown {
  const document = parseDocument(text);
  const [broken] = document.errors;
  if (broken) throw broken;
  return document.toJS({ mapAsMap: true, maxAliasCount: MOST_ALIASES });
}

/** A map, also one that was written as a text of JSON. */
export function asFields(value: unknown): Fields | undefined {
  if (value instanceof Map) return value as Fields;
  if (typeof value !== "string" || !value.trim().startsWith("{")) return undefined;
  try {
    const read = readFields(value);
    return read instanceof Map ? (read as Fields) : undefined;
  } catch {
    return undefined;
  }
}

/** The value under these names: `kith: {requires: {bins: …}}` and `kith.requires.bins: …` are the same. */
export function at(fields: Fields | undefined, path: readonly string[]): unknown {
  if (!fields) return undefined;
  const whole = fields.get(path.join("."));
  const [first, ...rest] = path;
  return whole ?? (rest.length > 0 ? at(asFields(fields.get(first)), rest) : undefined);
}

/** `malformed` hears the name of each field that is neither a text nor a list of texts. */
export function requiresOf(
  metadata: Fields | undefined,
  malformed: (field: string) => void,
): Requires {
  const read = (space: string, ...path: string[]): readonly string[] => {
    const value = at(metadata, [space, ...path]);
    const list = typeof value === "string" ? value.split(/[\s,]+/).filter(Boolean) : (value ?? []);
    const fits =
      Array.isArray(list) &&
      list.length <= MOST &&
      list.every((one) => typeof one === "string" && one.length <= MOST_CHARS);
    if (fits) return list as string[];
    malformed([space, ...path].join("."));
    return [];
  };
  const all = NAMESPACES.map((space) => ({
    ...(Object.fromEntries(LISTS.map((list) => [list, read(space, "requires", list)])) as Record<
      (typeof LISTS)[number],
      readonly string[]
    >),
    os: [...read(space, "os"), ...read(space, "requires", "os")],
  }));
  const some = (lists: readonly (readonly string[])[]) => lists.filter(({ length }) => length > 0);
  return {
    bins: all.flatMap(({ bins }) => bins),
    anyBins: some(all.map(({ anyBins }) => anyBins)),
    env: all.flatMap(({ env }) => env),
    config: all.flatMap(({ config }) => config),
    capabilities: all.flatMap(({ capabilities }) => capabilities),
    os: some(all.map(({ os }) => os)),
  };
}

const SYSTEMS: ReadonlyMap<string, string> = new Map([
  ["macos", "darwin"],
  ["mac", "darwin"],
  ["osx", "darwin"],
  ["windows", "win32"],
]);

/** What is missing here, in words; empty where it can be used. */
export function missing(requires: Requires, here: Surroundings): string[] {
  const { bins, anyBins, env, config, capabilities, os } = requires;
  const fits = (name: string) => (SYSTEMS.get(name.toLowerCase()) ?? name) === here.os;
  return [
    ...os.filter((list) => !list.some(fits)).map((list) => `the system ${list.join(" or ")}`),
    ...bins.filter((name) => !here.program(name)).map((name) => `the program ${name}`),
    ...anyBins
      .filter((list) => !list.some(here.program))
      .map((list) => `one of the programs ${list.join(", ")}`),
    ...env.filter((name) => !here.variable(name)).map((name) => `the variable ${name}`),
    ...config.map((name) => `the setting ${name} of another program`),
    ...capabilities
      .filter((cap) => !here.offered(cap))
      .map((cap) => `a paired device that offers ${cap}`),
  ];
}

/** The steps that it would have somebody take to install a program: shown, never taken. */
export function installSteps(metadata: Fields | undefined): string[] {
  return NAMESPACES.flatMap((space) => {
    const steps = at(metadata, [space, "install"]);
    return (Array.isArray(steps) ? steps.slice(0, MOST) : []).map((step: unknown) =>
      step instanceof Map
        ? ["kind", "formula", "package", "module", "url", "command"]
            .map((key) => (step as Fields).get(key))
            .filter((word) => typeof word === "string")
            .join(" ")
        : String(step),
    );
  });
}
