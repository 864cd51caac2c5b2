/**
 * Watches a process that commits through `strace`: whether each acknowledgement left only after
 * all that was written to the log and to the anchor had been synced. A power cut at the worst
 * moment takes what was not.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { tempHome } from "../store/home.ts";
import { ours } from "../support/children.ts";
import { freshFolder } from "../support/home.ts";
import { endOf, storer } from "./struck.ts";

const TURNS = 20;

/** `store`: another build of the store. */
export async function unsyncedAcks(
  from: string,
  store?: string,
): Promise<{ acks: number; early: number }> {
  using home = tempHome(from);
  const log = join(freshFolder(), "calls");
  const trace = ["-f", "-y", "-qq", "-o", log, "-e", "trace=pwrite64,write,fsync,fdatasync"];
  const child = ours(
    spawn("strace", [...trace, process.execPath, storer, home.path], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...(store === undefined ? {} : { KITH_STORE: store }) },
    }),
  );
  const ended = new Promise((resolve) => child.once("close", resolve));
  let dones = 0;
  let pid: number | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const [said, what] = line.split(" ");
    if (said === "pid") pid = Number(what);
    if (said === "done" && ++dones === TURNS) endOf(pid);
  }
  await ended;
  return early(readFileSync(log, "utf8"));
}

function early(log: string): { acks: number; early: number } {
  const unsynced = new Set<string>();
  let acks = 0;
  let found = 0;
  for (const call of log.split("\n")) {
    const [, name, path = ""] = /^\d+ +(\w+)\(\d+<([^>]*)>/.exec(call) ?? [];
    if (name === undefined) continue;
    if (name === "fsync" || name === "fdatasync") unsynced.delete(path);
    else if (/\/(?:kith\.db-wal|anchor)$/.test(path)) unsynced.add(path);
    else if (call.includes('"done ')) {
      acks++;
      if (unsynced.size > 0) found++;
    }
  }
  return { acks, early: found };
}
