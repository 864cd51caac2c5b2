// @ts-check
/** `kith service`: the system itself starts the gateway, and this computer's device with it, at login. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { connect, Failure } from "./control.mjs";
import { pinnedNode, root } from "./install.mjs";
import { line, toJson } from "./print.mjs";
import { LABEL, NAME, launchAgent, systemdUnit, windowsTask } from "./service-files.mjs";

/** How long the gateway may take until it answers. */
const READY_MS = 15_000;

/**
 * @typedef {object} Manager
 * @property {string} file what it reads
 * @property {(program: import("./service-files.mjs").Program) => string | Buffer} text
 * @property {string[][]} start
 * @property {string[][]} stop
 * @property {string[]} state a command that succeeds while it runs
 * @property {string} hint
 */

/** @returns {Manager} */
function manager() {
  const { uid, username } = userInfo();
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

/** @param {string} home @returns {Promise<any>} what the gateway says of itself, or undefined */
const answers = (home) =>
  connect(home)
    .then((link) => link.call("status", {}).finally(link.close))
    .then(
      ({ out }) => out,
      () => undefined,
    );

/** @param {import("./verbs.mjs").Context} context */
export async function install({ home, json }) {
  await (await import("./build.mjs")).prepare();
  const { file, text, start, hint } = manager();
  const argv = [pinnedNode(), join(root, "gateway/bin/kith.mjs"), "up"];
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text({ argv, home }), { mode: 0o600 });
  for (const command of start) await run(command);
  const until = Date.now() + READY_MS;
  let status = await answers(home);
  while (!status && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    status = await answers(home);
  }
  if (!status)
    throw new Failure(
      "service-unavailable",
      `it was started and does not answer; its home is ${home}`,
    );
  const out = { ok: true, file, pid: status.pid, listen: status.listen };
  line(json ? toJson(out) : `Kith runs (process ${status.pid}) and starts by itself. ${hint}`);
}

/** @param {import("./verbs.mjs").Context} context */
export async function status({ home, json }) {
  const { file, state } = manager();
  const installed = process.platform === "win32" || existsSync(file);
  const active =
    installed &&
    (await run(state).then(
      () => true,
      () => false,
    ));
  const gateway = await answers(home);
  if (json) return line(toJson({ ok: true, installed, active, answers: Boolean(gateway), file }));
  line(
    `${!installed ? "Not installed" : active ? "Installed and running" : "Installed, not running"}; the gateway ${gateway ? `answers (process ${gateway.pid})` : "does not answer"}.`,
  );
}

/** @param {import("./verbs.mjs").Context} context */
export async function uninstall({ json }) {
  const { file, stop } = manager();
  // What does not run cannot be stopped; what matters is that nothing starts it again.
  for (const command of stop) await run(command).catch(() => {});
  rmSync(file, { force: true });
  line(
    json ? toJson({ ok: true, file }) : "Kith does not start by itself any more. Its home stays.",
  );
}
