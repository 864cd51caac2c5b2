// @ts-check
/** The verbs that act on this computer as a device: `node` is the node-agent, `lock` stops it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { connect, Failure, kithHome } from "./control.mjs";
import { root } from "./install.mjs";
import { line, toJson } from "./print.mjs";

/** Whether this computer has been made a device. @param {string} home */
export const isDevice = (home) => existsSync(join(home, "node", "node.json"));

/**
 * Hands the terminal and all arguments to the node-agent.
 * @param {string[]} argv
 */
export async function node(argv) {
  await (await import("./build.mjs")).prepare();
  const { launch } = await import("./processes.mjs");
  const env = { ...process.env, KITH_HOME: kithHome() };
  const { child, ended } = launch("node", argv, { stdio: "inherit", env });
  // We must not end before it does; a second SIGINT, from the terminal, changes nothing.
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => child.kill(signal));
  }
  const { code } = await ended;
  return code ?? 1;
}

/**
 * Locks at the gateway when it answers and at this device when there is one; each works without the other.
 * @param {import("./verbs.mjs").Context} context
 */
export async function lock({ home, json, flags }) {
  const lift = flags.lift === true;
  const here = isDevice(home);
  const [gateway, device] = await Promise.allSettled([
    connect(home).then((link) => link.call("lock", { lift }).finally(link.close)),
    here ? lockDevice(home, lift) : Promise.resolve(),
  ]);
  if (device.status === "rejected") throw device.reason;
  if (gateway.status === "rejected" && (gateway.reason.code !== "gateway-away" || !here))
    throw gateway.reason;

  const places = [gateway.status === "fulfilled" && "the gateway", here && "this device"].filter(
    Boolean,
  );
  if (json)
    line(
      toJson({ ok: true, locked: !lift, gateway: gateway.status === "fulfilled", device: here }),
    );
  else line(`${lift ? "The lock is lifted" : "Locked"}: ${places.join(" and ")}.`);
}

/** @param {string} home @param {boolean} lift */
async function lockDevice(home, lift) {
  // An older bundle locks as well as a new one, and sooner.
  if (!existsSync(join(root, "dist/kith-node.mjs"))) await (await import("./build.mjs")).prepare();
  const { launch } = await import("./processes.mjs");
  const { event, ended } = launch(
    "node",
    [lift ? "unlock" : "lock", "--home", join(home, "node"), "--json"],
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, KITH_HOME: home },
    },
  );
  const { code } = await ended;
  // A process that ended without saying why rejects here as well.
  if (code !== 0) await event("failed").then(({ error }) => Promise.reject(Failure.from(error)));
}
