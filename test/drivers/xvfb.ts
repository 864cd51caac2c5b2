/** An X11 display that nobody sees, for tests of what needs one. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { type Desktop, desktop } from "@kith/node-agent/platform";
import { ours } from "../support/children.ts";

const there = (program: string): boolean => {
  try {
    execFileSync("which", [program], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

/** Whether all of these programs are installed; says which is not, and what is left out for it. */
export function installed(programs: readonly string[], what: string): boolean {
  const missing = programs.filter((program) => !there(program));
  if (missing.length > 0)
    console.log(`skipped: ${what}, because ${missing.join(", ")} is not installed here`);
  return missing.length === 0;
}

/** A display of its own on a free number, and the session that uses it; it ends with the scope. */
export async function xvfb(
  size = "640x400",
): Promise<AsyncDisposable & { readonly session: Desktop; readonly name: string }> {
  const args = ["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", `${size}x24`];
  const server = ours(spawn("Xvfb", args, { stdio: ["ignore", "pipe", "ignore"] }));
  const gone = once(server, "close");
  // It writes the number when it takes connections.
  const [number] = (await Promise.race([
    once(server.stdout, "data"),
    gone.then(() => Promise.reject(new Error("Xvfb did not start"))),
  ])) as [Buffer];
  const name = `:${number.toString("utf8").trim()}`;
  return {
    name,
    session: desktop({ ...process.env, DISPLAY: name, WAYLAND_DISPLAY: "" }, "linux"),
    async [Symbol.asyncDispose]() {
      server.kill("SIGTERM");
      await gone;
    },
  };
}
