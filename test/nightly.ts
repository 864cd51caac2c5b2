/**
 * `npm run nightly`: every proof in its full set, within an hour on two cores. Most faults are mostly
 * waiting, so they run beside what computes; what is judged by its time runs alone. Its end is theirs together: all figures, all
 * planted faults.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { PARTS } from "./faults/parts.ts";
import { readOptions } from "./report/options.ts";
import { type Figure, type Planted, Report } from "./report/report.ts";

const HELP = `npm run nightly -- [--json]

The simulation with 10,000 seeds (500 of the talks), its mutants five times each, every guard, all faults in full, the
full fuzzing, and the benchmarks, within an hour. The figures are those of docs/bench/README.md.

Example
  npm run nightly -- --json > nightly.json
`;

type Command = readonly [entry: string, ...args: string[]];

const faults = (which: "waits" | "computes" | "alone"): Command => {
  const kind = ({ alone, waits }: (typeof PARTS)[number]) =>
    alone ? "alone" : waits ? "waits" : "computes";
  const names = PARTS.filter((part) => kind(part) === which).map(({ name }) => name);
  return ["faults/main.ts", "--only", names.join(",")];
};

/** One after the other; the lanes of a stage run beside each other. */
const STAGES: readonly (readonly (readonly Command[])[])[] = [
  [
    [faults("waits")],
    [
      ["simulation/main.ts", "--seeds", "10000", "--beside"],
      ["simulation/main.ts", "--mutants", "--times", "5", "--seeds", "500"],
      ["fuzz/main.ts"],
      faults("computes"),
    ],
  ],
  [[faults("alone")]],
  [[["bench/main.ts"]]],
];

interface Found {
  readonly ok: boolean;
  readonly figures: readonly Figure[];
  readonly planted: readonly Planted[];
}

const running = new Set<ReturnType<typeof spawn>>();
// Each command ends its own children, so it is asked to end.
process.on("exit", () => {
  for (const child of running) child.kill("SIGTERM");
});

/** What one command said on its last line; its own words for people pass through. */
async function run([entry, ...args]: Command): Promise<Found | undefined> {
  const script = fileURLToPath(new URL(entry, import.meta.url));
  const child = spawn(process.execPath, ["--expose-gc", script, ...args, "--json"], {
    stdio: ["inherit", "pipe", "inherit"],
  });
  running.add(child);
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  await new Promise((resolve) => child.once("close", resolve));
  running.delete(child);
  try {
    return JSON.parse(out.trimEnd().split("\n").at(-1) ?? "") as Found;
  } catch {
    return undefined; // It died before its last line.
  }
}

const options = readOptions(HELP, {});
const report = new Report({ json: options.json, least: 0 }); // Each command has judged its own.
async function lane(commands: readonly Command[]): Promise<void> {
  for (const command of commands) {
    const name = command.join(" ");
    const began = performance.now();
    report.say(`== ${name}`);
    const found = await run(command);
    if (!found) report.problem(`${name} ended without a result`);
    else {
      report.adopt(found.figures, found.planted);
      if (!found.ok) report.problem(`${name} is not ok`);
    }
    report.say(`== ${name}: ${((performance.now() - began) / 60_000).toFixed(1)} min`);
  }
}
const began = performance.now();
for (const stage of STAGES) await Promise.all(stage.map(lane));
report.figure("nightly.minutes", (performance.now() - began) / 60_000, {
  unit: "min",
  goal: { op: "<=", value: 60 },
});
report.end();
