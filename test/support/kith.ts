/** The command `kith` as a script runs it: nobody at a terminal. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { root } from "./home.ts";

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of standard output, when it is JSON. */
  readonly json: any;
}

export const kith = (home: string, ...args: string[]): Promise<Said> => kithWith({}, home, ...args);

/** With more in its environment, and with something to read. */
export async function kithWith(
  { env = {}, input = "" }: { env?: Readonly<Record<string, string>>; input?: string },
  home: string,
  ...args: string[]
): Promise<Said> {
  const { PATH, LANG } = process.env;
  const child = spawn(process.execPath, [join(root, "gateway/bin/kith.mjs"), ...args], {
    env: { PATH, LANG, KITH_HOME: home, NO_COLOR: "1", ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}).end(input); // It may end before it reads.
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const last = stdout.trimEnd().split("\n").pop() ?? "";
  return { code, stdout, stderr, json: last.startsWith("{") ? JSON.parse(last) : undefined };
}
