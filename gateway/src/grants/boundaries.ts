/**
 * The owner's lines of `permissions` in config.yaml: what is allowed, asked about or denied, in one list. They
 * only take away, but for one thing: `allow` saves the owner a question that a grant could have saved as well.
 */
export type Word = "allow" | "ask" | "deny";
export const presets = ["careful", "trusting", "locked"] as const;
export type Preset = (typeof presets)[number];

export interface Rule {
  readonly word: Word;
  /** A capability or a tool; `shell.*` is all that begins so. */
  readonly what: string;
  readonly chat?: string | undefined;
  /** Identity, such as `console:owner`. */
  readonly person?: string | undefined;
  readonly agent?: string | undefined;
  /** A device's name. */
  readonly device?: string | undefined;
}

export interface Boundaries {
  readonly preset: Preset;
  readonly rules: readonly Rule[];
}

export const CAREFUL: Boundaries = { preset: "careful", rules: [] };

/** What is asked for, and by whom. */
export interface Use {
  /** `camera.snap`, or a tool such as `web_fetch`. */
  readonly name: string;
  /** Of a capability. */
  readonly tier?: 0 | 1 | 2 | 3 | undefined;
  readonly chat?: string | undefined;
  readonly person?: string | undefined;
  readonly agent?: string | undefined;
  readonly device?: string | undefined;
  /** A language model asks. */
  readonly model?: boolean | undefined;
}

export interface Boundary {
  readonly word: Word;
  /** Which line said so, for people. */
  readonly rule: string;
}

const STRICT: Readonly<Record<Word, number>> = { allow: 0, ask: 1, deny: 2 };

/** The strictest line that fits counts; without one, the preset. Undefined: nothing is said about it. */
export function boundaryOf({ preset, rules }: Boundaries, use: Use): Boundary | undefined {
  let found: Boundary | undefined;
  for (const [at, rule] of rules.entries())
    if (fits(rule, use) && (!found || STRICT[rule.word] > STRICT[found.word]))
      found = {
        word: rule.word,
        rule: `rule ${at + 1} of permissions (${rule.word}: ${rule.what})`,
      };
  return found ?? presetOf(preset, use);
}

function presetOf(preset: Preset, { tier, model = false }: Use): Boundary | undefined {
  const rule = `preset ${preset}`;
  if (preset === "trusting")
    return tier !== undefined && tier < 2 ? { word: "allow", rule } : undefined;
  if (preset === "careful") return undefined;
  return tier === 3 && model ? { word: "deny", rule } : { word: "ask", rule };
}

function fits({ what, chat, person, agent, device }: Rule, use: Use): boolean {
  const wish = what.replaceAll(".", "_");
  const name = use.name.replaceAll(".", "_");
  return (
    (wish.endsWith("*") ? name.startsWith(wish.slice(0, -1)) : name === wish) &&
    (chat === undefined || chat === use.chat) &&
    (person === undefined || person === use.person) &&
    (agent === undefined || agent === use.agent) &&
    (device === undefined || device.toLowerCase() === use.device?.toLowerCase())
  );
}
