/** Takes one guard away, runs the unit tests that must notice, and says which one did. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ours } from "../../support/children.ts";
import type { Guard } from "./guards.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const config = fileURLToPath(new URL("vitest.config.ts", import.meta.url));
const vitest = join(root, "node_modules/vitest/vitest.mjs");

interface Told {
  readonly numTotalTests: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/**
 * The title of the first test that failed; null when all passed: then the guard could go unnoticed.
 * @throws Error when the line is not there exactly once, or no test ran at all
 */
export async function withoutGuard(guard: Guard): Promise<string | null> {
  const source = readFileSync(join(root, guard.file), "utf8");
  if (source.split(guard.line).length !== 2)
    throw new Error(`${guard.file} does not say once, plant it anew: ${guard.line}`);
  const folder = mkdtempSync(join(tmpdir(), "kith-guard-"));
  const report = join(folder, "report.json");
  const reporters = ["--reporter=json", `--outputFile=${report}`];
  const child = ours(
    spawn(process.execPath, [vitest, "run", "--config", config, ...reporters, ...guard.tests], {
      cwd: root,
      stdio: "ignore",
      env: { ...process.env, KITH_PLANT: JSON.stringify(guard) },
    }),
  );
  await new Promise((resolve) => child.once("close", resolve));
  try {
    const { numTotalTests, testResults } = JSON.parse(readFileSync(report, "utf8")) as Told;
    const failed = testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .find(({ status }) => status === "failed");
    // A file that cannot even be loaded notices nothing: the planted line is broken.
    if (!failed && (numTotalTests === 0 || child.exitCode !== 0))
      throw new Error(`no test of ${guard.tests.join(", ")} ran with: ${guard.planted}`);
    return failed?.fullName ?? null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
