/**
 * A gateway that was frozen while another one took over its home, and wakes up: it can neither
 * write nor act. The lock is taken out of the way on purpose, since it is not what this rests on.
 *
 *   first ── frozen ─────────────────────── thawed ── store-fenced, exit 70
 *   second           └─ takes the home, the device, the open call ─────────► goes on
 */
import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import type { Report } from "../report/report.ts";
import {
  Control,
  freshFolder,
  pairedWorld,
  type Running,
  until,
  World,
  writeConfig,
} from "../support/home.ts";
import { assemble, ONCE, type Patch } from "./assembly.ts";
import type { FaultPart } from "./part.ts";

const RUN_MS = 600;
/** How long a gateway that woke up may take to see that it was replaced. */
const FENCED_MS = 5_000;

const UNFENCED: Patch = [
  "gateway/src/store/writer.ts",
  `?? 0) !== epoch) {`,
  `?? 0) !== epoch && epoch < 0) {`,
];
/** Numbers links by its own memory alone, whatever a device remembers. */
const FORGETFUL: Patch = [
  "gateway/src/devices/device.machine.ts",
  "const epoch = Math.max(row.epoch, last_epoch) + 1;",
  "const epoch = row.epoch + 1;",
];
const TRUSTING: Patch = [
  "node-agent/src/link.ts",
  "if (welcome.epoch <= home.epoch)",
  "if (welcome.epoch < 0)",
];

const runsOf = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];

interface Outcome {
  readonly problems: readonly string[];
  readonly fencedMs: number;
}

/** `programs`: those of the gateway that is frozen. */
async function takeOver(programs: string, frozen: string): Promise<Outcome> {
  await using world = await pairedWorld(["laptop"], undefined, frozen);
  const runs = join(world.folder, "runs");
  const env = { KITH_TEST_RUNS: runs, KITH_TEST_RUN_MS: String(RUN_MS) };
  const first = await world.startGateway();
  await world.startNode("laptop", { env });
  const owner = await world.owner("console", true);
  const late = await Control.open(world.home);
  await late.call("chat.open", { chat: "kitchen" });

  await owner.say("/info laptop");
  await until("the act", () => runsOf(runs).length === 1);
  first.child.kill("SIGSTOP");
  // Said to the one that sleeps: it reads this as soon as it wakes.
  let acknowledged = false;
  const text = "/info laptop";
  late.call("chat.say", { text, id: "0".repeat(26) }).then(
    () => (acknowledged = true),
    () => {}, // As it should be: the connection ends without an answer.
  );
  for (const name of ["lock.db", "lock.json"]) rmSync(join(world.home, name), { force: true });

  await using second = new World(world.folder, await freePort(), programs);
  writeConfig(second);
  await world.nodes.get("laptop")?.end();
  await second.startGateway();
  await second.startNode("laptop", { env });
  const problems: string[] = [];
  const { out } = await second.call("invoke", { device: "laptop", cap: "device.info" });
  if (!runsOf(runs).includes(out.call)) problems.push("the second gateway's call was not done");

  first.child.kill("SIGCONT");
  const thawed = performance.now();
  const over = await gone(first);
  const fencedMs = performance.now() - thawed;
  const last = first.events.at(-1);
  if (over !== 70 || last?.error?.code !== "store-fenced")
    problems.push(`the first ended with ${over}: ${JSON.stringify(last)}`);
  if (acknowledged) problems.push("the first acknowledged a message");

  // The chat comes over by itself, and hears the doubt or the end of what was under way.
  await owner
    .hear(
      "the end of the first call",
      (message) => message.final && (message.result ?? message.error),
    )
    .catch((why: Error) => problems.push(why.message));
  const done = runsOf(runs);
  if (new Set(done).size !== done.length) problems.push("an act was done twice");
  if (done.length !== 2) problems.push(`${done.length} acts were done, not two`);
  if (second.gateway?.over) problems.push("the second gateway ended");
  else if (!(await second.auditIsWhole())) problems.push("the audit chain is broken");
  late.close();
  return { problems, fencedMs };
}

/** Its exit code; undefined when it goes on. */
async function gone(first: Running): Promise<number | null | undefined> {
  await until("its end", () => first.over, undefined, FENCED_MS).catch(() => {});
  return first.over?.code;
}

/** A gateway on an old copy of its home that numbers links again: whether a device acts for it. */
async function actsForOlder(programs: string): Promise<boolean> {
  await using world = await pairedWorld(["laptop"], undefined, programs);
  const kept = freshFolder();
  cpSync(world.home, kept, { recursive: true });
  const runs = join(world.folder, "runs");
  await world.startGateway();
  const node = await world.startNode("laptop", { env: { KITH_TEST_RUNS: runs } });
  await node.end("SIGTERM");
  await world.gateway?.end();
  rmSync(world.home, { recursive: true });
  cpSync(kept, world.home, { recursive: true });
  await world.startGateway();
  const again = world.spawnNode("laptop", { env: { KITH_TEST_RUNS: runs } });
  // Refused once is enough: by its own count the gateway comes to newer numbers in time.
  const settled = ({ event }: { event: string }) => /^(?:ready|waiting|failed)$/.test(event);
  await until("a link, or none", () => again.events.some(settled));
  if (again.events.find(settled).event !== "ready") return false;
  await world.call("invoke", { device: "laptop", cap: "device.info" });
  return runsOf(runs).length > 0;
}

export const takeover: FaultPart = {
  name: "takeover",
  waits: true,
  title: "a gateway that wakes up after another one took over its home",
  async run(report, { quick }) {
    const times = quick ? 1 : 10;
    const programs = await assemble(ONCE);
    const failures = await several(report, times, () => takeOver(programs, programs));
    report.figure("takeover.failures", failures, { unit: "", goal: { op: "==", value: 0 } });

    const forgetful = await assemble([...ONCE, FORGETFUL]);
    const acted = await actsForOlder(forgetful);
    report.figure("takeover.acts_for_older", acted ? 1 : 0, {
      unit: "",
      goal: { op: "==", value: 0 },
    });

    const hits = quick ? 1 : 5;
    const unfenced = await assemble([...ONCE, UNFENCED]);
    await planted(report, "owner epoch not checked in the commit", hits, async () => {
      const { problems } = await takeOver(programs, unfenced);
      return problems.length > 0;
    });
    const trusting = await assemble([...ONCE, FORGETFUL, TRUSTING]);
    await planted(report, "link epoch not checked at the node", hits, () => actsForOlder(trusting));
  },
};

async function several(
  report: Report,
  times: number,
  once: () => Promise<Outcome>,
): Promise<number> {
  let failures = 0;
  let slowestMs = 0;
  for (let time = 0; time < times; time++) {
    const { problems, fencedMs } = await once();
    for (const what of problems) report.problem(`takeover: ${what}`);
    failures += problems.length;
    slowestMs = Math.max(slowestMs, fencedMs);
  }
  report.figure("takeover.fenced_most", slowestMs / 1_000, {
    unit: "s",
    goal: { op: "<=", value: FENCED_MS / 1_000 },
  });
  return failures;
}

async function planted(
  report: Report,
  name: string,
  hits: number,
  once: () => Promise<boolean>,
): Promise<void> {
  let found = 0;
  for (let hit = 0; hit < hits; hit++) if (await once()) found++;
  report.planted({ name, by: found > 0 ? "takeover" : null, hits, found });
}
