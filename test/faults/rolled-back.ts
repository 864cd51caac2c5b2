/**
 * Database and anchor put back together to an earlier state: they agree with one another, and
 * only the devices can tell. They do, and the owner hears of it.
 */
import { cpSync, rmSync } from "node:fs";
import type { Report } from "../report/report.ts";
import { freshFolder, pairedWorld, until } from "../support/home.ts";

const LINKS = 3;

export async function rolledBack(report: Report): Promise<void> {
  await using world = await pairedWorld();
  const kept = freshFolder();
  cpSync(world.home, kept, { recursive: true });

  await world.startGateway();
  for (let link = 0; link < LINKS; link++) {
    await world.startNode("laptop");
    await world.nodes.get("laptop")?.end("SIGTERM");
  }
  await world.gateway?.end();
  rmSync(world.home, { recursive: true });
  cpSync(kept, world.home, { recursive: true });

  await world.startGateway();
  const owner = await world.owner();
  await world.startNode("laptop");
  await owner.hear("that it is an older copy", ({ text }) => text.includes("an older copy"));
  let row: { what: string; data: any } | undefined;
  await until("the audit row", async () => {
    row = (await world.audit()).find(({ what }) => what === "device.restored");
    return row;
  });
  report.figure("damage.rollback_epochs_seen", row?.data.seen - row?.data.stored, {
    unit: "links",
    goal: { op: ">=", value: LINKS },
  });
  const told = (await world.audit()).filter(({ what }) => what === "device.restored").length;
  report.figure("damage.rollback_told", told, { unit: "", goal: { op: "==", value: 1 } });
}
