/** What a child process tells the bench about itself, over its IPC channel. */
import process from "node:process";

export interface Usage {
  /** Of all its threads, user and system, in µs. */
  readonly cpuUs: number;
  /** Waits for the disk since its start. */
  readonly syncs: number;
}

/** Answers every message with the usage until now; ends with the bench. */
export function tellUsage(syncs: () => number): void {
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuUs: user + system, syncs: syncs() } satisfies Usage);
  });
  const end = () => process.exit(0);
  process.on("disconnect", end).on("SIGTERM", end);
  process.send?.("ready");
}
