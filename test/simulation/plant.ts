/** Copies of the runtime with planted faults: used only here, never a setting that ships. */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Runtime } from "@kith/gateway/runtime/runtime";

/** `file` without its ending; `line` as it stands there, however it is broken. */
export type Patch = readonly [file: string, line: string, planted: string];

const RUNTIME = fileURLToPath(import.meta.resolve("@kith/gateway/runtime/runtime")).slice(
  0,
  -"runtime.ts".length,
);
/** Inside the workspace, so that a copy finds the packages. */
const COPIES = fileURLToPath(new URL(`.mutants/${process.pid}`, import.meta.url));

/** Finds code however it is broken into lines. */
function anywhere(line: string): RegExp {
  const words = line.match(/[\w$#]+|[^\s\w$#]/g) ?? [];
  const exact = words.map((word) =>
    /[\w#]/.test(word) ? word : `${")]}".includes(word) ? ",?\\s*" : ""}\\${word}`,
  );
  return new RegExp(exact.join("\\s*"), "g");
}

/**
 * Copies what the patches touch and what imports that; the rest is the real thing.
 * @throws Error for a line that is not there exactly once: then the mutant wants to be written anew
 */
export async function plant(name: string, patches: readonly Patch[]): Promise<typeof Runtime> {
  const names = readdirSync(RUNTIME).map((file) => file.slice(0, -3));
  const sources = new Map(
    names.map((file) => [file, readFileSync(join(RUNTIME, `${file}.ts`), "utf8")]),
  );
  for (const [file, line, planted] of patches) {
    const source = sources.get(file) ?? "";
    const place = anywhere(line);
    if (source.match(place)?.length !== 1)
      throw new Error(`${file}.ts does not have this line once, plant it anew: ${line}`);
    sources.set(
      file,
      source.replace(place, () => planted),
    );
  }
  const copied = new Set(["runtime", ...patches.map(([file]) => file)]);
  for (let before = 0; before < copied.size;) {
    before = copied.size;
    for (const [file, source] of sources) {
      if ([...copied].some((other) => source.includes(`from "./${other}.ts"`))) copied.add(file);
    }
  }
  const folder = join(COPIES, name);
  mkdirSync(folder, { recursive: true });
  for (const file of copied) {
    const source = (sources.get(file) ?? "").replaceAll(
      /from "\.\/([a-z]+)\.ts"/g,
      (same, other: string) => (copied.has(other) ? same : `from "@kith/gateway/runtime/${other}"`),
    );
    writeFileSync(join(folder, `${file}.ts`), source);
  }
  const made = (await import(/* @vite-ignore */ join(folder, "runtime.ts"))) as {
    Runtime: typeof Runtime;
  };
  return made.Runtime;
}

/** Takes all copies of this process away. */
export function uproot(): void {
  rmSync(COPIES, { recursive: true, force: true });
}
