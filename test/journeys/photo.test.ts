/** The whole story, as `npm run demo` tells it on its own. */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../support/home.ts";

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

async function demo(...args: string[]): Promise<any> {
  const node = systemNode();
  const child = spawn(node, [join(root, "gateway/bin/demo.mjs"), "--json", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(code, text).toBe(0);
  return JSON.parse(text.trimEnd().split("\n").pop() ?? "");
}

describe("the demo", () => {
  test.for([[], ["--crash"]])("pairs a device and gets one photo %s", async (args) => {
    const said = await demo(...args);
    try {
      expect(said).toMatchObject({
        ok: true,
        device: "laptop",
        camera: "test-pattern",
        shots: 1,
        auditVerified: true,
      });
      expect(isAbsolute(said.photo)).toBe(true);
      const file = readFileSync(said.photo);
      expect(createHash("sha256").update(file).digest("hex")).toBe(said.sha256);
      expect(file.length).toBe(said.bytes);
      expect(said.width * said.height).toBeGreaterThanOrEqual(1_280 * 720);
      expect(said.pairingActions).toBeLessThanOrEqual(4);
      const { gatewayReady, nodeConnected, paired, photo } = said.ms;
      const steps = [0, gatewayReady, nodeConnected, paired, photo];
      expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    } finally {
      rmSync(dirname(dirname(said.photo)), { recursive: true, force: true });
    }
  });
});
