/**
 * `npm run faults`: real processes under real faults. Each part is one file of this folder and
 * says for itself what must hold.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Report } from "../report/report.ts";
import { damage } from "./damage.ts";
import { kills } from "./kills.ts";
import { frozen, halfOpen } from "./links.ts";
import { lies } from "./lies.ts";
import type { FaultPart } from "./part.ts";

const PARTS: readonly FaultPart[] = [kills, frozen, halfOpen, damage, lies];

const HELP = `npm run faults -- [--quick] [--only PART[,PART]] [--json]

Kills, freezes, starves and damages real gateways and node-agents, and counts what was lost or
done twice: both must be nothing. --quick is the small set of CI. What needs root or a program
that is not here is skipped, with the reason.

Parts: ${PARTS.map(({ name }) => name).join(", ")}

Examples
  npm run faults -- --quick
  npm run faults -- --only sweep --json
`;

let values;
try {
  ({ values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
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
const { quick, json } = values;
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
    await part.run(report, { quick });
  } catch (why) {
    report.problem(
      `${part.name}: ${why instanceof Error ? (why.stack ?? why.message) : String(why)}`,
    );
  }
  report.say(`${part.name}: ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}
report.end();
process.exit();
