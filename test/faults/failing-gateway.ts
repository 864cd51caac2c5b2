/** A whole gateway whose sync fails while people talk to it: it ends, and the next one owes nothing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Report } from "../report/report.ts";
import { freshFolder, pairedWorld, until, type World } from "../support/home.ts";
import { endOf } from "./struck.ts";

/** After the start, in the middle of the talk. */
const FAILS_AT = 30;

export async function wholeGateway(report: Report): Promise<void> {
  await using world = await pairedWorld();
  const gateway = world.spawnGateway({
    through: [
      ...["strace", "-f", "--seccomp-bpf", "-qq", "-o", join(freshFolder(), "calls")],
      ...["-e", "trace=fdatasync", "-e", `inject=fdatasync:error=EIO:when=${FAILS_AT}`],
    ],
  });
  const failures: string[] = [];
  try {
    await gateway.event("ready");
    await world.startNode("laptop");
    // It offers again what was acknowledged to nobody: only what was acknowledged must be answered.
    const owner = await world.owner("console", true);
    const accepted: Promise<void>[] = [];
    while (!gateway.over) {
      accepted.push(owner.say("/info laptop"));
      await Promise.race([accepted.at(-1), gateway.ended]);
    }
    if (gateway.over.code !== 70) failures.push(`it ended with ${gateway.over.code}`);
    await world.startGateway();
    await Promise.all(accepted);
    // The last word of a sentence may come after its result: a result counts once, by its call.
    const answers = () =>
      new Set(
        owner.messages.flatMap(({ id, final, result, error }) =>
          result ? [result.call as string] : final || error ? [id] : [],
        ),
      ).size;
    await until("every answer", async () => {
      await owner.stay();
      return answers() >= accepted.length;
    }).catch(() =>
      failures.push(`${accepted.length} sentences were acknowledged, ${answers()} were answered`),
    );
    if (!(await world.auditIsWhole())) failures.push("the audit chain is broken");
  } finally {
    if (!gateway.over) endOf(holder(world)); // It would outlive `strace`.
  }
  for (const what of failures) report.problem(`disk: a gateway: ${what}`);
  report.figure("disk.gateway_failures", failures.length, {
    unit: "",
    goal: { op: "==", value: 0 },
  });
}

/** The process that holds the home. */
function holder({ home }: World): number | undefined {
  return (JSON.parse(readFileSync(join(home, "lock.json"), "utf8")) as { pid?: number }).pid;
}
