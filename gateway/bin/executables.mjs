// @ts-check
/**
 * `npm run build -- --executables [SYSTEM,...|all]`: the node-agent and Node in one file each, by Node's own
 * single-executable build, for machines that have no Node. Without a name, for this system.
 *
 *   dist/kith-node.mjs ─┬─► node --build-sea ─► dist/executables/kith-node-SYSTEM
 *   Node of that system ┘   (of another system: fetched as the npm package that the lock file names)
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Failure } from "./control.mjs";
import { NODE_PACKAGES, pinnedNode, root } from "./install.mjs";
import { line, toJson } from "./print.mjs";

const folder = join(root, "dist/executables");
const here = `${process.platform}-${process.arch}`;

/** Where the executable of a system lies. @param {string} system such as `linux-x64` */
export const executableOf = (system = here) =>
  join(folder, `kith-node-${system}${system.startsWith("win32") ? ".exe" : ""}`);

/** @param {string[]} wanted @param {boolean} json */
export function executables(wanted, json) {
  const known = Object.keys(NODE_PACKAGES);
  const systems = wanted.length === 0 ? [here] : wanted.includes("all") ? known : wanted;
  const odd = systems.find((system) => !known.includes(system));
  if (odd !== undefined)
    throw new Failure(
      "usage",
      `there is no Node for ${odd}`,
      `There is one for ${known.join(", ")}.`,
    );
  const made = systems.map((system) => {
    const file = make(system);
    const { size } = statSync(file);
    if (!json)
      line(
        `${file}  ${(size / 1e6).toFixed(0)} MB${system === here ? "" : "  (not run here)"}${hint(system)}`,
      );
    return { system, file, size };
  });
  if (json) line(toJson({ ok: true, executables: made }));
}

/** What must still be done before that system starts it. @param {string} system */
const hint = (system) =>
  system.startsWith("darwin") ? "  sign it on a Mac first: codesign --sign - FILE" : "";

/** @param {string} system */
function make(system) {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "kith-executable-"));
  try {
    const output = executableOf(system);
    const config = join(work, "sea.json");
    const settings = {
      main: join(root, "dist/kith-node.mjs"),
      mainFormat: "module",
      output,
      executable: system === here ? pinnedNode() : fetched(system, work),
      disableExperimentalSEAWarning: true,
    };
    writeFileSync(config, JSON.stringify(settings));
    execFileSync(pinnedNode(), ["--build-sea", config], { stdio: ["ignore", "ignore", "pipe"] });
    chmodSync(output, 0o755);
    return output;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Node for another system. @param {string} system @param {string} work */
function fetched(system, work) {
  const name = NODE_PACKAGES[system] ?? "";
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const asked = `${name}@${optionalDependencies[name]}`;
  process.stderr.write(`Fetching ${asked} ...\n`);
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const tarball = execFileSync(npm, ["pack", asked, "--silent", "--pack-destination", work], {
    encoding: "utf8",
  }).trim();
  execFileSync("tar", ["-xzf", join(work, tarball), "-C", work]);
  const node = join(work, "package", system.startsWith("win32") ? "bin/node.exe" : "bin/node");
  if (!existsSync(node)) throw new Failure("internal", `${asked} holds no ${node}`);
  return node;
}
