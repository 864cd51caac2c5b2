// @ts-check
/**
 * A real control server and a real daemon for the project `tailnet`: headscale and tailscaled, built once from
 * their Go modules into `.tools/tailnet`. The pair fits: headscale's own table ends at that client.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root } from "../../../gateway/bin/install.mjs";

export const folder = join(root, ".tools", "tailnet");

const TOOLS = [
  {
    name: "tailscaled",
    module: "tailscale.com@v1.98.10",
    command: "tailscale.com/cmd/tailscaled",
    tags: "ts_include_cli",
  },
  {
    name: "headscale",
    module: "github.com/juanfont/headscale@v0.29.2",
    command: "github.com/juanfont/headscale/cmd/headscale",
    tags: "",
  },
];

export const areBuilt = () => TOOLS.every(({ name }) => existsSync(join(folder, name)));

/** Why they cannot be built here; undefined: they can. */
async function obstacle() {
  const version = await run("go", ["env", "GOVERSION"]).catch(() => "");
  const [, minor = "0", patch = "0"] = /go1\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  if (Number(minor) > 26 || (Number(minor) === 26 && Number(patch) >= 4)) return undefined;
  return `it needs Go 1.26.4 or newer, and here is ${version.trim() || "no Go"}`;
}

/** Takes minutes the first time, and about 2 GB of Go's caches. Says why where it cannot. */
export async function buildTools() {
  if (areBuilt()) return;
  const why = await obstacle();
  if (why) return void process.stdout.write(`no real tailnet: ${why}\n`);
  mkdirSync(folder, { recursive: true });
  for (const { name, module, command, tags } of TOOLS) {
    process.stdout.write(`Building ${name} (${module}), once: some minutes...\n`);
    const began = performance.now();
    const place = mkdtempSync(join(tmpdir(), "kith-go-"));
    try {
      writeFileSync(join(place, "go.mod"), "module kith.local/tools\n\ngo 1.26\n");
      await run("go", ["get", module], place);
      await run("go", ["build", "-tags", tags, "-o", join(folder, name), command], place);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      return void process.stdout.write(`no real tailnet: ${words}\n`);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
    process.stdout.write(
      `Built ${name} in ${Math.round((performance.now() - began) / 1_000)} s.\n`,
    );
  }
  // One program, both roles: by its name it knows which.
  symlinkSync("tailscaled", join(folder, "tailscale"));
}

/** @param {string} program @param {string[]} args @param {string} [cwd] @returns {Promise<string>} */
function run(program, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, GOTOOLCHAIN: "local", CGO_ENABLED: "0", GOFLAGS: "-mod=mod" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let words = "";
    child.stdout.on("data", (part) => (out += part));
    child.stderr.on("data", (part) => (words += part));
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0
        ? resolve(out)
        : reject(new Error(`${program} ${args[0]}: ${words.trim().split("\n").pop()}`)),
    );
  });
}
