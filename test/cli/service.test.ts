/** What the systems are given to start Kith by, and what `kith service` does with them; the managers themselves are stand-ins. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fromHex, keyId } from "@kith/shared/ids";
import { afterAll, describe, expect, test } from "vitest";
import { launchAgent, systemdUnit, windowsTask } from "../../gateway/bin/service-files.mjs";
import { kith } from "../support/kith.ts";
import { root } from "../support/home.ts";

const folder = mkdtempSync(join(tmpdir(), "kith-service-"));
afterAll(() => rmSync(folder, { recursive: true }));
const odd = { argv: ["/opt/no de/bin", `/a "b" %i $HOME\\c`, "up"], home: "/home/o'x & <y>" };

const verifies = (() => {
  try {
    execFileSync("systemd-analyze", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    console.log("skipped: the unit's check by systemd itself, which is not here");
    return false;
  }
})();

test("the unit starts again at once, but not what starting again cannot mend", () => {
  const unit = systemdUnit(odd);
  expect(unit).toContain(`ExecStart="/opt/no de/bin" "/a \\"b\\" %%i $$HOME\\\\c" "up"`);
  expect(unit).toMatch(/^RestartSec=100ms$/m);
  expect(unit).toMatch(/^RestartPreventExitStatus=75 78$/m);
});

test.runIf(verifies)("systemd takes the unit", () => {
  const file = join(folder, "kith.service");
  writeFileSync(file, systemdUnit({ argv: [process.execPath, "a b", "up"], home: "/tmp/h 1" }));
  execFileSync("systemd-analyze", ["--user", "verify", file], {
    stdio: "pipe",
    env: { ...process.env, XDG_RUNTIME_DIR: folder },
  });
});

test("a path with marks of XML in it stays a path", () => {
  for (const text of [launchAgent(odd), windowsTask(odd)]) {
    expect(text).toContain("o'x &amp; &lt;y&gt;");
    expect(text).not.toMatch(/<y>|& /);
  }
});

describe.runIf(process.platform === "linux")("with a stand-in for systemctl", () => {
  const calls = join(folder, "calls");
  const config = join(folder, "config");
  const file = join(config, "systemd/user/kith.service");
  const home = join(folder, "home");
  /** Does what the unit says, as far as it starts and ends a process. */
  const systemctl = join(folder, "systemctl");
  const unitOf = (unit: string) =>
    writeFileSync(
      systemctl,
      `#!/bin/sh
echo "$*" >> ${calls}
case "$2" in
  restart) KITH_HOME=${home} setsid $(sed -n 's/^ExecStart=//p' ${unit} | tr -d '"') < /dev/null > /dev/null 2>&1 & echo $! > ${folder}/pid;;
  is-active) kill -0 $(cat ${folder}/pid) 2> /dev/null;;
  disable) kill $(cat ${folder}/pid); rm ${folder}/pid;;
esac
`,
    );
  unitOf(file);
  chmodSync(systemctl, 0o755);

  async function service(...args: string[]) {
    const child = spawn(
      process.execPath,
      [join(root, "gateway/bin/kith.mjs"), "service", ...args],
      {
        env: {
          PATH: `${folder}:${dirname(process.execPath)}:/usr/bin:/bin`,
          ...{ KITH_HOME: home, XDG_CONFIG_HOME: config, HOME: folder, NO_COLOR: "1" },
        },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.resume();
    const code = await new Promise((resolve) => child.once("close", resolve));
    return { code, json: args.includes("--json") ? JSON.parse(out.trim()) : undefined, out };
  }

  test("it is installed, answers, is shown, and goes again without its home", async () => {
    const before = await service("--json");
    expect(before.json).toEqual({
      ok: true,
      installed: false,
      active: false,
      answers: false,
      file,
    });
    writeConfig();
    const installed = await service("install", "--json");
    expect(installed.json).toMatchObject({ ok: true, file, pid: expect.any(Number) });
    expect((await service("status", "--json")).json).toMatchObject({
      ...{ installed: true, active: true, answers: true },
    });
    expect((await kith(home, "status", "--json")).code).toBe(2); // there is no such verb
    expect((await service("uninstall", "--json")).json).toMatchObject({ ok: true });
    expect([existsSync(file), existsSync(home)]).toEqual([false, true]);
    expect(readFileSync(calls, "utf8").split("\n").filter(Boolean)).toEqual([
      "--user daemon-reload",
      "--user enable kith.service",
      "--user restart kith.service",
      "--user is-active --quiet kith.service",
      "--user disable --now kith.service",
    ]);
  });

  test("a device alone is started by itself, once it is one", async () => {
    const refused = await service("install", "node", "--json");
    expect([refused.code, refused.json.error.message]).toEqual([
      1,
      "this computer is no device yet",
    ]);
    const node = join(home, "node");
    execFileSync("mkdir", ["-p", "-m", "700", node]);
    const settings = { name: "attic", kind: "server", policy: {}, cameras: [], roots: {} };
    // Its gateway is away: that is no reason not to run.
    const key = "ab".repeat(32);
    const gateway = { addresses: ["127.0.0.1:1"], key, id: keyId(fromHex(key)) };
    writeFileSync(join(node, "node.json"), JSON.stringify({ ...settings, gateway }), {
      mode: 0o600,
    });
    const alone = join(config, "systemd/user/kith-node.service");
    unitOf(alone);
    const installed = await service("install", "node", "--json");
    expect(installed.json).toMatchObject({ ok: true, file: alone, name: "attic" });
    expect(readFileSync(alone, "utf8")).toContain('kith.mjs" "node"');
    expect((await service("status", "node", "--json")).json).toMatchObject({
      ...{ installed: true, active: true, answers: true },
    });
    expect((await service("uninstall", "node", "--json")).json).toMatchObject({ ok: true });
    expect(existsSync(alone)).toBe(false);
    expect((await service("install", "toaster", "--json")).code).toBe(2);
  });

  test("a manager that says no is heard", async () => {
    writeFileSync(systemctl, "#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n");
    const { code, json } = await service("install", "--json");
    expect([code, json.error]).toEqual([
      1,
      {
        code: "service-unavailable",
        message: "systemctl --user daemon-reload: Failed to connect to bus",
        remedy: expect.any(String),
      },
    ]);
  });

  function writeConfig(): void {
    execFileSync("mkdir", ["-p", "-m", "700", home]);
    writeFileSync(join(home, "config.yaml"), "listen: 127.0.0.1:0\n", { mode: 0o600 });
  }
});
