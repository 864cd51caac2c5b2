// @ts-check
/** Gateway and node-agent as child processes: started on the pinned Node, heard through JSON lines, ended. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Failure } from "./control.mjs";
import { pinnedNode, root } from "./install.mjs";

const FILES = { gateway: "gateway.mjs", node: "kith-node.mjs" };
/** A gateway that is told SIGINT drains for 1.5 s. */
const GRACE_MS = 1_800;

/** @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

/** @typedef {ReturnType<typeof launch>} Launched */

/**
 * @param {"gateway" | "node"} name
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, stdio?: import("node:child_process").StdioOptions,
 *   onEvent?: (event: any) => void }} [how]
 */
export function launch(
  name,
  args,
  { env = process.env, stdio = ["pipe", "pipe", "inherit"], onEvent } = {},
) {
  const child = spawn(pinnedNode(), [join(root, "dist", FILES[name]), ...args], { env, stdio });
  children.add(child);
  /** @type {any[]} */
  const events = [];
  /** @type {Set<() => void>} */
  const waiting = new Set();
  /** @type {{ code: number | null, signal: string | null } | undefined} */
  let end;
  const wake = () => waiting.forEach((look) => look());

  child.stdin?.on("error", () => {}); // It ended first; `ended` tells.
  const lines = child.stdout && createInterface({ input: child.stdout });
  lines?.on("error", () => {}); // Here too.
  lines?.on("line", (line) => {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      return; // Only events are for us.
    }
    if (typeof event?.event !== "string") return;
    events.push(event);
    onEvent?.(event);
    wake();
  });
  /** @type {Promise<{ code: number | null, signal: string | null }>} */
  const ended = new Promise((resolve) => {
    const over = (/** @type {number | null} */ code, /** @type {string | null} */ signal) => {
      children.delete(child);
      end = { code, signal };
      resolve(end);
      wake();
    };
    child.once("error", () => over(1, null));
    child.once("close", over);
  });

  /**
   * The first event that fits, or the failure with which the process ended before it came.
   * @param {string} wanted
   * @param {(event: any) => boolean} [fits]
   * @returns {Promise<any>}
   */
  const event = (wanted, fits = () => true) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const found = events.find((event) => event.event === wanted && fits(event));
        const failed = events.find((event) => event.event === "failed");
        if (!found && !failed && !end) return;
        waiting.delete(look);
        if (found) resolve(found);
        else if (failed) reject(Failure.from(failed.error));
        else reject(new Failure("internal", `ended (${end?.signal ?? end?.code})`));
      };
      waiting.add(look);
      look();
    });

  return { name, child, ended, event };
}

/**
 * Ends processes: politely, then not.
 * @param {(Launched | undefined)[]} launched
 */
export async function stop(launched) {
  const running = launched.filter((one) => one !== undefined);
  for (const { child } of running) child.kill("SIGINT");
  const force = setTimeout(() => running.forEach(({ child }) => child.kill("SIGKILL")), GRACE_MS);
  await Promise.all(running.map(({ ended }) => ended));
  clearTimeout(force);
}
