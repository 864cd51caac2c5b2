/**
 * Loader hooks of a simulating process. Import it before anything that it shall change.
 * - The agent's files are in memory, and it dials into the simulated network.
 * - `?plant=WORLD-N` behind a module's address loads it, and all it imports, anew with the lines of
 *   that world's N-th mutant changed. Only a test can do that: it is never a setting that ships.
 */
import { registerHooks } from "node:module";
import type { Kind, Mutant } from "./mutant.ts";
import { mutants } from "./mutants.ts";

const root = new URL("../../", import.meta.url).href;
const agent = `${root}node-agent/src/`;
const stands = new Map([
  ["node:fs", new URL("gateway/files.ts", import.meta.url).href],
  ["node:fs/promises", new URL("gateway/files.ts", import.meta.url).href],
  ["./reach.ts", new URL("gateway/reach.ts", import.meta.url).href],
]);

/** Finds code however it is broken into lines. */
function anywhere(line: string): RegExp {
  const words = line.match(/[\w$#]+|[^\s\w$#]/g) ?? [];
  const exact = words.map((word) =>
    /[\w#]/.test(word) ? word : `${")]}".includes(word) ? ",?\\s*" : ""}\\${word}`,
  );
  return new RegExp(exact.join("\\s*"), "g");
}

/** @throws Error for a line that is not there exactly once: then the mutant wants to be written anew */
function plant(source: string, file: string, { patches }: Mutant): string {
  let changed = source;
  for (const [where, line, instead] of patches) {
    if (where !== file) continue;
    const place = anywhere(line);
    if (changed.match(place)?.length !== 1)
      throw new Error(`${file} does not have this line once, plant it anew: ${line}`);
    changed = changed.replace(place, () => instead);
  }
  return changed;
}

registerHooks({
  resolve(specifier, context, next) {
    const [parent = "", query] = (context.parentURL ?? "").split("?");
    const standIn = parent.startsWith(agent) ? stands.get(specifier) : undefined;
    const found = standIn ? { url: standIn, shortCircuit: true } : next(specifier, context);
    const ours = found.url.startsWith(root) && !found.url.includes("/node_modules/");
    if (!query || !ours || found.url.includes("?")) return found;
    return { ...found, url: `${found.url}?${query}` };
  },
  load(url, context, next) {
    const loaded = next(url, context);
    const [address = "", which] = url.split("?plant=");
    const [kind, n] = which?.split("-") ?? [];
    const mutant = kind === undefined ? undefined : mutants[kind as Kind][Number(n)];
    if (!mutant || !address.startsWith(root)) return loaded;
    return { ...loaded, source: plant(String(loaded.source), address.slice(root.length), mutant) };
  },
});
