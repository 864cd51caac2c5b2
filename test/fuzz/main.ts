/**
 * `npm run fuzz`: whatever a stranger, a peer or a file may say. What must hold stands at the
 * head of each file of this folder.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Report } from "../report/report.ts";
import { configFile } from "./config.ts";
import { controlSocket } from "./control.ts";
import { frames } from "./frames.ts";
import { grinding } from "./grinding.ts";
import { handshakes, swapped } from "./handshakes.ts";

const HELP = `npm run fuzz -- [--seconds S] [--seed N] [--json]

Feeds nearly right input to everything that listens. Without --seconds the full set runs
(10,000 frames bent in structure and 200,000 with other bytes at each end, some minutes).

Examples
  npm run fuzz -- --seconds 20
  npm run fuzz -- --seconds 60 --seed 7 --json
`;

let values;
try {
  ({ values } = parseArgs({
    options: {
      seconds: { type: "string" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  }));
  for (const [name, text] of [
    ["seconds", values.seconds ?? "1"],
    ["seed", values.seed],
  ])
    if (!(Number(text) > 0)) throw new RangeError(`--${name} takes a number above 0`);
} catch (why) {
  process.stderr.write(`${why instanceof Error ? why.message : String(why)}\n\n${HELP}`);
  process.exit(2);
}
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const report = new Report({ json: values.json });
let stray = 0;
for (const event of ["uncaughtException", "unhandledRejection"] as const)
  process.on(event, (why) => {
    stray++;
    report.problem(`${event}: ${why instanceof Error ? (why.stack ?? why.message) : String(why)}`);
  });

const seed = Number(values.seed);
const seconds = values.seconds === undefined ? Infinity : Number(values.seconds);
const until = (share: number) => performance.now() + seconds * 1_000 * share;
const full = seconds === Infinity;

await frames(report, {
  structured: 10_000,
  mutated: 200_000,
  seed,
  until: full ? performance.now() + 600_000 : until(0.4),
});
await handshakes(report, { times: 200, until: until(0.1) });
await swapped(report, { times: full ? 10_000 : 200, until: until(0.15) });
grinding(report, { seed, days: full ? 30 : 3 });
await controlSocket(report, { times: full ? 20_000 : 2_000, seed, until: until(0.15) });
configFile(report, { times: full ? 20_000 : 2_000, seed, until: until(0.1) });
report.figure("fuzz.stray", stray, { unit: "errors", goal: { op: "==", value: 0 } });
report.end();
