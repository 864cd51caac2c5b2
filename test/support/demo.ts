/** The demo, as a person starts it, and its last line. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { root } from "./home.ts";

/** A person's own Node, when there is an older one: the demo must find the pinned one by itself. */
function systemNode(): string {
  const others = (process.env.PATH ?? "")
    .split(":")
    .filter((folder) => !folder.includes("node_modules"));
  const found = others.map((folder) => join(folder, "node")).find((path) => existsSync(path));
  if (found && /^v2[024]\./.test(execFileSync(found, ["--version"], { encoding: "utf8" })))
    return found;
  return process.execPath;
}

/** Its home stays, for whoever looks at the photo; remove it. */
export async function demo(...args: string[]): Promise<any> {
  const child = spawn(systemNode(), [join(root, "gateway/bin/demo.mjs"), "--json", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(code, text).toBe(0);
  return JSON.parse(text.trimEnd().split("\n").pop() ?? "");
}
