/**
 * The first import of main.ts: an older Node lacks what the others need, and shall say so in a
 * sentence. This file itself runs on any that can load it.
 */
import process from "node:process";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 16)) {
  process.stderr.write(
    `kith node needs Node 24.16 or newer; this is ${process.versions.node} (${process.execPath}).\nInstall a newer one from https://nodejs.org, or start the agent with one that is there: /path/to/node kith-node.mjs\n`,
  );
  process.exit(1);
}
