// @ts-check
/**
 * `npm test [-- vitest's arguments]`: installs and builds what is missing, runs vitest on the pinned
 * Node, and says 'N passed, N failed, N skipped' as its very last line.
 *
 * It is its own vitest reporter: the counts, and the reason of every skipped test, come from there.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const FILE = "KITH_TEST_COUNTS";

/** Counts what vitest ran, into the file that the launcher named. */
export default class Counter {
  /** @param {readonly import("vitest/node").TestModule[]} modules */
  onTestRunEnd(modules) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      let own = 0;
      for (const test of module.children.allTests()) {
        own++;
        const result = test.result();
        if (result.state === "passed") counts.passed++;
        else if (result.state === "failed") counts.failed++;
        else {
          counts.skipped++;
          const note = result.state === "skipped" && result.note;
          process.stdout.write(`skipped: ${test.fullName}: ${note || "no reason given"}\n`);
        }
      }
      // A file that could not even be loaded has no tests to count.
      if (own === 0 && module.state() === "failed") counts.failed++;
    }
    const file = process.env[FILE];
    if (file) writeFileSync(file, JSON.stringify(counts));
  }
}

/** @param {string[]} args */
async function run(args) {
  const { prepare } = await import("../gateway/bin/build.mjs");
  const { pinnedNode, root } = await import("../gateway/bin/install.mjs");
  await prepare({ dev: true });
  // Only where it is asked for: it takes minutes.
  if (args.includes("tailnet")) await (await import("./tailnet/real/tools.mjs")).buildTools();
  const folder = mkdtempSync(join(tmpdir(), "kith-test-"));
  const file = join(folder, "counts.json");
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const reporters = ["--reporter=default", `--reporter=${fileURLToPath(import.meta.url)}`];
  const child = spawn(pinnedNode(), [vitest, "run", ...reporters, ...args], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, [FILE]: file },
  });
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
    process.on(signal, () => child.kill(signal));
  }
  const code = await new Promise((resolve) => child.once("close", resolve));
  let counts = { passed: 0, failed: 1, skipped: 0 }; // Nothing was counted: vitest itself failed.
  try {
    counts = JSON.parse(readFileSync(file, "utf8"));
  } catch {}
  rmSync(folder, { recursive: true });
  process.stdout.write(
    `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`,
  );
  return code ?? 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = await run(process.argv.slice(2)).catch(async (why) => {
    const { fail } = await import("../gateway/bin/print.mjs");
    fail(why, false);
    process.stdout.write("0 passed, 1 failed, 0 skipped\n");
    return 1;
  });
}
