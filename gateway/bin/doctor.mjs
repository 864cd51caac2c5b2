// @ts-check
/** `kith doctor`: what is true now, a line each, and for what is not right what to do about it. */
import { existsSync, readFileSync, readdirSync, statSync, statfsSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { connect, Failure } from "./control.mjs";
import { isDevice } from "./device.mjs";
import { pinnedNode } from "./install.mjs";
import { line, paint, tame, toJson } from "./print.mjs";

/**
 * @typedef {{ name: string, state: "ok" | "note" | "wrong", text: string, fix?: string }} Check
 * `note`: true and harmless, but worth knowing.
 */

/** Below this the gateway still runs, and a few photos more fill it. */
const SCARCE_BYTES = 1_000_000_000;
const PROBE_MS = 2_000;
const MOST_CHARS = 4_096;
const posix = process.platform !== "win32";

/** @param {string} name @param {string} text @returns {Check} */
const fine = (name, text) => ({ name, state: "ok", text });
/** @param {string} name @param {string} text @param {string} fix @returns {Check} */
const wrong = (name, text, fix) => ({ name, state: "wrong", text, fix });
/** @param {string} name @param {string} text @param {string} [fix] @returns {Check} */
const note = (name, text, fix) => ({ name, state: "note", text, ...(fix ? { fix } : {}) });

/**
 * How devices come to this gateway, and this device to its gateway, step by step.
 * @param {import("./verbs.mjs").Context} context
 */
export async function doctorMesh({ home, json }) {
  const checks = await dialled(home);
  try {
    const link = await connect(home);
    try {
      checks.push(...(await link.call("mesh.check", {})).out.checks);
    } finally {
      link.close();
    }
  } catch (why) {
    const { message, remedy } = Failure.from(why);
    checks.push(
      checks.length > 0
        ? note("gateway", "there is none on this machine")
        : wrong("gateway", message, remedy),
    );
  }
  return tell(checks, json);
}

/** What this machine's device dials, one address after the other. @param {string} home @returns {Promise<Check[]>} */
async function dialled(home) {
  const file = join(home, "node", "node.json");
  if (!existsSync(file)) return [];
  let gateway;
  try {
    ({ gateway } = JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return [wrong("this device", `${file} cannot be read`, "Mend or remove it.")];
  }
  if (!gateway?.id) return [note("this device", "it is not paired", "`kith node` pairs it.")];
  /** @type {Check[]} */
  const checks = await Promise.all(
    gateway.addresses.map((/** @type {string} */ address) => port(address, gateway.id)),
  );
  // One is enough: a laptop away from home does not reach the gateway's address there.
  const reached = checks.some(({ state }) => state === "ok");
  return checks.map((check) =>
    reached && check.state === "wrong"
      ? note("port", check.text, "Another address leads there.")
      : check,
  );
}

/** @param {import("./verbs.mjs").Context} context */
export async function doctor({ home, json }) {
  const checks = [runtime(), ...files(home), space(home)];
  const gateway = await ask(home);
  if (gateway instanceof Failure) {
    checks.push(wrong("gateway", `it does not answer: ${gateway.message}`, gateway.remedy));
  } else {
    checks.push(...(await about(gateway)));
  }
  if (!isDevice(home))
    checks.push(
      note("this device", "this computer is no device", "`kith up` in a terminal offers it."),
    );
  return tell(checks, json);
}

/** @param {Check[]} checks @param {boolean} json */
function tell(checks, json) {
  const ok = checks.every(({ state }) => state !== "wrong");
  if (json) line(toJson({ ok, checks }));
  else for (const check of checks) show(check);
  return ok ? 0 : 1;
}

/** @param {Check} check */
function show({ name, state, text, fix }) {
  const mark = { ok: "ok   ", note: paint("yellow", "note "), wrong: paint("red", "WRONG") }[state];
  line(
    `${mark}  ${name.padEnd(12)} ${tame(text)}${fix ? `\n       ${"".padEnd(12)} ${tame(fix)}` : ""}`,
  );
}

function runtime() {
  const node = pinnedNode();
  return node === process.execPath
    ? fine("node", `Node ${process.versions.node}`)
    : fine("node", `gateway and device run on ${node}; this command on ${process.versions.node}`);
}

/** @param {string} home @returns {Check[]} */
function files(home) {
  if (!existsSync(home)) return [note("home", `${home} is not there yet`, "`kith up` makes it.")];
  if (!posix) return [fine("home", home)];
  const open = [
    ...["", "keys", "node", "node/keys"].map((folder) => join(home, folder)),
    ...["keys", "node/keys"].flatMap((folder) =>
      existsSync(join(home, folder))
        ? readdirSync(join(home, folder)).map((name) => join(home, folder, name))
        : [],
    ),
  ].filter((path) => existsSync(path) && (statSync(path).mode & 0o077) !== 0);
  const checks = [
    open.length === 0
      ? fine("home", `${home}, for you alone`)
      : wrong("home", `others may look into ${open.join(", ")}`, `chmod go= ${open.join(" ")}`),
  ];
  // What was written "later" than now was written before the clock was set back.
  const database = join(home, "kith.db");
  const ahead = existsSync(database) ? statSync(database).mtimeMs - Date.now() : 0;
  checks.push(
    ahead > 60_000
      ? wrong(
          "clock",
          `it is ${Math.round(ahead / 60_000)} min behind what this home has seen`,
          "Set the clock right (`timedatectl set-ntp true`): permissions end by the later time.",
        )
      : fine("clock", new Date().toLocaleString("sv")),
  );
  return checks;
}

/** @param {string} home @returns {Check} */
function space(home) {
  const { bavail, bsize } = statfsSync(existsSync(home) ? home : process.cwd());
  const free = bavail * bsize;
  const text = `${(free / 1e9).toFixed(1)} GB free`;
  return free < SCARCE_BYTES
    ? wrong(
        "disk",
        text,
        "Free some space: without it new work is refused, though nothing is lost.",
      )
    : fine("disk", text);
}

/**
 * All that the gateway tells, or why it tells nothing.
 * @param {string} home
 * @returns {Promise<Failure | Record<"status" | "audit" | "devices" | "dead", any>>}
 */
async function ask(home) {
  try {
    const link = await connect(home);
    try {
      const out = async (/** @type {string} */ op) => (await link.call(op, {})).out;
      return {
        status: await out("status"),
        audit: await out("audit.verify"),
        devices: await out("devices.list"),
        dead: await out("dead.list"),
      };
    } finally {
      link.close();
    }
  } catch (why) {
    return Failure.from(why);
  }
}

/** @param {Record<"status" | "audit" | "devices" | "dead", any>} told @returns {Promise<Check[]>} */
async function about({ status, audit, devices, dead }) {
  const checks = [fine("gateway", `answers (process ${status.pid}, version ${status.version})`)];
  for (const address of status.listen) checks.push(await port(address, status.gateway));
  checks.push(
    audit.verified
      ? fine("audit", `the chain is whole, ${audit.rows} rows`)
      : wrong(
          "audit",
          `the chain is broken: ${audit.problem}`,
          "Something changed the database. Keep a copy, and compare it with your backups.",
        ),
  );
  if (status.safe)
    checks.push(
      wrong("safe mode", "no call is sent", "`kith dead` and the log tell why; `kith safe off`."),
    );
  if (status.locked) checks.push(note("lock", "everything is off", "`kith lock --lift`"));
  const letters = dead.letters?.length ?? 0;
  if (letters > 0)
    checks.push(note("dead", `${letters} messages were put aside`, "`kith dead` lists them."));
  for (const device of devices.devices) checks.push(...deviceChecks(device));
  if (devices.devices.length === 0)
    checks.push(note("devices", "none is paired", "`kith pair invite` lets one in."));
  return checks;
}

/**
 * What answers there. Not by `fetch`: that refuses ports on which browsers expect something else, 10080 for one.
 * @param {string} address @returns {Promise<string>}
 */
const probe = (address) =>
  new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(PROBE_MS);
    get(`http://${address}/.well-known/kith`, { signal }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (/** @type {string} */ part) => {
        text += part;
        if (text.length > MOST_CHARS) response.destroy(new Error("no gateway says so much"));
      });
      response.on("end", () => resolve(text)).on("error", reject);
    }).on("error", reject);
  });

/** Whether it is really ours that answers there. @param {string} address @param {string} id @returns {Promise<Check>} */
async function port(address, id) {
  try {
    const { id: there } = JSON.parse(await probe(address));
    if (there === id) return fine("port", `${address} answers`);
    return wrong(
      "port",
      `another gateway answers at ${address}`,
      "Change `listen` in config.yaml.",
    );
  } catch {
    return wrong(
      "port",
      `nothing answers at ${address} from here`,
      "A firewall may be in between, or the address has gone: `kith pair open` lists those of this machine.",
    );
  }
}

/** @param {any} device @returns {Check[]} */
function deviceChecks({ name, state, caps }) {
  const on = caps.filter((/** @type {any} */ cap) => cap.state !== "off");
  if (state !== "online") {
    const fix = state === "away" ? "Wake it, or start its agent: `kith node`." : undefined;
    return [note(name, state, fix)];
  }
  const sick = on.filter((/** @type {any} */ cap) => cap.state !== "ready" && cap.state !== "busy");
  return [
    fine(name, `online; ${on.length} of ${caps.length} capabilities are on`),
    ...sick.map((/** @type {any} */ { cap, state: how, reason }) =>
      note(name, `${cap}: ${how}`, reason),
    ),
  ];
}
