/** shell.run with the real bubblewrap: the ways out are shut, the bounds hold, and without it nothing runs. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { bubblewrap } from "@kith/node-agent/drivers/shell/bubblewrap";
import { workFolder } from "@kith/node-agent/drivers/shell/folder";
import { shell } from "@kith/node-agent/drivers/shell/run";
import { syscallFilter } from "@kith/node-agent/drivers/shell/syscalls";
import type { Sandbox } from "@kith/node-agent/drivers/shell/sandbox";
import { sandboxHere } from "@kith/node-agent/drivers/shell/workspace";
import { shellRun } from "@kith/shared/capabilities/shell";
import { systemClock } from "@kith/shared/clock";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attempts } from "./shell-escapes.ts";
import {
  bash,
  desk,
  ESCAPED,
  isRoot,
  lacking,
  python,
  running,
  runShell,
  SECRET,
  type World,
  world,
} from "./shell-world.ts";
import { codeOf } from "./support.ts";

if (lacking) console.log(`skipped: the tests with a real sandbox, because ${lacking}`);

/** Fields of /proc/PID/stat after the name: state, parent … */
const stat = async (pid: number): Promise<string[]> => {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return text.slice(text.lastIndexOf(") ") + 2).split(" ");
};

/** How many `sleep WORD` run: others have the word on their command lines too. */
const sleeping = async (word: string): Promise<number> => {
  const names = await Promise.all(
    (await running(word)).map((pid) => readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")),
  );
  return names.filter((name) => name === "sleep\n").length;
};

describe.skipIf(lacking)("a way out of the sandbox", () => {
  let outside: World;
  beforeAll(async () => {
    process.env.KITH_CANARY = SECRET;
    outside = await world();
  });
  afterAll(async () => {
    delete process.env.KITH_CANARY;
    await outside[Symbol.asyncDispose]();
  });

  test.each(attempts)("$name: fails", async ({ argv, outside: who }) => {
    const words = argv(outside);
    const { stdout, stderr } = await outside.run(words);
    expect(stdout).not.toContain(ESCAPED);
    // An attempt that could not even be made proves nothing.
    expect(stderr).not.toMatch(/SyntaxError|NameError|command not found|cannot execute/);
    if (who === "person" || (who === "root" && isRoot))
      expect(await outside.outside(words, who)).toContain(ESCAPED);
  });
});

describe.skipIf(lacking)("a program in the sandbox", () => {
  let outside: World;
  beforeAll(async () => {
    outside = await world();
  });
  afterAll(() => outside[Symbol.asyncDispose]());

  test("gives its output, its code and what held it in", async () => {
    const { contents, ms, ...out } = await outside.run(bash("cat; echo oops >&2; exit 3"), {
      stdin: "a\tb\nc\n",
    });
    expect(out).toEqual({
      ...{ sandbox: "workspace", end: "exit", exit_code: 3 },
      ...{ stdout: "a\tb\nc\n", stdout_bytes: 6, stdout_truncated: false, stdout_lost: 0 },
      ...{ stderr: "oops\n", stderr_bytes: 5, stderr_truncated: false, stderr_lost: 0 },
    });
    expect(ms).toBeGreaterThanOrEqual(0);
    expect(Buffer.from(contents.get("stdout") ?? []).toString()).toBe("a\tb\nc\n");
    expect((await outside.run(["true"])).contents.size).toBe(0);
  });

  test("that does not exist, cannot be run, or is ended by a signal is told as a shell tells it", async () => {
    expect(await outside.run(["no-such-program"])).toMatchObject({ end: "exit", exit_code: 127 });
    expect(await outside.run(["./docs"])).toMatchObject({ end: "exit", exit_code: 126 });
    expect(await outside.run(bash("kill -KILL $$"))).toMatchObject({
      ...{ end: "signal", signal: "SIGKILL", exit_code: 137 },
    });
  });

  test("changes the shared folder for good, and starts where it was told", async () => {
    await outside.run(bash("pwd > ../made"), { cwd: { root: "work", path: "docs" } });
    expect(await readFile(join(outside.root, "made"), "utf8")).toBe("/workspace/docs\n");
    expect(
      (await outside.run(bash("echo x > /tmp/x && echo x > ~/x && cat /tmp/x ~/x"))).stdout,
    ).toBe("x\nx\n");
    expect((await outside.run(bash("ls -A /tmp ~"))).stdout).not.toContain("x");
  });

  test.each([
    [{ root: "work", path: "nothing" }, "gone"],
    [{ root: "work", path: ".." }, "bad-args"],
    [{ root: "work", path: "docs/../../other" }, "bad-args"],
    [{ root: "work", path: "/etc" }, "bad-args"],
    [{ root: "nobody" }, "bad-args"],
    [{ root: "__proto__" }, "bad-args"],
    [{}, "bad-args"],
  ])("is not started in %j: %s", async (cwd, code) => {
    expect(await codeOf(outside.run(bash("touch started"), { cwd }))).toBe(code);
    expect((await outside.run(["ls"])).stdout).not.toContain("started");
  });

  test("has no environment but the fixed one and what the call adds", async () => {
    process.env.LD_PRELOAD_KITH = SECRET;
    const env = [
      { name: "APP_MODE", value: "a=b c" },
      { name: "TZ", value: "UTC" },
    ];
    const { stdout } = await outside.run(["/usr/bin/cat", "/proc/self/environ"], { env });
    delete process.env.LD_PRELOAD_KITH;
    // A zero byte is no text, so they stand one after the other.
    expect(stdout).toContain("APP_MODE=a=b c");
    const names = await outside.run(python("import os; print(*sorted(os.environ))"), { env });
    expect(names.stdout.trim().split(" ")).toEqual([
      "APP_MODE",
      "HOME",
      "LANG",
      "PATH",
      "PWD",
      "TERM",
      "TMPDIR",
      "TZ",
    ]);
    const first = await outside.run(bash("tr '\\0' ' ' < /proc/1/environ"));
    expect(first.stdout.replace(/PATH=\S*/, "")).toMatch(/^\s*LC_ALL=C\s*$|^ ?LC_ALL=C ?$/);
  });

  test("cannot read where the shared folder really is", async () => {
    const { stdout } = await outside.run(
      bash("cat /proc/1/cmdline /proc/self/cmdline | tr '\\0' ' '"),
    );
    expect(stdout).toContain("bwrap");
    expect(stdout).not.toContain(outside.base);
  });

  test("has a session of its own, no rights, and no descriptor that leads anywhere but its three", async () => {
    const told = await outside.run(
      python(
        "import os\nlinks = ['/proc/self/fd/' + n for n in os.listdir('/proc/self/fd') if int(n) > 2]\n" +
          "print(os.getsid(0), os.getuid(), {os.readlink(p) for p in links if os.path.exists(p)} - {'/dev/null'})\n" +
          "print(open('/proc/self/status').read())",
      ),
    );
    expect(told.stdout).toMatch(/^1 1000 set\(\)\n/);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect(told.stdout).toMatch(new RegExp(`^${set}:\t0+$`, "m"));
    expect(told.stdout).toMatch(/^NoNewPrivs:\t1$/m);
    expect(told.stdout).toMatch(/^Seccomp:\t2$/m);
  });

  test("gets 320 hostile arguments unchanged, and nothing else is started", async () => {
    const words = Array.from({ length: 320 }, (_, at) => hostile[at % hostile.length]! + at);
    for (let at = 0; at < words.length; at += 60) {
      const part = words.slice(at, at + 60);
      const { stdout } = await outside.run([
        ...python("import json, sys; print(json.dumps(sys.argv[1:]))"),
        ...part,
      ]);
      expect(JSON.parse(stdout)).toEqual(part);
    }
    expect((await outside.run(["ls", "-A", "."])).stdout).not.toContain("pwned");
  });

  test("has at most 64 processes, a fork bomb among them", async () => {
    const bomb = python(
      "import os, time\nn = 0\ntry:\n  while n < 300:\n    if os.fork() == 0: time.sleep(20); os._exit(0)\n    n += 1\nexcept OSError: pass\nprint(n)\n" +
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.killpg(0, signal.SIGTERM)",
    );
    const { stdout } = await outside.run(bomb);
    expect(Number(stdout)).toBeLessThan(64);
    expect(Number(stdout)).toBeGreaterThan(32);
  });

  test("has bounded memory, in itself, shared, and in its folders of memory", async () => {
    const takes = (what: string) => outside.run(python(what));
    expect((await takes("x = bytearray(700 << 20)")).stderr).toContain("MemoryError");
    expect((await takes("import mmap; mmap.mmap(-1, 5 << 30)")).stderr).toContain(
      "Cannot allocate",
    );
    for (const [path, mib] of [
      ["/tmp", 256],
      ["/home/kith", 64],
      ["/dev/shm", 64],
    ] as const)
      expect((await outside.run(["df", "-B1M", "--output=size", path])).stdout).toContain(
        ` ${mib}\n`,
      );
    expect((await takes("open('/dev/shm/x', 'wb').write(bytes(80 << 20))")).stderr).toContain(
      "No space",
    );
    expect((await outside.run(bash("ulimit -t -c -n"))).stdout).toMatch(/60\n.* 0\n.* 1024\n/s);
    expect((await outside.run(["cat", "/proc/self/oom_score_adj"])).stdout).toBe("1000\n");
  });

  test("leaves nothing running behind its end", async () => {
    const word = `600.${process.pid}1`;
    await outside.run(
      bash(`setsid nohup sleep ${word} > /dev/null 2>&1 < /dev/null & kill -9 1; exit 0`),
    );
    await expect.poll(() => running(word)).toEqual([]);
  });

  test("has output of any size, of which the first part is kept", async () => {
    const out = await outside.run(
      bash("head -c 20000000 /dev/zero | tr '\\0' 'é'; yes | head -c 9000 >&2"),
    );
    expect(out).toMatchObject({
      stdout_bytes: 20_000_000,
      stdout_truncated: true,
      stderr_bytes: 9_000,
    });
    expect(out.contents.get("stdout")).toHaveLength(8 * 1_048_576);
    expect(out.stdout_lost).toBe(20_000_000 - 8 * 1_048_576);
    expect([out.stderr.length, out.stderr_truncated, out.stderr_lost]).toEqual([8_192, true, 0]);
  });

  test("does not reach a terminal with its output", async () => {
    const { stdout, stdout_truncated, contents } = await outside.run(
      bash(String.raw`printf '\e]52;c;eA==\a\e[2Ja\rb\xff\xe2\x80\xaec'`),
    );
    expect(stdout).toBe("]52;c;eA==[2Jab\ufffdc");
    expect(stdout_truncated).toBe(true);
    expect(contents.get("stdout")).toContain(0x1b);
  });

  test("is asked to end at its time, and what it said until then is kept", async () => {
    const out = await outside.run(
      bash("trap 'echo bye; exit 9' TERM; echo begun; sleep 600 & wait"),
      { timeout_s: 1 },
    );
    expect(out).toMatchObject({ end: "timeout", stdout: "begun\nbye\n" });
    expect(out).not.toHaveProperty("exit_code");
  });

  test("that will not end is ended, with all that it started", async () => {
    const [word, stop] = [`600.${process.pid}2`, new AbortController()];
    const program = bash(
      `trap '' TERM; touch deaf; setsid sleep ${word} & sleep ${word} & wait; wait; sleep ${word}`,
    );
    const run = codeOf(outside.run(program, { signal: stop.signal }));
    await expect.poll(() => sleeping(word)).toBe(2);
    stop.abort();
    expect(await run).toBe("cancelled");
    expect(await running(word)).toEqual([]);
    expect(await codeOf(outside.run(["true"], { signal: stop.signal }))).toBe("cancelled");
  });

  test("is told as interrupted when somebody ends its sandbox", async () => {
    const word = `600.${process.pid}3`;
    const run = codeOf(outside.run(["sleep", word]));
    await expect.poll(() => sleeping(word)).toBe(1);
    for (const pid of await running(word))
      if ((await stat(pid))[1] === String(process.pid)) process.kill(pid, "SIGKILL");
    expect(await run).toBe("interrupted");
    await expect.poll(() => running(word)).toEqual([]);
  });
});

describe.skipIf(lacking)("without", () => {
  const whole = bubblewrap(process.arch);

  /** The sandbox with other options. */
  function weaker(changes: readonly (readonly [from: string, to: string])[]): Sandbox {
    if (typeof whole === "string") throw new Error(whole);
    return {
      ...whole,
      command(job) {
        const { feeds, ...rest } = whole.command(job);
        let options = Buffer.from(feeds[0] ?? []).toString();
        for (const [from, to] of changes) {
          const [cut, put] = [from, to].map((words) => words.replaceAll(/ |$/g, "\0"));
          if (!options.includes(cut!)) throw new Error(`no ${from}`);
          options = options.replace(cut!, to === "" ? "" : put!);
        }
        return { ...rest, feeds: [Buffer.from(options), ...feeds.slice(1)] };
      },
    };
  }

  const filter = ["--seccomp 5", ""] as const;
  const network = ["--unshare-all", "--unshare-all --share-net"] as const;
  const processes = ["--unshare-all", "--unshare-uts --unshare-net"] as const;
  const proc = ["--proc /proc", "--bind /proc /proc"] as const;
  const namespaces = ["--disable-userns", ""] as const;
  const tmp = [`--size ${256 * 1_048_576} --tmpfs /tmp`, "--bind /tmp /tmp"] as const;
  const environment = ["--clearenv", "--setenv KITH_CANARY x"] as const;

  // Each guard taken away lets this out, so the guard is what holds it.
  test.each([
    { guard: "the filter", name: "connects to a socket in the shared folder", changes: [filter] },
    { guard: "the filter", name: "makes an io_uring", changes: [filter] },
    {
      guard: "a network of its own",
      name: "connects to a port of the loopback",
      changes: [network],
    },
    { guard: "both of these", name: "connects to an abstract socket", changes: [filter, network] },
    {
      guard: "processes of its own",
      name: "sends a signal to a process outside",
      changes: [processes, proc],
    },
    {
      guard: "processes of its own",
      name: "sees a process outside",
      changes: [processes, proc],
    },
    {
      guard: "an end to user namespaces",
      name: "makes a user namespace of its own",
      changes: [namespaces],
    },
    { guard: "folders of its own", name: "reads a private ssh key", changes: [tmp] },
    {
      guard: "folders of its own",
      name: "makes a link of its own and writes through it",
      changes: [tmp],
    },
    { guard: "both of these", name: "connects to the agent's node.sock", changes: [tmp, filter] },
    {
      guard: "an environment of its own",
      name: "reads the environment of the agent",
      changes: [environment],
    },
  ])("$guard: $name", async ({ name, changes }) => {
    await using outside = await world(weaker(changes));
    const attempt = attempts.find((one) => one.name === name);
    const { stdout, stderr } = await outside.run(attempt?.argv(outside) ?? []);
    expect(stdout, stderr).toContain(ESCAPED);
  });
});

/** Text that a shell, a loader or an option parser would make something of. */
const hostile = [
  ...["$(touch pwned)", "`touch pwned`", "; touch pwned #", "| touch pwned", "&& touch pwned"],
  ...["\n touch pwned\n", "> pwned", "$IFS", "*", "~", "{a,b}", "!!", "\\", '"', "'", "%s%n", ""],
  ...[
    "--",
    "-c",
    "-o",
    "--bind",
    "--args",
    "--seccomp",
    "--uid=0",
    "--nproc=unlimited",
    "-oProxyCommand=",
  ],
  ...["LD_PRELOAD=x", "PATH=.", "../../..", "file:///etc/passwd", "\u00e9\u{1f600}", "a\tb"],
];

describe.skipIf(lacking)("the agent that runs a program", () => {
  const agent = join(import.meta.dirname, "shell-run.child.ts");

  test("passes on no file that it was given itself", async () => {
    await using place = (await desk()).home;
    await writeFile(join(place.path, "secret"), SECRET);
    // Node closes what it knows of: a number with a gap before it is not among that.
    const start = `exec 251< "$1"; shift; exec "$@"`;
    const leak = ["-c", start, "bash", join(place.path, "secret"), process.execPath];
    const reads = bash(`cat <&251; echo end`);
    const { stdout } = await promisify(execFile)("/bin/bash", [
      ...[...leak, agent, join(place.path, "root")],
      ...reads,
    ]);
    expect(stdout).toBe("end\n");
    // Without the driver it is there.
    const control = await promisify(execFile)("/bin/bash", [...leak, "-e", CONTROL]);
    expect(control.stdout).toBe(SECRET);
  });

  test("takes everything with it, even when it is killed", async () => {
    await using place = (await desk()).home;
    const word = `600.${process.pid}4`;
    const words = bash(`setsid sleep ${word} & sleep ${word}`);
    const child = spawn(process.execPath, [agent, join(place.path, "root"), ...words], {
      stdio: "ignore",
    });
    await expect.poll(() => sleeping(word), { timeout: 10_000 }).toBe(2);
    child.kill("SIGKILL");
    await once(child, "exit");
    await expect.poll(() => running(word)).toEqual([]);
  });
});

const CONTROL = `require("child_process").spawnSync("/bin/cat", ["/proc/self/fd/251"], { stdio: "inherit" })`;

describe("without a sandbox", () => {
  const fake = async (body: string) => {
    const place = await desk();
    const program = await place.home.file("bwrap", `#!/bin/sh\n${body}\n`, 0o755);
    return { ...place, sandbox: bubblewrap("x64", program) };
  };

  test.each([
    [
      "refuses user namespaces",
      "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1",
      /user namespaces.*what to do/,
    ],
    [
      "refuses them otherwise",
      "echo 'bwrap: No permissions to create new namespace' >&2; exit 1",
      /user namespaces/,
    ],
    [
      "has an old bubblewrap",
      "echo 'bwrap: Unknown option --disable-userns' >&2; exit 1",
      /0\.8 or later/,
    ],
    [
      "has no util-linux",
      "echo 'bwrap: execvp choom: No such file or directory' >&2; exit 1",
      /util-linux/,
    ],
    ["says something new", "echo 'bwrap: secret/path' >&2; exit 1", /^the sandbox did not start/],
    ["says nothing and claims success", "exit 0", /^the sandbox did not start/],
    ["cannot be started", "", /cannot be started|did not start/],
  ])("a system that %s runs nothing and says why", async (_, body, reason) => {
    const { home, roots, closed, root, sandbox } = await fake(body);
    await using _home = home;
    const driver = shell({ roots, closed, sandbox });
    const found = await driver.probe();
    expect(found).toMatchObject({ state: "unavailable", reason: expect.stringMatching(reason) });
    expect(Buffer.byteLength(found.reason ?? "")).toBeLessThanOrEqual(160);
    expect(found.reason).not.toContain("secret");
    const run = runShell(driver, { argv: ["touch", join(root, "ran")], cwd: { root: "work" } });
    expect(await codeOf(run)).toBe("not-ready");
    expect(await readFile(join(root, "ran"), "utf8").catch(() => "nothing")).toBe("nothing");
  });

  test.each([
    ["no bubblewrap", bubblewrap("x64", "no-such-bwrap"), /apt install bubblewrap/],
    ["another processor", sandboxHere("linux", "mips"), /processor mips/],
    ["macOS", sandboxHere("macos"), /macOS/],
    ["Windows", sandboxHere("windows"), /windows/],
  ])("with %s nothing is run", async (_, sandbox, reason) => {
    const { home, roots, closed } = await desk();
    await using _home = home;
    const driver = shell({ roots, closed, sandbox });
    expect(await driver.probe()).toMatchObject({
      ...{ state: "unavailable", reason: expect.stringMatching(reason) },
    });
    const run = runShell(driver, { argv: ["true"], cwd: { root: "work" } });
    expect(await codeOf(run)).toBe("not-ready");
  });

  test("with no folder there is nothing to run in", async () => {
    const driver = shell({ roots: new Map(), closed: { home: "/none", own: [] } });
    expect(await driver.probe()).toMatchObject({
      ...{ state: "unavailable", reason: "no folder shared yet (--root NAME=PATH)" },
    });
    expect(await codeOf(runShell(driver, { argv: ["true"] }))).toBe("bad-args");
  });

  test("what was found is believed for a minute", async () => {
    const { home, roots, closed, sandbox, own } = await fake(`echo x >> "\${0%/*}/starts"; exit 1`);
    await using _home = home;
    await own(home.path);
    let now = 0;
    const clock = { ...systemClock, mono: () => now };
    const driver = shell({ roots, closed, sandbox, clock });
    const starts = async () => (await readFile(join(home.path, "starts"), "utf8")).length / 2;
    await Promise.all([driver.probe(), driver.probe()]);
    now = 60_000;
    await driver.probe();
    expect(await starts()).toBe(roots.size);
    now = 60_001;
    await driver.probe();
    expect(await starts()).toBe(2 * roots.size);
  });
});

test.skipIf(lacking)("with a sandbox the folders that will do are named", async () => {
  const { home, driver } = await desk();
  await using _home = home;
  expect(await driver.probe()).toMatchObject({
    ...{ state: "ready", devices: [{ id: "work" }, { id: "other" }] },
  });
});

describe("a shared folder for commands", () => {
  test("is not the home, Kith's own, hidden, the system's, or inside another", async () => {
    const place = await desk();
    await using home = place.home;
    const { closed, own, roots } = place;
    for (const path of ["home/.config", "home/work", "kith/sub", "root/inner"]) {
      await mkdir(join(home.path, path));
      await own(join(home.path, path));
    }
    await symlink(join(home.path, "home/.ssh"), join(home.path, "alias"));
    const code = (path: string) => codeOf(workFolder(path, roots, closed));
    const at = (path: string) => join(home.path, path);
    for (const path of ["home", "home/.ssh", "home/.config", "kith", "kith/sub", "", "alias"])
      expect(await code(at(path)), path).toBe("denied-local");
    for (const path of ["/", "/etc", "/usr/share", "/proc", "/dev/shm", "/run"])
      expect(await code(path), path).toBe("denied-local");
    expect(await code(at("root/inner"))).toBe("denied-local");
    // However it is named: the name on the way is one that a command in `root` can exchange.
    await symlink(at("root"), at("by-link"));
    await symlink(at("root/swapped"), at("to-link"));
    await symlink(at("home/work"), at("root/swapped"));
    for (const path of ["by-link/inner", "by-link/swapped", "to-link", "root/swapped"])
      expect(await code(at(path)), path).toBe("denied-local");
    expect((await workFolder(at("by-link"), roots, closed)).path).toBe(at("root"));
    expect(await code(at("nothing"))).toBe("gone");
    expect((await workFolder(at("home/work"), roots, closed)).path).toBe(at("home/work"));
    expect((await workFolder(at("root"), roots, closed)).path).toBe(at("root"));
  });

  test("of root is refused, and another's makes the command theirs", async ({ skip }) => {
    if (!isRoot) skip("needs root");
    const { home, roots, closed, root } = await desk();
    await using _home = home;
    expect(await workFolder(root, roots, closed)).toMatchObject({ as: { uid: 65_534 } });
    await chown(root, 0, 0);
    expect(await codeOf(workFolder(root, roots, closed))).toBe("os-permission");
  });
});

describe("the arguments", () => {
  const ok = (args: object) => v.is(shellRun.args, { argv: ["ls"], ...args });
  const added = (name: string) => ok({ env: [{ name, value: "x" }] });

  test.each([
    [
      { argv: Array.from({ length: 64 }, () => "x") },
      { argv: Array.from({ length: 65 }, () => "x") },
    ],
    [{ argv: ["x", "x".repeat(8_192)] }, { argv: ["x", "x".repeat(8_193)] }],
    [{ argv: ["./x"] }, { argv: [] }],
    [{ argv: ["x", ""] }, { argv: [""] }],
    [{ argv: ["x", "--y"] }, { argv: ["--y"] }],
    [{ argv: ["x", "a\nb\t"] }, { argv: ["x", "a\0b"] }],
    [{ stdin: "x".repeat(16_384) }, { stdin: "x".repeat(16_385) }],
    [{ stdin: "a\n" }, { stdin: "\u001b[2J" }],
    [{ timeout_s: 590 }, { timeout_s: 591 }],
    [{ timeout_s: 1 }, { timeout_s: 0 }],
    [{ cwd: { path: "a" } }, { cwd: { path: "a", more: 1 } }],
    [
      { env: Array.from({ length: 16 }, () => ({ name: "TZ", value: "x" })) },
      { env: Array.from({ length: 17 }, () => ({ name: "TZ", value: "x" })) },
    ],
    [
      { env: [{ name: `APP_${"A".repeat(28)}`, value: "" }] },
      { env: [{ name: `APP_${"A".repeat(29)}`, value: "" }] },
    ],
  ])("are bounded: a good one and a bad one (%#)", (good, bad) => {
    expect([ok(good), ok(bad)]).toEqual([true, false]);
  });

  test(`add none of ${dangerous.length} names that make a program do something else`, () => {
    expect(dangerous.filter(added)).toEqual([]);
    expect(dangerous.length).toBeGreaterThanOrEqual(60);
  });
});

const dangerous = (
  "LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT LD_DEBUG LD_PROFILE GLIBC_TUNABLES GCONV_PATH LOCPATH NLSPATH MALLOC_TRACE " +
  "DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH PATH HOME SHELL IFS ENV BASH_ENV BASHOPTS SHELLOPTS PS4 PROMPT_COMMAND CDPATH ZDOTDIR " +
  "NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NPM_CONFIG_PREFIX npm_config_script_shell PYTHONPATH PYTHONSTARTUP PYTHONHOME " +
  "PYTHONINSPECT PYTHONUSERBASE PERL5LIB PERL5OPT PERL5DB RUBYLIB RUBYOPT GEM_PATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH " +
  "GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_CONFIG_GLOBAL PAGER LESSOPEN EDITOR VISUAL BROWSER " +
  "HTTP_PROXY https_proxy SSL_CERT_FILE SSH_AUTH_SOCK DBUS_SESSION_BUS_ADDRESS DOCKER_HOST XDG_RUNTIME_DIR DISPLAY TMPDIR TERM LANG " +
  "LC_ALL TERMINFO MAKEFLAGS CC RUSTC_WRAPPER GOFLAGS LUA_INIT PHPRC KITH_HOME APP_ app_x APP_x APP_X=Y"
).split(" ");

test("the filter is one for each processor that it knows", () => {
  for (const processor of ["x64", "arm64"])
    expect((syscallFilter(processor)?.length ?? 0) % 8).toBe(0);
  expect(syscallFilter("x64")).not.toEqual(syscallFilter("arm64"));
  for (const processor of ["ia32", "mips", "toString", "__proto__"])
    expect(syscallFilter(processor)).toBeUndefined();
});
