/**
 * `npm run faults`: real processes under real faults. Each part is one file of this folder and
 * says for itself what must hold.
 */
import process from "node:process";
import { chosen, readOptions } from "../report/options.ts";
import { Report } from "../report/report.ts";
import { runParts } from "../report/run-parts.ts";
import { PARTS } from "./parts.ts";

const HELP = `npm run faults -- [--quick] [--only PART[,PART]] [--json]

Kills, freezes, starves and damages real gateways and node-agents, and counts what was lost or
done twice: both must be nothing. --quick is the small set of CI. What needs root or a program
that is not here is skipped, with the reason.

Parts: ${PARTS.map(({ name }) => name).join(", ")}

Examples
  npm run faults -- --quick
  npm run faults -- --only sweep --json
`;

const options = readOptions(HELP, {
  quick: { type: "boolean", default: false },
  only: { type: "string" },
});
const report = new Report(options);
// The small set is judged by nobody's time, and most of it is waiting.
const lanes = options.quick ? 2 : 1;
const parts = chosen(PARTS, options.only, HELP);
await runParts(report, parts, (part) => part.run(report, options), lanes);
report.end();
// Sockets of killed processes may keep us; what was printed is let out first.
process.stdout.write("", () => process.exit());
