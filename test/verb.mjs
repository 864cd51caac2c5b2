// @ts-check
/**
 * `node test/verb.mjs ENTRY [arguments]`: installs and builds what is missing, then runs a
 * TypeScript entry of this folder on the pinned Node. `npm run sim`, `faults`, `fuzz` and
 * `bench` come through here.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { prepare } from "../gateway/bin/build.mjs";
import { pinnedNode, root } from "../gateway/bin/install.mjs";
import { fail } from "../gateway/bin/print.mjs";

const [entry = "", ...args] = process.argv.slice(2);
try {
  await prepare({ dev: true });
  const child = spawn(pinnedNode(), ["--expose-gc", join(root, "test", entry), ...args], {
    stdio: "inherit",
  });
  // Ctrl-C reaches the child by the terminal; what was sent to us alone is passed on.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.exitCode = await new Promise((resolve) => {
    child.once("close", (code) => resolve(code ?? 1));
  });
} catch (why) {
  process.exitCode = fail(why, args.includes("--json"));
}
