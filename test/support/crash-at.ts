/**
 * Loaded into gateway or node-agent with `node --import`; their workers load it too.
 *
 *   KITH_CRASH_AT=tl.send:2   SIGKILLs the own process at the second pass of that point
 *   KITH_CRASH_ARMED=FILE     passes count from the moment that this file exists
 *   KITH_CRASH_LOG=FILE       every point that is passed becomes a line of this file
 */
import { appendFileSync, existsSync } from "node:fs";

const { KITH_CRASH_AT = "", KITH_CRASH_ARMED, KITH_CRASH_LOG } = process.env;
const [, point, hit] = /^(.*):(\d+)$/.exec(KITH_CRASH_AT) ?? [];
let left = Number(hit);

(globalThis as { [key: symbol]: unknown })[Symbol.for("kith.crashpoint")] = (name: string) => {
  if (KITH_CRASH_ARMED !== undefined && !existsSync(KITH_CRASH_ARMED)) return;
  if (KITH_CRASH_LOG !== undefined) appendFileSync(KITH_CRASH_LOG, `${name}\n`);
  if (name !== point || --left !== 0) return;
  process.kill(process.pid, "SIGKILL");
  // In a worker the signal takes a moment, and nothing may be written in it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};
