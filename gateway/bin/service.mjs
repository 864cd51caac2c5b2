// @ts-check
/** `kith service`: the system itself starts the gateway with this computer's device, or a device alone, at login. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { connect, Failure } from "./control.mjs";
import { pinnedNode, root } from "./install.mjs";
import { isDevice } from "./device.mjs";
import { line, tame, toJson } from "./print.mjs";
import { SERVICES, launchAgent, systemdUnit, windowsTask } from "./service-files.mjs";

/** How long the gateway may take until it answers. */
const READY_MS = 15_000;

/**
 * @typedef {keyof typeof SERVICES} Which
 * @typedef {object} Manager
 * @property {string} file what it reads
 * @property {(program: import("./service-files.mjs").Program) => string | Buffer} text
 * @property {string[][]} start
 * @property {string[][]} stop
 * @property {string[]} state a command that succeeds while it runs
 * @property {string} hint
 */

/** @param {Which} which @returns {Manager} */
function manager(which) {
  const { uid, username } = userInfo();
  const { name: NAME, label: LABEL } = SERVICES[which];
  if (process.platform === "darwin") {
    const file = join(homedir(), "Library/LaunchAgents", `${LABEL}.plist`);
    return {
      file,
      text: launchAgent,
      start: [["launchctl", "bootstrap", `gui/${uid}`, file]],
      stop: [["launchctl", "bootout", `gui/${uid}/${LABEL}`]],
      state: ["launchctl", "print", `gui/${uid}/${LABEL}`],
      hint: "It starts when you log in.",
    };
  }
  if (process.platform === "win32") {
    const file = join(tmpdir(), `${NAME}-task.xml`);
    return {
      file,
      // The scheduler reads UTF-16 with a byte order mark.
      text: (program) => Buffer.from(`\ufeff${windowsTask(program)}`, "utf16le"),
      start: [
        ["schtasks", "/Create", "/F", "/TN", NAME, "/XML", file],
        ["schtasks", "/Run", "/TN", NAME],
      ],
      stop: [
        ["schtasks", "/End", "/TN", NAME],
        ["schtasks", "/Delete", "/F", "/TN", NAME],
      ],
      state: ["schtasks", "/Query", "/TN", NAME],
      hint: "It starts when you log on.",
    };
  }
  const config = process.env.XDG_CONFIG_HOME || join(homedir(), ".config");
  const unit = `${NAME}.service`;
  const user = (/** @type {string[]} */ ...args) => ["systemctl", "--user", ...args];
  return {
    file: join(config, "systemd/user", unit),
    text: systemdUnit,
    start: [user("daemon-reload"), user("enable", unit), user("restart", unit)],
    stop: [user("disable", "--now", unit)],
    state: user("is-active", "--quiet", unit),
    hint: `It starts when you log in; \`loginctl enable-linger ${username}\` starts it with the machine. \`journalctl --user -u ${NAME}\` shows what it prints.`,
  };
}

/** @param {string[]} command @returns {Promise<void>} */
const run = ([program = "", ...args]) =>
  new Promise((resolve, reject) =>
    execFile(program, args, { timeout: 30_000 }, (error, _, stderr) => {
      if (!error) return resolve();
      const said = stderr.trim().split("\n")[0] || error.message.split("\n")[0];
      reject(new Failure("service-unavailable", `${program} ${args.join(" ")}: ${said}`));
    }),
  );

/**
 * What the gateway, or the device's agent, says of itself; undefined: nobody answers.
 * @param {Which} which @param {string} home @returns {Promise<any>}
 */
const answers = (which, home) =>
  (which === "gateway" ? connect(home) : connect(join(home, "node"), () => {}, "node.sock"))
    .then((link) => link.call("status", {}).finally(link.close))
    .then(
      ({ out }) => out,
      () => undefined,
    );

/** @param {import("./verbs.mjs").Context} context @param {Which} which */
export async function install({ home, json }, which) {
  await (await import("./build.mjs")).prepare();
  if (which === "node" && !isDevice(home))
    throw new Failure(
      "service-unavailable",
      "this computer is no device yet",
      "Pair it first, in a terminal: `kith node`, then install it.",
    );
  const { label, verb } = SERVICES[which];
  const { file, text, start, hint } = manager(which);
  const argv = [pinnedNode(), join(root, "gateway/bin/kith.mjs"), verb];
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text({ argv, home, label }), { mode: 0o600 });
  for (const command of start) await run(command);
  const until = Date.now() + READY_MS;
  let status = await answers(which, home);
  while (!status && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    status = await answers(which, home);
  }
  if (!status)
    throw new Failure(
      "service-unavailable",
      `it was started and does not answer; its home is ${home}`,
    );
  if (which === "node") {
    const { name } = status;
    const text = `${tame(name)} runs as a device and starts by itself. ${hint}`;
    return line(json ? toJson({ ok: true, file, name }) : text);
  }
  const out = { ok: true, file, pid: status.pid, listen: status.listen };
  line(json ? toJson(out) : `Kith runs (process ${status.pid}) and starts by itself. ${hint}`);
}

/** @param {import("./verbs.mjs").Context} context @param {Which} which */
export async function status({ home, json }, which) {
  const { file, state } = manager(which);
  const installed = process.platform === "win32" || existsSync(file);
  const active =
    installed &&
    (await run(state).then(
      () => true,
      () => false,
    ));
  const told = await answers(which, home);
  if (json) return line(toJson({ ok: true, installed, active, answers: Boolean(told), file }));
  const who = which === "gateway" ? "the gateway" : "the device";
  const how = !installed
    ? "Not installed"
    : active
      ? "Installed and running"
      : "Installed, not running";
  const pid = told?.pid === undefined ? "" : ` (process ${told.pid})`;
  line(`${how}; ${who} ${told ? `answers${pid}` : "does not answer"}.`);
}

/** @param {import("./verbs.mjs").Context} context @param {Which} which */
export async function uninstall({ json }, which) {
  const { file, stop } = manager(which);
  // What does not run cannot be stopped; what matters is that nothing starts it again.
  for (const command of stop) await run(command).catch(() => {});
  rmSync(file, { force: true });
  line(
    json ? toJson({ ok: true, file }) : "Kith does not start by itself any more. Its home stays.",
  );
}
