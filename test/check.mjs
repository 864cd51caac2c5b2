// @ts-check
/**
 * `npm run check`: what every commit must pass, quick enough that nobody skips it. Format, lint
 * (with import cycles and directions), types for Node and for browsers, dead code, unit tests.
 * `npm run check -- --no-tests` leaves the last out; `--fix` mends what can be mended first.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { prepare } from "../gateway/bin/build.mjs";
import { pinnedNode, root } from "../gateway/bin/install.mjs";

const args = new Set(process.argv.slice(2));
await prepare({ dev: true });

const node = pinnedNode();
const bin = (/** @type {string} */ path) => `${root}/node_modules/${path}`;

/** @type {[title: string, script: string, ...args: string[]][]} */
const steps = [
  ["format", bin("oxfmt/bin/oxfmt"), ...(args.has("--fix") ? [] : ["--check"]), "."],
  ["lint", bin("oxlint/bin/oxlint"), "--type-aware", ...(args.has("--fix") ? ["--fix"] : [])],
  ["types", bin("typescript/bin/tsc"), "-p", "tsconfig.json"],
  ["types in a browser", bin("typescript/bin/tsc"), "-p", "shared/tsconfig.json"],
  ["dead code", bin("knip/bin/knip.js")],
];
if (!args.has("--no-tests"))
  steps.push([
    "unit tests",
    bin("vitest/vitest.mjs"),
    "run",
    "--project",
    "unit",
    "--reporter",
    "dot",
  ]);

let failed = 0;
for (const [title, script, ...rest] of steps) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(node, [script, ...rest], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${title} (${seconds} s)`);
  if (status !== 0) {
    failed++;
    console.log(`${stdout}${stderr}`.trimEnd());
  }
}
process.exitCode = failed > 0 ? 1 : 0;
