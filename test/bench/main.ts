/**
 * `npm run bench`: what Kith costs, each figure beside its physical limit in the same run, in
 * interleaved rounds, as medians. docs/bench/README.md says what each one means.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Report } from "../report/report.ts";
import { invoke } from "./invoke.ts";
import type { BenchPart } from "./part.ts";
import { recovery } from "./recovery.ts";
import { scale } from "./scale.ts";
import { turns } from "./turns.ts";
import { wake } from "./wake.ts";

const PARTS: readonly BenchPart[] = [invoke, scale, wake, recovery, turns];

const HELP = `npm run bench -- [--only PART[,PART]] [--json] [--plot]

Measures Kith beside the physical limits of this machine: a bare relay, one fsync, node -e 0.
--plot also draws what was measured as SVG into docs/bench/.

Parts: ${PARTS.map(({ name }) => name).join(", ")}

Examples
  npm run bench -- --only invoke
  npm run bench -- --json --plot
`;

let values;
try {
  ({ values } = parseArgs({
    options: {
      plot: { type: "boolean", default: false },
      only: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  }));
} catch (why) {
  process.stderr.write(`${why instanceof Error ? why.message : String(why)}\n\n${HELP}`);
  process.exit(2);
}
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const { json } = values;
const only = values.only?.split(",") ?? PARTS.map(({ name }) => name);
const strange = only.filter((name) => !PARTS.some((part) => part.name === name));
if (strange.length > 0) {
  process.stderr.write(`There is no part ${strange.join(", ")}.\n\n${HELP}`);
  process.exit(2);
}

const report = new Report({ json });
for (const part of PARTS) {
  if (!only.includes(part.name)) continue;
  const began = performance.now();
  report.say(`${part.name}: ${part.title}`);
  try {
    await part.run(report);
  } catch (why) {
    report.problem(
      `${part.name}: ${why instanceof Error ? (why.stack ?? why.message) : String(why)}`,
    );
  }
  report.say(`${part.name}: ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}
report.end();
