/**
 * `npm run fuzz`: whatever a stranger, a peer or a file may say. What must hold stands at the
 * head of each file of this folder.
 */
import process from "node:process";
import { count, readOptions } from "../report/options.ts";
import { Report } from "../report/report.ts";
import { configFile } from "./config.ts";
import { controlSocket } from "./control.ts";
import { frames } from "./frames.ts";
import { grinding } from "./grinding.ts";
import { handshakes, swapped, tickets } from "./handshakes.ts";
import { oversize } from "./oversize.ts";

const HELP = `npm run fuzz -- [--seconds S] [--seed N] [--json]

Feeds nearly right input to everything that listens. Without --seconds the full set runs
(10,000 frames bent in structure and 200,000 with other bytes at each end, some minutes).

Examples
  npm run fuzz -- --seconds 20
  npm run fuzz -- --seconds 60 --seed 7 --json
`;

const options = readOptions(HELP, {
  seconds: { type: "string" },
  seed: { type: "string", default: "1" },
});
const seed = count("seed", options.seed, HELP);
const seconds = options.seconds === undefined ? Infinity : count("seconds", options.seconds, HELP);
const report = new Report(options);
let stray = 0;
for (const event of ["uncaughtException", "unhandledRejection"] as const)
  process.on(event, (why) => {
    stray++;
    report.problem(`${event}: ${why instanceof Error ? (why.stack ?? why.message) : String(why)}`);
  });

const until = (share: number) => performance.now() + seconds * 1_000 * share;
const full = seconds === Infinity;

await frames(report, {
  structured: 10_000,
  mutated: 200_000,
  seed,
  until: full ? performance.now() + 600_000 : until(0.4),
});
await oversize(report);
await handshakes(report, { times: 200, until: until(0.1) });
await swapped(report, { times: full ? 10_000 : 200, until: until(0.15) });
await tickets(report, { times: full ? 4_000 : 200, until: until(0.1) });
grinding(report, { seed, days: full ? 30 : 3 });
await controlSocket(report, { times: full ? 20_000 : 2_000, seed, until: until(0.15) });
configFile(report, { times: full ? 20_000 : 2_000, seed, until: until(0.1) });
report.figure("fuzz.stray", stray, { unit: "errors", goal: { op: "==", value: 0 } });
report.end();
