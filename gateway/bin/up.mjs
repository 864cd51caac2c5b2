// @ts-check
/**
 * `kith up`, which is also `npm start`: the launcher.
 *
 *   prepare ─► home ─► gateway ready ─► (first time: make this computer a device?) ─► node-agent
 *                         └─ in a terminal: the chat, a client like any other; else a plain service
 *
 * What crashes is started again; Ctrl-C, leaving the chat, or a signal ends everything.
 */
import { existsSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { prepare } from "./build.mjs";
import { Failure } from "./control.mjs";
import { isDevice } from "./device.mjs";
import { launch, stop } from "./processes.mjs";
import { isTerminal, line, tame, toJson } from "./print.mjs";

const ORPHAN_LOOK_MS = 500;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 30_000;
/** Who lived this long starts again after the first delay. */
const HEALTHY_MS = 30_000;

/** Exit codes that starting again would not change: the home is held, the configuration is wrong. */
const HOPELESS = [75, 78];

/** @param {import("./verbs.mjs").Context} context */
export async function up({ home, json }) {
  await prepare();
  const service = json || !isTerminal();
  /** @type {(text: string) => void} */
  let note = (text) => process.stderr.write(`${text}\n`);
  let leave = () => {};
  const told = new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve(0));
  });

  // npm ends its shell and not us: when that parent is gone, so is whoever started us.
  const parent = process.ppid;
  const orphaned = process.env.npm_lifecycle_event
    ? setInterval(
        () => process.ppid !== parent && process.kill(process.pid, "SIGTERM"),
        ORPHAN_LOOK_MS,
      )
    : undefined;

  mkdirSync(join(home, "logs"), { recursive: true, mode: 0o700 });
  const env = { ...process.env, KITH_HOME: home };
  // In a chat nobody could read it, and it would tear the screen.
  const stderr = service ? "inherit" : openSync(join(home, "logs", "stderr.log"), "a", 0o600);

  const keep = (/** @type {"gateway" | "node"} */ name, /** @type {string[]} */ args) => {
    const onEvent = (/** @type {any} */ event) => {
      if (json) return line(toJson({ from: name, ...event }));
      const words = sentence(event);
      if (words && (service || name === "node")) note(tame(`${name}: ${words}`));
    };
    return supervise(
      () => launch(name, args, { env, stdio: ["pipe", "pipe", stderr], onEvent }),
      (why, delay) => note(tame(`${name}: ${why}; starting again in ${delay / 1_000} s`)),
    );
  };

  const gateway = keep("gateway", ["--home", home, "--json", "--supervised"]);
  /** @type {ReturnType<typeof supervise> | undefined} */
  let node;
  const run = async () => {
    const { listen } = await gateway.ready;
    if (!service) await offer(home, env);
    if (isDevice(home)) {
      // Local: it pairs here when it is not paired, and stays with whom it is paired.
      node = keep("node", ["--home", join(home, "node"), "--local", "--json", "--supervised"]);
      // Without its device the gateway is still of use.
      node.gaveUp.catch((why) => note(tame(`node: ${why.message}\n  ${why.remedy}`)));
    }
    if (service) return told;
    const { chat } = await import("./chat.mjs");
    const greeting = `Kith listens on ${listen}. /help helps; Ctrl-D or Ctrl-C ends it all.`;
    return chat({ home, json, greeting, ready: (print, end) => ([note, leave] = [print, end]) });
  };
  try {
    await Promise.race([told, run(), gateway.gaveUp]);
  } finally {
    clearInterval(orphaned);
    leave();
    await Promise.all([node?.stop(), gateway.stop()]);
  }
}

/**
 * Keeps a process running: 0.1 s after its end it starts again, then twice as long up to 30 s.
 * @param {() => import("./processes.mjs").Launched} start
 * @param {(why: string, delay: number) => void} onRestart
 */
function supervise(start, onRestart) {
  const stopping = new AbortController();
  let current = start();
  /** @type {(event: any) => void} */
  let onReady = () => {};
  const ready = new Promise((resolve) => (onReady = resolve));

  const watch = async () => {
    for (let delay = FIRST_DELAY_MS; ; current = start()) {
      const born = Date.now();
      current.event("ready").then(onReady, () => {}); // Its end is looked at below.
      const { code } = await current.ended;
      if (stopping.signal.aborted) return;
      const why = await current
        .event("failed")
        .then(({ error }) => Failure.from(error), Failure.from);
      if (HOPELESS.includes(code ?? 0)) throw why;
      if (Date.now() - born >= HEALTHY_MS) delay = FIRST_DELAY_MS;
      onRestart(why.message, delay);
      await sleep(delay, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      delay = Math.min(delay * 2, LONGEST_DELAY_MS);
    }
  };
  const watching = watch();
  return {
    ready,
    /** Never resolves; rejects with the reason when starting again is of no use. */
    gaveUp: watching.then(() => new Promise(() => {})),
    stop: () => {
      stopping.abort();
      return stop([current]);
    },
  };
}

/**
 * Once, in a terminal: the node-agent's own screen asks whether this computer shall be a device.
 * @param {string} home @param {NodeJS.ProcessEnv} env
 */
async function offer(home, env) {
  const offered = join(home, "setup-offered");
  if (isDevice(home) || existsSync(offered)) return;
  writeFileSync(offered, "");
  const args = ["setup", "--home", join(home, "node")]; // It pairs when it is started as local.
  await launch("node", args, { stdio: "inherit", env }).ended;
  if (!isDevice(home)) line("This computer is no device; `kith node setup` makes it one.");
}

/** @param {any} event */
function sentence(event) {
  if (event.event === "ready")
    return event.listen ? `ready on ${event.listen} (${event.ms} ms)` : "ready";
  if (event.event === "connected") return `connected to ${event.address}`;
  if (event.event === "code") return `type this in the chat: /approve ${event.code}`;
  if (event.event === "paired") return `paired as ${event.device}`;
  if (event.event === "notice")
    return `${event.what} ${event.on ? "is in use" : "is no longer in use"}`;
  return undefined;
}
