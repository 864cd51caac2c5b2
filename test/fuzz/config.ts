/** A config file with other bytes: it is read, or refused with its own code. Nothing else may happen. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "@kith/gateway/config";
import { KithError } from "@kith/shared/errors";
import type { Report } from "../report/report.ts";
import { random } from "./random.ts";
import { mangled } from "./samples.ts";

const SEEDS = [
  "name: kith\nlisten: 127.0.0.1:5484\n",
  "# mine\nlisten:\n  - 127.0.0.1\n  - '[fd7a::1]:1'\nname: Büro\n",
  "a: &a [x,x]\nb: &b [*a,*a]\nname: *b\n",
  "name: !!js/function 'x'\n<<: {listen: 1}\n",
];

export function configFile(
  report: Report,
  { times, seed, until }: { times: number; seed: number; until: number },
) {
  const home = mkdtempSync(join(tmpdir(), "kith-fuzz-"));
  const chance = random(seed);
  const done = { read: 0, refused: 0, escaped: 0 };
  for (let n = 0; n < times && performance.now() < until; n++) {
    writeFileSync(join(home, "config.yaml"), mangled(Buffer.from(chance.pick(SEEDS)), chance));
    try {
      readConfig(home);
      done.read++;
    } catch (why) {
      if (why instanceof KithError && why.code === "config-invalid") done.refused++;
      else {
        done.escaped++;
        report.problem(`config: ${String(why)}`);
      }
    }
  }
  rmSync(home, { recursive: true });
  report.figure("fuzz.config.files", done.read + done.refused, { unit: "files" });
  report.figure("fuzz.config.refused", done.refused, {
    unit: "files",
    goal: { op: ">=", value: 1 },
  });
  report.figure("fuzz.config.escaped", done.escaped, {
    unit: "errors",
    goal: { op: "==", value: 0 },
  });
}
