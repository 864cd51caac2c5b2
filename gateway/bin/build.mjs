// @ts-check
/**
 * Bundles gateway and node-agent into dist/, once per state of the sources: starting 150 files
 * one by one costs a second, a bundle a tenth of it. dist/stamp.json holds the state it was built from.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { Failure } from "./control.mjs";
import { install, root } from "./install.mjs";

const dist = join(root, "dist");
const stampFile = join(dist, "stamp.json");

const ENTRIES = {
  gateway: "gateway/src/main.ts",
  writer: "gateway/src/store/writer.ts",
  "decode.child": "gateway/src/pictures/decode.child.ts",
  "readable.child": "gateway/src/web/readable.child.ts",
};
/** Loaded when a model is configured that needs one, or when a page is read. Nothing of ours is in them, so they are built anew only with the lock file. */
const SDKS = /** @type {Record<string, string>} */ ({
  "sdk.anthropic": "@anthropic-ai/sdk",
  "sdk.openai": "openai",
  "sdk.linkedom": "linkedom",
  "sdk.readability": "@mozilla/readability",
});
/** The whole agent in one file, which runs without anything beside it. */
const AGENT = { "kith-node": "node-agent/src/main.ts" };

const SOURCES = [
  "shared/src",
  "gateway/src",
  "node-agent/src",
  "package-lock.json",
  "gateway/bin/build.mjs",
];

const SDK_SOURCES = ["package-lock.json", "gateway/bin/build.mjs"];

/** Path, size and time of everything that goes into a bundle. @param {string[]} sources */
function state(sources) {
  const hash = createHash("sha256");
  const add = (/** @type {string} */ path) => {
    const found = statSync(join(root, path));
    if (!found.isDirectory()) return hash.update(`${path}\0${found.size}\0${found.mtimeMs}\n`);
    for (const name of readdirSync(join(root, path)).toSorted()) add(`${path}/${name}`);
  };
  for (const path of sources) add(path);
  return hash.digest("hex");
}

/** @returns {{ state?: string, sdks?: string }} */
function stamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8")) ?? {};
  } catch {
    return {}; // No stamp, or half of one.
  }
}

const exist = (/** @type {Record<string, string>} */ entries) =>
  Object.keys(entries).every((name) => existsSync(join(dist, `${name}.mjs`)));

/** @type {import("esbuild").Plugin} Where the sources `import()` an SDK, a bundle does so from the file beside it. */
const lazySdks = {
  name: "lazy SDKs",
  setup({ onResolve }) {
    onResolve({ filter: /^[@a-z]/ }, ({ path, kind }) => {
      const file = Object.keys(SDKS).find((name) => SDKS[name] === path);
      return kind === "dynamic-import" && file
        ? { path: `./${file}.mjs`, external: true }
        : undefined;
    });
  },
};

/** Builds when a source changed. @returns {Promise<number>} milliseconds, 0 when nothing was to do */
export async function build() {
  const now = { state: state(SOURCES), sdks: state(SDK_SOURCES) };
  const last = stamp();
  const hasSdks = last.sdks === now.sdks && exist(SDKS);
  if (hasSdks && last.state === now.state && exist({ ...ENTRIES, ...AGENT })) return 0;
  const began = performance.now();
  const esbuild = await import("esbuild");
  const bundle = (
    /** @type {Record<string, string>} */ entryPoints,
    /** @type {string} */ target,
  ) =>
    esbuild.build({
      absWorkingDir: root,
      entryPoints,
      outdir: dist,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      write: false,
      platform: "node",
      format: "esm",
      target,
      // Native or optional: found beside the bundle in node_modules, or done without.
      external: ["sharp", "msgpackr-extract", "utf-8-validate", "@lydell/node-pty"],
      plugins: [lazySdks],
      alias: { bufferutil: join(root, "shared/src/websocket-mask.ts") },
      // ws is CommonJS and requires Node's own modules, which an ES module has no `require` for.
      banner: {
        js: 'import { createRequire as kithRequire } from "node:module"; const require = kithRequire(import.meta.url);',
      },
      logLevel: "silent",
    });
  // Whoever starts the agent on a Node that is too old shall read so, not a syntax error.
  const built = await Promise.all([
    bundle({ ...ENTRIES, ...(hasSdks ? {} : SDKS) }, "node24"),
    bundle(AGENT, "node20"),
  ])
    .catch((why) => {
      const [first] = why.errors ?? [];
      const where = first?.location ? `${first.location.file}:${first.location.line}: ` : "";
      throw new Failure("internal", `the build failed: ${where}${first?.text ?? why.message}`);
    })
    // Its service would stay as a child for as long as we run.
    .finally(() => void esbuild.stop());
  mkdirSync(dist, { recursive: true });
  for (const { path, contents } of built.flatMap(({ outputFiles }) => outputFiles ?? []))
    replace(path, contents);
  replace(stampFile, `${JSON.stringify(now)}\n`); // Last: a stamp says that all the rest is there.
  return Math.max(1, Math.round(performance.now() - began));
}

/** Two builds at once must not mix their halves. @param {string} path @param {string | Uint8Array} contents */
function replace(path, contents) {
  writeFileSync(`${path}.${process.pid}`, contents);
  renameSync(`${path}.${process.pid}`, path);
}

/** Everything that starting a process needs. Says what takes time, on standard error. @param {{ dev?: boolean }} [how] */
export async function prepare(how) {
  await install(how);
  const ms = await build();
  if (ms > 0) process.stderr.write(`Built in ${ms} ms.\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { fail } = await import("./print.mjs");
  const [what, systems = "", ...rest] = process.argv.slice(2).filter((one) => one !== "--json");
  const json = process.argv.includes("--json");
  try {
    await prepare();
    if (what === "--executables" && rest.length === 0)
      (await import("./executables.mjs")).executables(systems.split(",").filter(Boolean), json);
    else if (what !== undefined)
      throw new Failure("usage", "build takes --executables [SYSTEM,...|all] and --json");
  } catch (why) {
    process.exitCode = fail(why, json);
  }
}
