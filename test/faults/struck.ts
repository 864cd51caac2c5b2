/** A process that commits on a disk that fails, and what is on disk afterwards. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { openStore } from "@kith/gateway/store/store";
import { everything, SAM, tempHome } from "../store/home.ts";
import { ours } from "../support/children.ts";

export const [storer = "", failing = ""] = ["storer.child.ts", "failing-disk.ts"].map((name) =>
  fileURLToPath(new URL(name, import.meta.url)),
);
/** Turns after the fault that show that it is over. */
const TURNS_AFTER = 3;
/** How soon a process is gone that must end. */
const END_MS = 5_000;
/** Turns between two looks at the log of calls. */
const LOOK_EVERY = 4;
/** Without a fault by then there will be none. */
const MOST_TURNS = 450;
/** The process should have ended, or gone on, long before. */
const PATIENCE_MS = 20_000;

export interface Fault {
  readonly name: string;
  /** What must come of it: work goes on, or the process ends for a new one to begin from disk. */
  readonly what: "goes on" | "ends";
  /** A program before ours, and what our own process gets. */
  readonly through: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where `strace` notes the calls. */
  readonly log?: string;
}

export interface Outcome {
  readonly problems: readonly string[];
  /** Whether the fault came at all. */
  readonly struck: boolean;
  readonly refused: number;
  readonly backMs: number;
}

/** Runs until the fault is over or the process is, then looks at what is on disk. */
export async function strike(fault: Fault, from: string): Promise<Outcome> {
  using home = tempHome(from);
  const child = ours(
    spawn(
      fault.through[0] ?? process.execPath,
      [
        ...fault.through.slice(1),
        ...(fault.through.length > 0 ? [process.execPath] : []),
        ...(fault.env["KITH_DISK_FAULT"] === undefined ? [] : ["--import", failing]),
        storer,
        home.path,
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...fault.env } },
    ),
  );
  let pid: number | undefined;
  const kill = (): void => endOf(pid);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const late = setTimeout(kill, PATIENCE_MS);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  let acknowledged = 0;
  let refused = 0;
  let after = 0;
  let end = "";
  let fullAt: number | undefined;
  let backMs = 0;
  const calls = (): string => (fault.log === undefined ? "" : readFileSync(fault.log, "utf8"));
  let came = false;
  const struckNow = (): boolean => (came ||= refused > 0 || calls().includes("(INJ"));
  let dones = 0;
  let tooLong: NodeJS.Timeout | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const [said, what] = line.split(" ");
    if (said === "pid") pid = Number(what);
    else if (said === "done") {
      acknowledged = Number(what);
      dones++;
      if (fullAt !== undefined) backMs = Math.max(backMs, performance.now() - fullAt);
      fullAt = undefined;
      if (dones > MOST_TURNS) kill();
      if ((dones % LOOK_EVERY !== 0 && !came) || !struckNow()) continue;
      // What was acknowledged before the end may still be on its way to us.
      if (fault.what === "ends") tooLong ??= setTimeout(kill, END_MS);
      else if (++after >= TURNS_AFTER) kill();
    } else if (said === "full") {
      refused++;
      fullAt ??= performance.now();
    } else if (said === "fatal" || said === "closed") end = `${said} ${what}`;
  }
  const code = await ended;
  clearTimeout(late);
  clearTimeout(tooLong);

  const problems: string[] = [];
  const struck = struckNow() || end !== "";
  const folder = calls()
    .split("\n")
    .some((call) => call.includes("(INJ") && /fsync/.test(call) && !isFile(call));
  if (struck && fault.what === "ends" && end === "" && !folder) problems.push("it went on");
  if (end.startsWith("fatal") && code !== 70) problems.push(`it ended with ${code}`);
  if (end === "" && after < TURNS_AFTER && struck && !folder)
    problems.push(`it stopped: ${code} ${errors}`);
  problems.push(...syncedAgain(calls()));
  problems.push(...(await lost(home.path, acknowledged)));
  return { problems, struck, refused, backMs };
}

/** Ends the process that commits; `strace` ends with it. */
export function endOf(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

/** SQLite keeps to itself whether the folder could be synced; the store syncs it once more, for itself. */
const isFile = (call: string): boolean => /<[^>]*\/(?:kith\.db|kith\.db-wal|anchor)>/.test(call);

/** After a sync of a file that failed there must be no other. */
function syncedAgain(log: string): string[] {
  const calls = log.split("\n");
  const failed = calls.findIndex((call) => /f(data)?sync\(.*EIO.*\(INJ/.test(call) && isFile(call));
  if (failed < 0) return [];
  const again = calls.slice(failed + 1).filter((call) => /f(data)?sync\(/.test(call));
  return again.length === 0 ? [] : [`${again.length} syncs after the one that failed`];
}

/** What is missing of what was acknowledged. */
async function lost(home: string, acknowledged: number): Promise<string[]> {
  const store = openStore(home);
  try {
    await store.open();
    const turns = store.load(SAM)?.seq ?? 0;
    const { taken, audit } = everything(store, Math.max(0, turns));
    await store.close();
    const found: string[] = [];
    if (turns < acknowledged) found.push(`${acknowledged} turns were acknowledged, ${turns} kept`);
    if (taken.includes(false)) found.push("a message of a kept turn is unknown");
    if (audit.length !== turns) found.push(`${audit.length} audit rows of ${turns} turns`);
    return found;
  } catch (why) {
    await store.close();
    return [`it does not open: ${String(why)}`];
  }
}
