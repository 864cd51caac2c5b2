/**
 * The product with lines of it replaced, bundled into a folder of its own: a device that does
 * something which must not happen twice, and the mutants that the faults must catch. Used only
 * here; nothing of it is a setting that ships.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";
import { freshFolder, root } from "../support/home.ts";

/** `line` must stand in the file exactly once: one that is gone wants to be written anew. */
export type Patch = readonly [file: string, line: string, planted: string];

/**
 * `device.info` becomes an act that must not be repeated: each run appends its call's id to the
 * file that KITH_TEST_RUNS names, and takes a little while.
 */
export const ONCE: readonly Patch[] = [
  [
    "shared/src/capabilities/device.ts",
    `summary: "Tell what the named device is: system, processor, memory.",
  effect: "read",`,
    `summary: "Tell what the named device is: system, processor, memory.",
  effect: "once",`,
  ],
  [
    "node-agent/src/drive.ts",
    "started(driver, args, tools)",
    "started(driver, args, Object.assign(tools, { call: invoke.call }) as never)",
  ],
  [
    "node-agent/src/drivers/device/device.ts",
    `      run: () =>
        Promise.resolve({
          os: tame(osName(), 32),`,
    `      run: (_: unknown, { call }: any) =>
        (async (out: any) => {
          (await import("node:fs")).appendFileSync(process.env.KITH_TEST_RUNS ?? "", call + "\\n");
          const ms = Number(process.env.KITH_TEST_RUN_MS ?? 20);
          await new Promise((resolve) => setTimeout(resolve, ms));
          return out;
        })({
          os: tame(osName(), 32),`,
  ],
];

/** Where each program of the product begins. */
const ENTRIES = {
  gateway: "gateway/src/main.ts",
  writer: "gateway/src/store/writer.ts",
  "decode.child": "gateway/src/pictures/decode.child.ts",
  "kith-node": "node-agent/src/main.ts",
  // Not programs: for whoever runs a gateway, or opens a home, inside another process.
  assembly: "gateway/src/gateway.ts",
  store: "gateway/src/store/store.ts",
};

/** Returns the folder of the bundles. @throws when a line is not there exactly once */
export async function assemble(patches: readonly Patch[]): Promise<string> {
  const texts = new Map<string, string>();
  for (const [file, line, planted] of patches) {
    const path = join(root, file);
    const text = texts.get(path) ?? readFileSync(path, "utf8");
    if (text.split(line).length !== 2) throw new Error(`${file} does not say once: ${line}`);
    texts.set(
      path,
      text.replace(line, () => planted),
    );
  }
  // Below dist, as the bundles of the product: what is not bundled is found from there.
  mkdirSync(join(root, "dist"), { recursive: true });
  const outdir = freshFolder(undefined, join(root, "dist"));
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: ENTRIES,
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    external: ["sharp", "msgpackr-extract", "bufferutil", "utf-8-validate"],
    banner: {
      js: 'import { createRequire as kithRequire } from "node:module"; const require = kithRequire(import.meta.url);',
    },
    logLevel: "silent",
    plugins: [
      {
        name: "planted",
        setup({ onLoad }) {
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const contents = texts.get(path);
            return contents === undefined ? undefined : { contents, loader: "ts" };
          });
        },
      },
    ],
  });
  return outdir;
}
