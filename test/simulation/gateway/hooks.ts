/**
 * Loader hooks of the gateway's world. Import it before anything else of that world:
 * - the agent's files are in memory, and it dials into the simulated network;
 * - `?plant=N` behind a module's address loads it, and all it imports, anew with the N-th mutant's
 *   lines changed.
 */
import { registerHooks } from "node:module";
import { mutants } from "./mutants.ts";

const root = new URL("../../../", import.meta.url).href;
const agent = `${root}node-agent/src/`;
const stands = new Map([
  ["node:fs", new URL("files.ts", import.meta.url).href],
  ["node:fs/promises", new URL("files.ts", import.meta.url).href],
  ["./reach.ts", new URL("reach.ts", import.meta.url).href],
]);

registerHooks({
  resolve(specifier, context, next) {
    const [parent = "", plant] = (context.parentURL ?? "").split("?");
    const standIn = parent.startsWith(agent) ? stands.get(specifier) : undefined;
    const found = standIn ? { url: standIn, shortCircuit: true } : next(specifier, context);
    const ours = found.url.startsWith(root) && !found.url.includes("/node_modules/");
    if (!plant || !ours || found.url.includes("?")) return found;
    return { ...found, url: `${found.url}?${plant}` };
  },
  load(url, context, next) {
    const loaded = next(url, context);
    const [address = "", plant] = url.split("?plant=");
    if (plant === undefined) return loaded;
    let source = String(loaded.source);
    for (const [file, line, planted] of mutants[Number(plant)]?.patches ?? []) {
      if (address !== `${root}${file}`) continue;
      if (source.split(line).length !== 2)
        throw new Error(`${file} does not say once, plant it anew: ${line}`);
      source = source.replace(line, () => planted);
    }
    return { ...loaded, source };
  },
});
