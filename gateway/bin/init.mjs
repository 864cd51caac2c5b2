// @ts-check
/**
 * `kith init`: the six things that are worth deciding at the beginning. Each has a safe answer, which is taken
 * by Enter, by `--yes`, and where nobody sits at a terminal; each says how it is changed later.
 *
 *   gateway (ours, for a moment, if none runs) ─► its name ─► who reaches it ─► this computer a device?
 *        ─► a folder for files? ─► a language model? ─► started at login? ─► what to do next
 */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { prepare } from "./build.mjs";
import { connect, Failure } from "./control.mjs";
import { isDevice } from "./device.mjs";
import { launch, stop } from "./processes.mjs";
import { isTerminal, line, paint, tame, toJson, usage } from "./print.mjs";

/** @typedef {(question: string, otherwise: string, later: string) => Promise<string>} Ask */

/** @param {import("./verbs.mjs").Context} context */
export async function init(context) {
  const { home, json, flags } = context;
  if (!flags.yes && !json && !isTerminal())
    throw usage("it asks in a terminal; --yes takes the safe answer to each question", "init");
  await prepare();
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const asking = !flags.yes && !json ? await atTerminal() : undefined;
  const ask = asking?.ask ?? (async (_question, otherwise) => otherwise);
  const gateway = (await runsAlready(home))
    ? undefined
    : launch("gateway", ["--home", home, "--json"]);
  try {
    await gateway?.event("ready");
    const name = await called(home, ask);
    const listen = await reached(home, ask);
    const device = await here(home, ask, asking);
    const model = await talks(home, flags, ask, Boolean(asking));
    const service = yes(
      await ask("6. Start Kith when you log in? (y/N)", "n", "kith service install | uninstall"),
    );
    asking?.close();
    if (gateway) await stop([gateway]);
    if (service) await (await import("./service.mjs")).install(context, "gateway");
    if (service && model?.apiKey && !json)
      line(
        `   A service does not have your shell's variables: put the key of ${model.apiKey} into a file, and write \${file:/path} in config.yaml.`,
      );
    const next = service ? "kith chat" : "kith up";
    if (json)
      return line(
        toJson({
          ok: true,
          home,
          name,
          listen,
          ...device,
          model: model?.name ?? null,
          service,
          next,
        }),
      );
    line(
      `\nThat is all. ${paint("bold", next)} opens the chat: say “what can you do”, or /pair for the next device. \`kith doctor\` says what is not right.`,
    );
  } finally {
    asking?.close();
    if (gateway) await stop([gateway]);
  }
}

const yes = (/** @type {string} */ text) => /^(y|yes)$/i.test(text.trim());

/** @param {string} home */
const runsAlready = (home) =>
  connect(home).then(
    (link) => (link.close(), true),
    () => false,
  );

/** @param {string} home @param {string} op @param {object} [args] */
async function call(home, op, args) {
  const link = await connect(home);
  try {
    return (await link.call(op, args)).out;
  } finally {
    link.close();
  }
}

async function atTerminal() {
  const { createInterface } = await import("node:readline/promises");
  const reader = createInterface({ input: process.stdin, output: process.stdout });
  reader.on("SIGINT", () => process.exit(130));
  return {
    /** @type {Ask} */
    ask: async (question, otherwise, later) => {
      line(`\n${question}`);
      line(paint("dim", `   Later: ${later}`));
      return (await reader.question("   > ")).trim() || otherwise;
    },
    close: () => reader.close(),
    /** Another program has the terminal meanwhile. @param {() => Promise<unknown>} work */
    lend: async (work) => {
      reader.pause();
      await work();
      reader.resume();
    },
  };
}

/** @param {string} home @param {Ask} ask */
async function called(home, ask) {
  const { name } = await call(home, "status");
  const wish = await ask(
    `1. What shall your devices call this gateway? [${tame(name)}]`,
    name,
    "`name` in config.yaml",
  );
  if (wish !== name) await call(home, "gateway.rename", { name: wish });
  return wish;
}

/** @param {string} home @param {Ask} ask @returns {Promise<string[]>} */
async function reached(home, ask) {
  const { listen, own } = await call(home, "pair.open");
  const choices = own.map(
    (/** @type {{ host: string, reach: string }} */ { host, reach }, /** @type {number} */ at) =>
      `   ${at + 1}  devices at ${host} (${reach === "tailnet" ? "your tailnet" : "this network"})`,
  );
  const question = [
    "2. Who may reach it? [0]",
    "   0  only this computer, and what is open already",
    ...choices,
  ];
  const typed = await ask(question.join("\n"), "0", "kith pair open; `listen` in config.yaml");
  const chosen = own[Number(typed) - 1];
  if (!chosen) return listen;
  return (await call(home, "pair.open", { address: chosen.host })).listen;
}

/** @param {string} home @param {Ask} ask @param {Awaited<ReturnType<typeof atTerminal>> | undefined} asking */
async function here(home, ask, asking) {
  const node = join(home, "node");
  const setup = async (/** @type {string[]} */ ...args) => {
    const argv = ["setup", "--home", node, "--local", ...args];
    const { code } = await launch("node", argv, {
      stdio: asking ? "inherit" : ["ignore", "ignore", "inherit"],
      env: { ...process.env, KITH_HOME: home },
    }).ended;
    if (code !== 0) throw new Failure("internal", "this computer could not be made a device");
  };
  const known = isDevice(home);
  const wish =
    known ||
    yes(
      await ask(
        "3. Shall this computer be a device: camera, screen, files …? Each is off until you turn it on. (y/N)",
        "n",
        "kith node setup",
      ),
    );
  if (wish && asking && !known) await asking.lend(() => setup());
  if (!wish) {
    if (asking)
      line(paint("dim", "\n4. (A folder is shared by a device, so there is nothing to ask.)"));
    return { device: false };
  }
  const typed = await ask(
    "4. Share a folder of it, so that files can be asked for? Path, or nothing. []",
    "",
    "kith node --root NAME=PATH",
  );
  const folder = typed === "" ? undefined : resolve(typed.replace(/^~(?=$|\/)/, homedir()));
  if (folder === undefined) return { device: true };
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new Failure(
      "bad-args",
      `${folder} is no folder`,
      "Name one that is there: `kith node --root NAME=PATH`.",
    );
  const share = () =>
    setup("--root", `files=${folder}`, "--allow", "files.read=ask,files.list=ask,files.write=ask");
  await (asking ? asking.lend(share) : share());
  return { device: true, folder };
}

/**
 * A language model: what was found, or what `--model` names. It is tried before it is written, its key only ever as a
 * reference.
 * @param {string} home @param {Record<string, any>} flags @param {Ask} ask @param {boolean} asking
 * @returns {Promise<{ name: string, provider: string, apiKey?: string } | undefined>}
 */
async function talks(home, flags, ask, asking) {
  const wish = flags.model ?? (asking ? "ask" : "none");
  const { models } = await call(home, "models.list");
  if (wish === "none" || (wish === "ask" && models.length > 0)) return undefined;
  const set = async (/** @type {any} */ { provider, name, apiKey, baseUrl }) => {
    const settings = { provider, name, ...(apiKey && { apiKey }), ...(baseUrl && { baseUrl }) };
    await call(home, "models.set", settings);
    return settings;
  };
  if (wish !== "ask" && wish !== "auto") {
    const [, provider, name] = /^([a-z-]+)\/(.+)$/.exec(wish) ?? [];
    if (!provider) throw usage("--model takes auto, none, or PROVIDER/NAME", "init");
    const key = KEYS[provider];
    return set({ provider, name, apiKey: key && `\${env:${key}}`, baseUrl: flags["base-url"] });
  }
  const { found } = await call(home, "models.find");
  const usable = found.filter((/** @type {any} */ { name }) => name);
  const about = (/** @type {any} */ { name, provider, apiKey }) =>
    `${tame(name)} of ${provider}${apiKey ? `, by your key ${apiKey}` : " on this computer"}`;
  let chosen = usable;
  if (wish === "ask") {
    const choices = usable.map(
      (/** @type {any} */ one, /** @type {number} */ at) => `   ${at + 1}  ${about(one)}`,
    );
    const others = found.flatMap((/** @type {any} */ { why }) =>
      why ? [`   –  ${tame(why)}`] : [],
    );
    const question = [
      "5. A language model beside the commands? [0]",
      "   0  none",
      ...choices,
      ...others,
    ];
    const typed = await ask(
      question.join("\n"),
      "0",
      "`model` in config.yaml; kith init --model auto",
    );
    chosen = usable.slice(Number(typed) - 1, Number(typed));
  }
  for (const { baseUrl: _, ...one } of chosen)
    try {
      return await set(one);
    } catch (why) {
      if (!(why instanceof Failure)) throw why;
      process.stderr.write(`${about(one)}: ${tame(why.message)}\n`);
    }
  return undefined;
}

/** @type {Readonly<Record<string, string>>} */
const KEYS = { anthropic: "ANTHROPIC_API_KEY", openai: "OPENAI_API_KEY" };
