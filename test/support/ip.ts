import { execFileSync } from "node:child_process";

/** Linux's `ip`: networks for a test. @throws Error with its words, where this process may not make any */
export function ip(...args: readonly string[]): void {
  try {
    execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`ip ${args.join(" ")}: ${stderr?.trim() || message}`, { cause: error });
  }
}
