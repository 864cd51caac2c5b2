/**
 * `npm run nightly`: every proof in its full set, one after the other; about an hour on two cores.
 * Its end is theirs together: all figures, all planted faults.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readOptions } from "./report/options.ts";
import { type Figure, type Planted, Report } from "./report/report.ts";

const HELP = `npm run nightly -- [--json]

The simulation with 10,000 seeds, its mutants five times each, every guard, all faults in full, the
full fuzzing, and the benchmarks. About an hour. The figures are those of docs/bench/README.md.

Example
  npm run nightly -- --json > nightly.json
`;

const PARTS: readonly (readonly string[])[] = [
  ["simulation/main.ts", "--seeds", "10000"],
  ["simulation/main.ts", "--mutants", "--times", "5", "--seeds", "500"],
  ["faults/main.ts"],
  ["fuzz/main.ts"],
  ["bench/main.ts"],
];

interface Found {
  readonly ok: boolean;
  readonly figures: readonly Figure[];
  readonly planted: readonly Planted[];
}

let running: ReturnType<typeof spawn> | undefined;
// Each command ends its own children, so it is asked to end.
process.on("exit", () => running?.kill("SIGTERM"));

/** What one command said on its last line; its own words for people pass through. */
async function run([entry = "", ...args]: readonly string[]): Promise<Found | undefined> {
  const script = fileURLToPath(new URL(entry, import.meta.url));
  const child = spawn(process.execPath, ["--expose-gc", script, ...args, "--json"], {
    stdio: ["inherit", "pipe", "inherit"],
  });
  running = child;
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  await new Promise((resolve) => child.once("close", resolve));
  try {
    return JSON.parse(out.trimEnd().split("\n").at(-1) ?? "") as Found;
  } catch {
    return undefined; // It died before its last line.
  }
}

const options = readOptions(HELP, {});
const report = new Report({ json: options.json, least: 0 }); // Each command has judged its own.
for (const part of PARTS) {
  const began = performance.now();
  report.say(`== ${part.join(" ")}`);
  const found = await run(part);
  if (!found) report.problem(`${part.join(" ")} ended without a result`);
  else {
    report.adopt(found.figures, found.planted);
    if (!found.ok) report.problem(`${part.join(" ")} is not ok`);
  }
  report.say(`== ${((performance.now() - began) / 60_000).toFixed(1)} min`);
}
report.end();
