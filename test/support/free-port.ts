import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** One file for each port that a run of tests has: a gateway that is down for a moment needs it again. */
const folder = join(tmpdir(), "kith-test-ports");
const mine = new Set<string>();
process.on("exit", () => {
  for (const path of mine) rmSync(path, { force: true });
});

/** A loopback port that is free now, and that no other run beside this one is given. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below the ports that the system deals out by itself: one of those may be taken by an
    // outgoing connection before the gateway gets to it. Above 10,080, where `fetch` would not ask.
    const port = 10_100 + Math.floor(Math.random() * 20_000);
    if (!reserved(port)) continue;
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer().on("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Whether it is this process's now; what a process left that is gone counts for nothing. */
function reserved(port: number): boolean {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, String(port));
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
  } catch {
    if (isAlive(holder(path))) return false;
    writeFileSync(path, String(process.pid));
    // Two may find it left at once: one of them has written last.
    if (holder(path) !== process.pid) return false;
  }
  mine.add(path);
  return true;
}

function holder(path: string): number {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return 0; // gone meanwhile
  }
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
