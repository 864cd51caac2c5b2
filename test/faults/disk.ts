/**
 * The disk is full, or fails, at the n-th write or sync. Nothing that was acknowledged is lost,
 * nothing is acknowledged that is not synced, a full disk is over when there is space, and after a
 * failed sync the process ends without another one.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Report } from "../report/report.ts";
import { killAfter, tempHome } from "../store/home.ts";
import { freshFolder } from "../support/home.ts";
import { assemble, type Patch } from "./assembly.ts";
import type { FaultPart } from "./part.ts";
import { wholeGateway } from "./failing-gateway.ts";
import { type Fault, type Outcome, strike } from "./struck.ts";
import { unsyncedAcks } from "./syncs.ts";

const BACK_MS = 10_000;
const AT_ONCE = 2;

const MUTANTS: Readonly<Record<string, Patch>> = {
  "synchronous=NORMAL": [
    "gateway/src/store/writer.ts",
    "PRAGMA synchronous = FULL",
    "PRAGMA synchronous = NORMAL",
  ],
  "anchor not synced": ["gateway/src/store/writer.ts", "    anchor.synced();\n", ""],
};

/** With `strace`: the n-th call of the operating system fails, `times` in a row. */
function traced(call: string, error: string, n: number, times: number): Fault {
  const log = join(freshFolder(), "calls");
  const when = times === 1 ? String(n) : `${n}..${n + times - 1}`;
  return {
    name: `${call} ${error} ${when}`,
    what: error === "ENOSPC" ? "goes on" : "ends",
    through: [
      ...["strace", "-f", "-y", "--seccomp-bpf", "-qq", "-o", log],
      ...[
        "-e",
        "trace=pwrite64,fsync,fdatasync",
        "-e",
        `inject=${call}:error=${error}:when=${when}`,
      ],
    ],
    env: {},
    log,
  };
}

/** In the process itself. */
const hooked = (kind: string, n: number, times: number): Fault => ({
  name: `${kind} ${n}`,
  what: kind === "commit-full" ? "goes on" : "ends",
  through: [],
  env: { KITH_DISK_FAULT: `${kind}:${n}:${times}` },
});

const CALLS = [
  ["pwrite64", "ENOSPC", 1],
  ["fsync", "EIO", 1],
  ["pwrite64", "ENOSPC", 60],
  ["fdatasync", "EIO", 1],
  ["pwrite64", "EIO", 1],
] as const;
const HOOKS = ["commit-full", "commit-io", "commit-lost", "anchor-sync", "anchor-full"] as const;

/** Why strace cannot be used here; undefined when it can. */
function untraceable(): string | undefined {
  try {
    execFileSync("strace", ["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "true"], {
      stdio: "ignore",
    });
    return undefined;
  } catch (why) {
    return `strace does not run here (${String(why).split("\n")[0]})`;
  }
}

/** What SQLite does by itself after a commit keeps a failed sync to itself: the n-th sync is one of those. */
async function hiddenSync(report: Report, from: string): Promise<void> {
  const patches: readonly Patch[] = [
    ["gateway/src/store/writer.ts", "wal_autocheckpoint = 0", "wal_autocheckpoint = 256"],
    ["gateway/src/store/writer.ts", "    shortenLog();\n", ""],
  ];
  const KITH_STORE = pathToFileURL(join(await assemble(patches), "store.mjs")).href;
  let hits = 0;
  let found = 0;
  while (found < 5 && hits < 150) {
    const fault = traced("fsync", "EIO", 10 + hits++, 1);
    const { problems } = await strike({ ...fault, env: { KITH_STORE } }, from);
    if (problems.length > 0) found++;
  }
  const by = found > 0 ? "disk.failures" : null;
  report.planted({ name: "the log is shortened by SQLite itself", by, hits, found });
}

/** In an undisturbed run, and with each mutant: acknowledgements before all they rest on is synced. */
async function synced(report: Report, from: string): Promise<void> {
  report.figure("disk.unsynced_acks", (await unsyncedAcks(from)).early, {
    unit: "",
    goal: { op: "==", value: 0 },
  });
  for (const [name, patch] of Object.entries(MUTANTS)) {
    const store = pathToFileURL(join(await assemble([patch]), "store.mjs")).href;
    const { acks, early } = await unsyncedAcks(from, store);
    const by = early > 0 ? "disk.unsynced_acks" : null;
    report.planted({ name, by, hits: acks, found: early });
  }
}

async function all(report: Report, faults: readonly Fault[], from: string): Promise<void> {
  const outcomes: Outcome[] = [];
  const queue = [...faults];
  const work = async (): Promise<void> => {
    for (let fault = queue.shift(); fault; fault = queue.shift()) {
      const outcome = await strike(fault, from);
      outcomes.push(outcome);
      for (const what of outcome.problems) report.problem(`disk: ${fault.name}: ${what}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const struck = outcomes.filter((one) => one.struck);
  report.figure("disk.trials", outcomes.length, { unit: "" });
  report.figure("disk.struck", struck.length, {
    unit: "",
    baseline: outcomes.length,
    goal: { op: ">=", value: 0.9 },
  });
  const failures = outcomes.reduce((sum, { problems }) => sum + problems.length, 0);
  report.figure("disk.failures", failures, { unit: "", goal: { op: "==", value: 0 } });
  const refused = outcomes.reduce((sum, one) => sum + one.refused, 0);
  report.figure("disk.refused", refused, { unit: "commits", goal: { op: ">=", value: 1 } });
  report.figure("disk.back_most", Math.max(0, ...outcomes.map(({ backMs }) => backMs)) / 1_000, {
    unit: "s",
    goal: { op: "<=", value: BACK_MS / 1_000 },
  });
}

export const disk: FaultPart = {
  name: "disk",
  title: "a full or failing disk at the n-th write or sync",
  async run(report, { quick }) {
    using home = tempHome();
    await killAfter(home.path, 12);
    const why = untraceable();
    if (why !== undefined) report.skipped("disk: real calls of the operating system", why);
    const faults: Fault[] = [];
    const most = 400;
    const traces = why === undefined ? (quick ? 15 : most) : 0;
    for (let trial = 0; trial < traces; trial++) {
      const [call, error, times] = CALLS[trial % CALLS.length] ?? CALLS[0];
      faults.push(traced(call, error, 1 + Math.floor((trial * most) / traces), times));
    }
    const hooks = quick ? 5 : 100;
    for (let trial = 0; trial < hooks; trial++)
      faults.push(hooked(HOOKS[trial % HOOKS.length] ?? HOOKS[0], 1 + trial, 3));
    await all(report, faults, home.path);
    if (why !== undefined) return;
    await synced(report, home.path);
    await wholeGateway(report);
    if (!quick) await hiddenSync(report, home.path);
  },
};
