/** How a driver's program is run: bounded, without a shell, and nothing left behind. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { need, probeOf, runProgram } from "@kith/node-agent/drivers/program";
import { desktop, findProgram } from "@kith/node-agent/platform";
import { describe, expect, test } from "vitest";
import { alive, codeOf, folder } from "./support.ts";

const { signal } = new AbortController();
const run = { signal, most: 1_024 };
const stdout = ({ stdout: bytes }: { stdout: Uint8Array }) => Buffer.from(bytes).toString("utf8");

describe.runIf(process.platform === "linux")("a program", () => {
  test("gets its arguments and its input as they are", async () => {
    await using home = await folder();
    const echo = await home.file("echo", '#!/bin/sh\nprintf "%s|" "$@"; cat\n', 0o755);
    const ran = await runProgram(echo, ["$(id)", "a b", ";"], { ...run, input: "-n `x` é\n" });
    expect(stdout(ran)).toBe("$(id)|a b|;|-n `x` é\n");
  });

  test("that reads nothing of a long input still ends", async () => {
    await using home = await folder();
    const deaf = await home.file("deaf", "#!/bin/sh\nexit 3\n", 0o755);
    expect((await runProgram(deaf, [], { ...run, input: "x".repeat(1 << 20) })).code).toBe(3);
  });

  test("that says too much is ended", async () => {
    await using home = await folder();
    const loud = await home.file("loud", "#!/bin/sh\ncat /dev/zero\n", 0o755);
    await expect(runProgram(loud, [], run)).rejects.toThrow("loud gave more than 1 KiB");
  });

  test("may leave something running after a good end, and only then", async () => {
    await using home = await folder();
    const pids = join(home.path, "pids");
    const body = `#!/bin/sh\nsleep 1000 & echo $! >> ${pids}\nexit $1\n`;
    const parent = await home.file("parent", body, 0o755);
    for (const code of ["0", "1"])
      expect((await runProgram(parent, [code], { ...run, leaves: true })).code).toBe(Number(code));
    const [left, ended] = (await readFile(pids, "utf8")).trim().split("\n").map(Number);
    await expect.poll(() => alive(ended!)).toBe(false);
    expect(await alive(left!)).toBe(true);
    process.kill(left!, "SIGKILL");
  });

  test("that goes on for long is left to the person where that is meant", async () => {
    await using home = await folder();
    const pid = join(home.path, "pid");
    const body = `#!/bin/sh\necho $$ > ${pid}.new; mv ${pid}.new ${pid}; exec sleep 1000\n`;
    const browser = await home.file("browser", body, 0o755);
    let later = () => {};
    const clock = {
      now: () => 0,
      mono: () => 0,
      after: (_ms: number, fn: () => void) => ((later = fn), () => {}),
    };
    const running = runProgram(browser, [], { ...run, leaves: true, leftAfterMs: 3_000, clock });
    await expect.poll(() => readFile(pid, "utf8").catch(() => ""), { timeout: 9_000 }).not.toBe("");
    later();
    expect(await running).toMatchObject({ left: true, code: null });
    const left = Number(await readFile(pid, "utf8"));
    expect(await alive(left)).toBe(true);
    process.kill(left, "SIGKILL");
  });

  test("is found on the PATH, where it can be run", async () => {
    await using home = await folder();
    const path = await home.file("tool", "#!/bin/sh\n", 0o755);
    await home.file("text", "no program");
    const env = { PATH: `relative::/no/such/folder:${home.path}` };
    expect(await findProgram("tool", env)).toBe(path);
    for (const name of ["text", "none", "."]) expect(await findProgram(name, env)).toBeUndefined();
    expect(await findProgram("tool", {})).toBeUndefined();
  });
});

test("a program that is missing is a state with a remedy, not a crash", async () => {
  const session = desktop({ PATH: "/no/such/folder" }, "linux");
  expect(await codeOf(need(session, "xclip", "xclip"))).toBe("not-ready");
  expect(await probeOf(() => need(session, "xclip", "xclip"))).toEqual({
    state: "unavailable",
    reason: expect.stringMatching(/^xclip was not found; .*xclip/) as string,
  });
  expect(await codeOf(runProgram("/no/such/program", [], run))).toBe("not-ready");
});

test("what goes wrong in a look in another way is told in our words only", async () => {
  const look = () => Promise.reject(new Error("/home/anna/secret"));
  expect(await probeOf(look)).toEqual({
    state: "unavailable",
    reason: "it cannot be looked at",
  });
});

test("a program of the desktop knows its display and bus, and nothing else of ours", () => {
  const from = {
    ...{ PATH: "/bin", DISPLAY: ":1", XAUTHORITY: "/a", DBUS_SESSION_BUS_ADDRESS: "unix:path=/b" },
    ...{ LD_PRELOAD: "x", BROWSER: "x", KITH_HOME: "x", ANTHROPIC_API_KEY: "x" },
  };
  expect(desktop(from, "linux")).toEqual({
    os: "linux",
    draws: "x11",
    env: {
      ...{ PATH: "/bin", DISPLAY: ":1", XAUTHORITY: "/a" },
      ...{ DBUS_SESSION_BUS_ADDRESS: "unix:path=/b", LC_ALL: "C.UTF-8" },
    },
  });
  expect(desktop({ DISPLAY: ":1" }, "darwin")).toEqual({
    ...{ os: "macos", draws: "native", env: { LC_ALL: "en_US.UTF-8" } },
  });
});
