/**
 * Bits flip, files are cut, lost or replaced by old copies, and the audit trail is rewritten.
 * Each time either Kith says so or every row is there; it never goes on with less.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Report } from "../report/report.ts";
import { tempHome } from "../store/home.ts";
import { until } from "../support/home.ts";
import { assemble, type Patch } from "./assembly.ts";
import {
  base,
  type Base,
  damaged,
  flipUnread,
  misquoted,
  type Open,
  tampered,
  type Verdict,
} from "./damaged-homes.ts";
import type { FaultPart } from "./part.ts";
import { rolledBack } from "./rolled-back.ts";

/** One after the other would leave a core idle. */
const AT_ONCE = 3;

/** The verdicts of trials 1 to `most`. */
async function each(most: number, trial: (seed: number) => Promise<Verdict>): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let next = 1;
  const work = async (): Promise<void> => {
    while (next <= most) verdicts.push(await trial(next++));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return verdicts;
}

interface Mutant {
  readonly name: string;
  readonly patch: Patch;
  readonly trial: (open: Open, seed: number) => Promise<Verdict>;
}
/** What is taken out, and the damage that then goes unseen. */
const mutantsOn = (crashed: Base, stopped: Base): readonly Mutant[] => [
  {
    name: "no anchor check",
    patch: [
      "gateway/src/store/writer.ts",
      "compare({ epoch: meta.epoch, commit: meta.commits, audit: meta.audit }, known, hashOfRow);",
      "",
    ],
    trial: (open, seed) => damaged(open, crashed, seed, "kith.db-wal"),
  },
  {
    name: "no sum of a row",
    patch: ["gateway/src/store/schema.ts", "|| sumOf(row.slice(0, -2), bytes) !== row.at(-1)", ""],
    // Of a stopped home everything lies in the main file.
    trial: (open, seed) => misquoted(open, stopped, seed),
  },
];
/** Trials in which a mutant must show. */
const MUTANT_TRIALS = 400;

const storeOf = async (patches: readonly Patch[]): Promise<Open> => {
  const file = pathToFileURL(join(await assemble(patches), "store.mjs")).href;
  return ((await import(file)) as { openStore: Open }).openStore;
};

function tally(report: Report, name: string, verdicts: readonly Verdict[]): void {
  const count = (is: Verdict["is"]) => verdicts.filter((one) => one.is === is).length;
  for (const { what, is, more } of verdicts)
    if (is === "silent" || is === "misnamed") report.say(`${is}: ${what} ${more ?? ""}`);
  const good = count("at the start") + count("when read") + count("harmless");
  report.figure(`${name}.trials`, verdicts.length, { unit: "" });
  report.figure(`${name}.silent`, count("silent"), { unit: "", goal: { op: "==", value: 0 } });
  report.figure(`${name}.detected_or_harmless`, good, {
    unit: "",
    baseline: verdicts.length,
    goal: { op: "==", value: 1 },
  });
  report.figure(`${name}.refused_at_start`, count("at the start"), { unit: "" });
  report.figure(`${name}.refused_when_read`, count("when read"), { unit: "" });
}

async function mutants(report: Report, all: readonly Mutant[], least: number): Promise<void> {
  for (const { name, patch, trial } of all) {
    const open = await storeOf([patch]);
    let hits = 0;
    let found = 0;
    while (found < least && hits < MUTANT_TRIALS)
      if ((await trial(open, ++hits)).is === "silent") found++;
    report.planted({ name, by: found > 0 ? "damage.silent" : null, hits, found });
  }
}

/** What the start of a large home cannot afford to read is read soon after it. */
async function scrubbed(report: Report, open: Open, large: Base): Promise<void> {
  using home = tempHome(large.home.path);
  flipUnread(home.path);
  let said: string | undefined;
  const store = open(home.path, { onDamage: ({ code }) => (said = code) });
  const began = performance.now();
  await store.open();
  try {
    await until("the damaged row to be found", () => said);
  } finally {
    await store.close();
  }
  report.figure("damage.unread_found", (performance.now() - began) / 1_000, { unit: "s" });
}

export const damage: FaultPart = {
  name: "damage",
  title: "files of a home that are damaged, and an audit trail that is rewritten",
  async run(report, { quick }) {
    const open = await storeOf([]);
    const trials = quick ? 50 : 500;
    using crashed = await base(open, { crashed: true, large: false });
    using stopped = await base(open, { crashed: false, large: false });
    using large = await base(open, { crashed: false, large: true });
    const bases = [crashed, stopped, crashed, stopped, large];

    const verdicts = await each(trials, (seed) =>
      damaged(open, bases[seed % bases.length] ?? crashed, seed),
    );
    tally(report, "damage", verdicts);
    const edits = await each(trials, (seed) =>
      tampered(open, seed % 10 === 0 ? large : stopped, seed),
    );
    tally(report, "damage.audit", edits);

    await scrubbed(report, open, large);
    await mutants(report, mutantsOn(crashed, stopped), quick ? 1 : 5);
    await rolledBack(report);
  },
};
