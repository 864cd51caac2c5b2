/** The agent in one file, where the build put it: beside the gateway's own bundle. */
import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export const agentPath = fileURLToPath(new URL("kith-node.mjs", import.meta.url));

/** SHA-256 of what lies there now, hex; undefined where the gateway runs from its sources. */
export async function agentHash(): Promise<string | undefined> {
  const bytes = await readFile(agentPath).catch(() => undefined);
  return bytes && hash("sha256", bytes);
}
