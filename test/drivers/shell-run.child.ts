/** An agent's process of its own, for tests that end it: `FOLDER WORDS…` runs the words in the sandbox. */
import { shell } from "@kith/node-agent/drivers/shell/run";
import { runShell } from "./shell-world.ts";

const [path = "", ...argv] = process.argv.slice(2);
const closed = { home: "/nobody's home", own: [] };
const { stdout } = await runShell(shell({ roots: new Map([["work", path]]), closed }), { argv });
process.stdout.write(stdout);
