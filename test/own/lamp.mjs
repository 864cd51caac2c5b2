/**
 * A capability of one's own: a lamp, which here is a file (CONTRIBUTING.md, "Your own capability").
 * Start it with `kith node --driver lamp.mjs --allow x.lamp.set=ask`.
 */
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const lamp = process.env.LAMP ?? join(tmpdir(), "lamp");

export default {
  name: "x.lamp.set",
  summary: "Turn the lamp of the named device on or off.",
  // The same twice is the same: a retry after a crash does no harm.
  effect: "idempotent",
  args: {
    type: "object",
    properties: {
      on: { type: "boolean" },
      percent: { type: "integer", minimum: 1, maximum: 100, default: 100 },
    },
    required: ["on"],
  },
  out: {
    type: "object",
    properties: { was: { type: "string", maxLength: 16 } },
    required: ["was"],
  },
  async run({ on, percent }) {
    const was = await readFile(lamp, "utf8").catch(() => "off");
    await writeFile(lamp, on ? `${percent} %` : "off");
    return { was };
  },
};
