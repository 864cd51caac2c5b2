/**
 * The only reader of config.yaml. What it does not know it refuses: an error names the file, the
 * line, and what was expected. Comments and order stay the owner's.
 */
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { KithError } from "@kith/shared/errors";
import { name } from "@kith/shared/protocol/words";
import { modes } from "@kith/shared/tailnet/ceiling";
import * as v from "valibot";
import { LineCounter, type Node, isNode, isScalar, isSeq, parseDocument } from "yaml";
import { kinds, scopes } from "./budgets/usage.ts";
import { type Rule, presets } from "./grants/boundaries.ts";
import { written } from "./mesh/reachable.ts";
import { type ProviderKind, efforts } from "./model/provider.ts";
import { Secret } from "./secret.ts";
import { Secrets } from "./secrets.ts";

const MAX_BYTES = 262_144;
const SECRET_BYTES = 65_536;
export const DEFAULT_PORT = 5484;

const address = v.pipe(
  v.string("an address such as 127.0.0.1:5484"),
  v.regex(/^(?:\[[0-9a-f:.]+\]|[0-9a-z.-]+)(?::\d{1,5})?$/i, "an address such as 127.0.0.1:5484"),
  v.transform((text) => {
    const match = /^(.+?)(?::(\d{1,5}))?$/.exec(
      text.startsWith("[")
        ? text.replace(/^\[(.*)\]/, (_, host: string) => host.replaceAll(":", "%"))
        : text,
    );
    return {
      host: (match?.[1] ?? "").replaceAll("%", ":"),
      port: Number(match?.[2] ?? DEFAULT_PORT),
    };
  }),
  v.check(({ port }) => port <= 65_535, "a port from 0 to 65535"),
);

const NAME = "a name of 1 to 64 bytes, without control characters";
const MOST_LISTEN = 8;
const MANY = `1 to ${MOST_LISTEN} addresses`;
const TAILNET = "off, or ceiling (auto, strict or off) and socket";
const providers = [
  "anthropic",
  "openai",
  "openai-compatible",
  "ollama",
] as const satisfies readonly ProviderKind[];
const MODEL =
  "provider (anthropic, openai, openai-compatible or ollama), name, and where needed apiKey, baseUrl and effort";
const MOST_MODELS = 8;
const MODELS = `1 to ${MOST_MODELS} models`;
const KEY =
  "a reference such as ${secret:NAME}, ${env:ANTHROPIC_API_KEY} or ${file:/path}, never a key itself";

const BUDGETS = `${scopes.join(", ")}, each with limits of ${kinds.join(", ")}`;
const PRICE = "input, cached and output, in dollars for a million tokens";
const dollars = v.pipe(v.number(PRICE), v.minValue(0, PRICE), v.maxValue(100_000, PRICE));
const LIMIT = "a number of 0 or more";
const amounts = v.strictObject(
  Object.fromEntries(
    kinds.map((kind) => [
      kind,
      v.optional(
        kind === "money"
          ? v.pipe(
              v.number(LIMIT),
              v.minValue(0, LIMIT),
              v.maxValue(1e6, LIMIT),
              v.transform((value) => Math.round(value * 1e6)),
            )
          : v.pipe(
              v.number(LIMIT),
              v.integer(LIMIT),
              v.minValue(0, LIMIT),
              v.maxValue(1e12, LIMIT),
            ),
      ),
    ]),
  ),
  `limits of ${kinds.join(", ")}`,
);
const KEY_FORM = /^\$\{(?:env:\w{1,128}|file:[^}]{1,4096}|secret:[\w.-]{1,64})\}$/;
const reference = v.pipe(v.string(KEY), v.regex(KEY_FORM, KEY));
const httpUrl = v.pipe(
  v.string(),
  v.url("an address such as http://127.0.0.1:11434"),
  v.regex(/^https?:/, "an address that begins with http:// or https://"),
  v.maxLength(2_048),
);
const PLACE = "a host with its port, such as 127.0.0.1:8080";
const MOST_ALLOWED = 64;
const SEARCH = "provider: brave with apiKey, or provider: searxng with baseUrl";
const SETTINGS =
  "name, listen, tailnet, model, budgets, prices, permissions, timezone, agents, egress and search";
const ROOT = `only the settings ${SETTINGS}`;

/** One language model. */
export const model = v.strictObject(
  {
    provider: v.picklist(providers, `one of ${providers.join(", ")}`),
    name: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
    apiKey: v.optional(reference),
    baseUrl: v.optional(httpUrl),
    effort: v.optional(v.picklist(efforts, `one of ${efforts.join(", ")}`)),
  },
  MODEL,
);
const models = v.pipe(v.array(model), v.minLength(1, MODELS), v.maxLength(MOST_MODELS, MODELS));

const oneOrMore = v.pipe(
  v.lazy((input) => (Array.isArray(input) ? models : model)),
  v.transform((one) => (Array.isArray(one) ? one : [one])),
);
const ZONE = "a time zone such as Europe/Berlin";
const MOST_AGENTS = 32;
const AGENT = "a name of small letters, digits and hyphens, other than main";
const PATTERNS = "at most 64 names of tools or capabilities, such as memory_* or camera.snap";
const pattern = v.pipe(v.string(PATTERNS), v.regex(/^[a-z][a-z0-9_.-]{0,63}\*?$/, PATTERNS));
const RULES = "at most 64 rules";
const RULE =
  "one of allow, ask and deny with a capability or tool; and chat, person, agent, device";
const ruleWord = v.optional(pattern);
const about = v.optional(v.pipe(v.string(RULE), v.minLength(1, RULE), v.maxLength(128, RULE)));
const ruleLine = v.pipe(
  v.strictObject(
    {
      ...{ allow: ruleWord, ask: ruleWord, deny: ruleWord },
      ...{ chat: about, person: about, agent: about, device: about },
    },
    RULE,
  ),
  v.check(({ allow, ask, deny }) => [allow, ask, deny].filter(Boolean).length === 1, RULE),
  v.transform(({ allow, ask, deny, ...whose }): Rule => {
    const word = deny ? "deny" : ask ? "ask" : "allow";
    return { word, what: deny ?? ask ?? allow ?? "", ...whose };
  }),
);
const CHATS = "at most 64 names of chats";
const chatName = v.pipe(v.string(CHATS), v.minLength(1, CHATS), v.maxLength(64, CHATS));

const schema = v.strictObject(
  {
    /** What devices call this gateway. */
    name: v.optional(
      v.pipe(
        v.string(NAME),
        v.check((text) => v.is(name(64), text), NAME),
      ),
      "kith",
    ),
    /** Where devices reach it. Loopback only, until the owner opens more. */
    listen: v.optional(
      v.pipe(
        v.union(
          [address, v.pipe(v.array(address), v.minLength(1, MANY), v.maxLength(MOST_LISTEN, MANY))],
          "an address such as 127.0.0.1:5484, or a list of them",
        ),
        v.transform((one) => (Array.isArray(one) ? one : [one])),
      ),
      `127.0.0.1:${DEFAULT_PORT}`,
    ),
    /** What is asked of this machine's Tailscale daemon, and how its policy is read. */
    tailnet: v.optional(
      v.union(
        [
          v.literal("off"),
          v.strictObject({
            ceiling: v.optional(v.picklist(modes), "auto"),
            socket: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(4_096))),
          }),
        ],
        TAILNET,
      ),
      {},
    ),
    /** What may be used in a day: of everything, and by one person, in one chat, for one job. Money in dollars. */
    budgets: v.optional(
      v.strictObject(
        Object.fromEntries(scopes.map((scope) => [scope, v.optional(amounts)])),
        BUDGETS,
      ),
      {},
    ),
    /** In dollars for a million tokens, by the model's name. */
    prices: v.optional(
      v.record(
        v.pipe(v.string(), v.maxLength(256)),
        v.strictObject({ input: dollars, cached: v.optional(dollars), output: dollars }, PRICE),
      ),
      {},
    ),
    /** The language models beside the commands, which always work; the first that is well answers. */
    model: v.optional(oneOrMore),
    /** What is allowed, asked about and denied: grants/boundaries.ts. */
    permissions: v.optional(
      v.pipe(
        v.strictObject(
          {
            preset: v.optional(v.picklist(presets, `one of ${presets.join(", ")}`), "careful"),
            rules: v.optional(v.pipe(v.array(ruleLine, RULES), v.maxLength(64, RULES)), []),
          },
          "preset and rules",
        ),
      ),
      {},
    ),
    /** Of the times that people say; the system's where none is given. */
    timezone: v.optional(
      v.pipe(
        v.string(ZONE),
        v.check((zone) => {
          try {
            return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
          } catch {
            return false;
          }
        }, ZONE),
      ),
    ),
    /** More assistants beside the main one; see model/agents.ts. */
    agents: v.optional(
      v.pipe(
        v.record(
          v.pipe(v.string(), v.regex(/^(?!main$)[a-z][a-z0-9-]{0,31}$/, AGENT)),
          v.strictObject(
            {
              model: v.optional(oneOrMore),
              tools: v.optional(v.pipe(v.array(pattern, PATTERNS), v.maxLength(64, PATTERNS))),
              chats: v.optional(v.pipe(v.array(chatName, CHATS), v.maxLength(64, CHATS))),
            },
            "model, tools and chats",
          ),
        ),
        v.check((agents) => Object.keys(agents).length <= MOST_AGENTS, `at most ${MOST_AGENTS}`),
      ),
      {},
    ),
    /** Where pages may be fetched from beside what is public; see egress/egress.ts. */
    egress: v.optional(
      v.strictObject(
        {
          allow: v.pipe(
            v.array(
              v.pipe(
                v.string(PLACE),
                v.regex(/^(?:\[[0-9a-f:.]+\]|[0-9a-z.-]+):\d{1,5}$/i, PLACE),
                v.check((text) => URL.canParse(`http://${text}`), PLACE),
              ),
              "a list of hosts with their ports",
            ),
            v.maxLength(MOST_ALLOWED, `at most ${MOST_ALLOWED} of them`),
          ),
        },
        "allow, a list of hosts with their ports",
      ),
      { allow: [] },
    ),
    /** Whom the model may ask to search the web. */
    search: v.optional(
      v.variant(
        "provider",
        [
          v.strictObject({ provider: v.literal("brave"), apiKey: reference }, SEARCH),
          v.strictObject({ provider: v.literal("searxng"), baseUrl: httpUrl }, SEARCH),
        ],
        SEARCH,
      ),
    ),
  },
  ROOT,
);

export type ModelSettings = v.InferOutput<typeof model>;
export type Config = v.InferOutput<typeof schema>;

const FRESH = `# Kith's settings. Every line may be left out; docs/config.md says what there is.

# What your devices call this gateway.
# name: kith

# Where devices reach it. Only this machine, until you open more.
# listen: 127.0.0.1:${DEFAULT_PORT}

# Where this machine is in a Tailscale network: how its policy is read (auto, strict or off).
# tailnet:
#   ceiling: auto

# A language model beside the commands. A key stands in the environment or in a file, never here.
# model:
#   provider: anthropic
#   name: MODEL
#   apiKey: \${env:ANTHROPIC_API_KEY}

# A host of your own network that pages may be fetched from; without, only public ones are.
# egress:
#   allow: [127.0.0.1:8080]

# Whom the model may ask to search the web: brave (with apiKey), or searxng (with baseUrl).
# search:
#   provider: brave
#   apiKey: \${env:BRAVE_API_KEY}
`;

/** @throws KithError config-invalid */
export function readConfig(home: string): Config {
  const file = join(home, "config.yaml");
  if (!existsSync(file)) writeFileSync(file, FRESH, { mode: 0o600 });
  const wrong = (line: number, expected: string, cause?: unknown): KithError =>
    new KithError("config-invalid", `${file}:${line}: ${expected}`, { cause });
  if (!statSync(file).isFile()) throw wrong(1, "expected a file");
  if (statSync(file).size > MAX_BYTES) throw wrong(1, "expected a file of at most 256 KiB");
  const text = readFileSync(file, "utf8");

  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const [broken] = document.errors;
  if (broken)
    throw wrong(
      lines.linePos(broken.pos[0]).line,
      `not YAML: ${broken.message.split("\n")[0] ?? ""}`,
      broken,
    );
  let settings: unknown;
  try {
    settings = document.toJS({ maxAliasCount: 10 }) ?? {};
  } catch (error) {
    // An alias without an anchor, or so many that they are an attack.
    throw wrong(1, "expected settings without aliases", error);
  }
  if (typeof settings !== "object" || Array.isArray(settings)) throw wrong(1, `expected ${ROOT}`);
  const checked = v.safeParse(schema, settings);
  if (checked.success) return checked.output;

  const [issue] = checked.issues;
  const path = issue.path?.map(({ key }) => key) ?? [];
  const line = lineOf(document, path, lines) ?? 1;
  const where = path.length > 0 ? `${path.join(".")}: ` : "";
  const unknown = issue.type === "strict_object" && issue.expected === "never";
  throw wrong(
    line,
    unknown
      ? `${where}no such setting (there are ${SETTINGS})`
      : `${where}expected ${issue.message}`,
  );
}

/**
 * What a reference of the config means now; the value flows as a Secret only.
 * @throws KithError config-invalid
 */
export function readSecret(reference: string, home: string): Secret {
  const [, kind = "", where = ""] = /^\$\{(env|file|secret):([^}]+)\}$/.exec(reference) ?? [];
  if (kind === "secret") return new Secrets(home).get(where);
  let value = kind === "env" ? process.env[where] : undefined;
  if (kind === "file")
    try {
      if (statSync(where).size <= SECRET_BYTES) value = readFileSync(where, "utf8").trim();
    } catch {
      // Said below, in the same words for each reason.
    }
  if (!value)
    throw new KithError("config-invalid", `${reference} of config.yaml has nothing to read`);
  return new Secret(value);
}

/**
 * One more address to listen on, for good; what it returns puts the file back as it was. Comments
 * and order stay the owner's; an address that stands there already changes nothing.
 * @throws KithError config-invalid, with nothing changed: too many, or the file was spoilt since the start
 */
export function addListen(home: string, more: string): () => void {
  const { listen } = readConfig(home);
  if (listen.some((one) => written(one) === more)) return () => {};
  const file = join(home, "config.yaml");
  const before = readFileSync(file, "utf8");
  const document = parseDocument(before);
  const now: unknown = document.get("listen");
  const there = isSeq(now)
    ? now.items.map((item) => (isScalar(item) ? item.value : item))
    : [now ?? `127.0.0.1:${DEFAULT_PORT}`];
  if (there.length >= MOST_LISTEN)
    throw new KithError("config-invalid", `${file}: listen has ${MOST_LISTEN} addresses already`);
  document.set("listen", document.createNode([...there, more]));
  replace(file, document.toString());
  return () => replace(file, before);
}

/** What devices call the gateway, from its next start on. Comments stay. @throws KithError config-invalid */
export const setName = (home: string, called: string): void => set(home, "name", called);

/** The only language model, from the next start on. Comments stay. @throws KithError config-invalid */
export const setModel = (home: string, settings: ModelSettings): void =>
  set(home, "model", settings);

function set(home: string, setting: keyof Config, value: unknown): void {
  readConfig(home);
  const file = join(home, "config.yaml");
  const document = parseDocument(readFileSync(file, "utf8"));
  // A node would lose the comment behind a word.
  document.set(setting, typeof value === "string" ? value : document.createNode(value));
  replace(file, document.toString());
}

function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

/** The line of the innermost node on this path that exists; for an unknown key, of the key. */
function lineOf(
  document: ReturnType<typeof parseDocument>,
  path: readonly unknown[],
  lines: LineCounter,
): number | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const items =
      isNode(parent) && "items" in parent
        ? (parent.items as { key?: Node & { value?: unknown } }[])
        : [];
    const key = items.find((item) => item.key?.value === path[depth - 1])?.key;
    const node = key ?? document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}
