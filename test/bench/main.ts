/**
 * `npm run bench`: what Kith costs, each figure beside its physical limit in the same run, in
 * interleaved rounds, as medians. docs/bench/README.md says what each one means.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../gateway/bin/install.mjs";
import { assistant } from "./assistant.ts";
import { chosen, readOptions } from "../report/options.ts";
import { Report } from "../report/report.ts";
import { runParts } from "../report/run-parts.ts";
import { invoke } from "./invoke.ts";
import { memory } from "./memory.ts";
import type { BenchPart } from "./part.ts";
import { plot } from "./plot.ts";
import { recovery } from "./recovery.ts";
import { scale } from "./scale.ts";
import { start } from "./start.ts";
import { transfer } from "./transfer.ts";
import { turns } from "./turns.ts";
import { wake } from "./wake.ts";

const PARTS: readonly BenchPart[] = [
  invoke,
  transfer,
  start,
  memory,
  scale,
  wake,
  recovery,
  turns,
  assistant,
];

const HELP = `npm run bench -- [--only PART[,PART]] [--json] [--plot]

Measures Kith beside the physical limits of this machine: a bare relay, one fsync, node -e 0.
--plot also draws what was measured as SVG into docs/bench/.

Parts: ${PARTS.map(({ name }) => name).join(", ")}

Examples
  npm run bench -- --only invoke
  npm run bench -- --json --plot
`;

const options = readOptions(HELP, {
  plot: { type: "boolean", default: false },
  only: { type: "string" },
});
const report = new Report(options);
await runParts(report, chosen(PARTS, options.only, HELP), async (part) => {
  const before = report.figures.length;
  await part.run(report);
  if (!options.plot) return;
  const file = join(root, "docs", "bench", `${part.name}.svg`);
  writeFileSync(file, plot(`${part.name}: ${part.title}`, report.figures.slice(before)));
  report.say(`drawn: ${file}`);
});
report.end();
