/**
 * A whole gateway whose clock does as it is told on standard input: `jump MS` sets the wall clock,
 * `pass MS` lets time go by on both. KITH_CLOCK_OFFSET: how far it is off at the start.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { startGateway as Start } from "@kith/gateway/gateway";
import { type Clock, systemClock } from "@kith/shared/clock";

const { values } = parseArgs({ options: { home: { type: "string", default: "" } } });
/** KITH_ASSEMBLY: another build of the gateway. */
const { startGateway } = (await import(
  process.env["KITH_ASSEMBLY"] ?? "@kith/gateway/gateway"
)) as {
  startGateway: typeof Start;
};
const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

let offset = Number(process.env["KITH_CLOCK_OFFSET"] ?? 0);
let passed = 0;
const clock: Clock = {
  now: () => systemClock.now() + offset + passed,
  mono: () => systemClock.mono() + passed,
  after: systemClock.after,
};
await startGateway({
  home: values.home,
  clock,
  fatal(why) {
    say({ event: "failed", why: String(why) });
    process.exit(70);
  },
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const [what, ms] = line.split(" ");
  if (what === "jump") offset += Number(ms);
  else passed += Number(ms);
  say({ event: "moved", what });
});
say({ event: "ready" });
