/** A real terminal of the system, with shells that end in every way. */
import { shellOpen } from "@kith/shared/capabilities/shell";
import { KithError } from "@kith/shared/errors";
import { terminals } from "@kith/node-agent/drivers/shell/open";
import type { Terminal, Tools } from "@kith/node-agent/drivers/driver";
import { endSession, loginShell } from "@kith/node-agent/platform";
import { describe, expect, test } from "vitest";
import { until } from "../support/until.ts";
import { alive, codeOf, folder } from "./support.ts";

const driver = terminals({ shell: { program: "/bin/sh", args: [] } });
const { state } = await driver.probe();
const skip = state !== "ready";
if (skip) console.log("skipped: terminals, because the part for them is not installed");

/** What the agent lends, and what was shown. */
function lend() {
  const stop = new AbortController();
  const said: string[] = [];
  let output = "";
  let written = 0;
  let terminal: Terminal | undefined;
  const tools: Tools = {
    signal: stop.signal,
    stream: () => {},
    call: "C",
    receive: () => Promise.reject(new Error("it brings nothing")),
    notice: (what) => (said.push(what), Promise.resolve()),
    terminal: (given) => {
      terminal = given;
      return {
        write(bytes) {
          output += Buffer.from(bytes).toString();
          written += bytes.length;
        },
        finish: () => Promise.resolve(written),
      };
    },
  };
  return {
    tools,
    said,
    stop,
    get output() {
      return output;
    },
    get terminal(): Terminal {
      if (!terminal) throw new Error("no terminal yet");
      return terminal;
    },
    get begun() {
      return terminal !== undefined;
    },
    type: (text: string) => terminal?.write(Buffer.from(text)),
    shows: (text: string) =>
      until(
        `it to show ${text}`,
        () => output.includes(text),
        () => output,
      ),
  };
}

const open = (change = {}) => {
  const lent = lend();
  const end = driver.run({ columns: 80, rows: 24, ...change }, lent.tools);
  end.catch(() => {}); // Looked at below.
  return { lent, end };
};

describe.skipIf(skip)("a terminal", () => {
  test("is one: what is typed is run, and its size is what it was told", async () => {
    const { lent, end } = open({ columns: 91, rows: 33 });
    await until("the shell", () => lent.begun);
    expect(lent.said).toEqual(["terminal: sh"]);
    void lent.type("stty size; tty; echo $TERM; exit 7\n");
    await expect(end).resolves.toMatchObject({ end: "exit", exit_code: 7 });
    expect(lent.output).toMatch(/33 91\r\n\/dev\/\w+/);
    expect(lent.output).toContain("xterm-256color");
  });

  test("hears of a new size at once", async () => {
    const { lent, end } = open();
    await until("the shell", () => lent.begun);
    // In one process group, as the terminal tells the one in front only.
    const script = "trap 'stty size' WINCH; echo rea''dy; while :; do sleep 0.05; done";
    void lent.type(`exec sh -c "${script}"\n`);
    await lent.shows("ready");
    lent.terminal.resize(120, 40);
    await lent.shows("40 120");
    lent.stop.abort(new KithError("cancelled", "enough"));
    expect(await codeOf(end)).toBe("cancelled");
    // Its end is on the way, or was: that is no reason to fail.
    lent.terminal.resize(10, 10);
  });

  test("waits while it is paused, and goes on", async () => {
    const { lent, end } = open();
    await until("the shell", () => lent.begun);
    void lent.type("i=0; while :; do i=$((i+1)); echo line $i; done\n");
    await lent.shows("line 50\r");
    lent.terminal.pause();
    // What was read already may still come; then nothing does.
    let last = -1;
    await until("it to be quiet", () => {
      const quiet = lent.output.length === last;
      last = lent.output.length;
      return quiet;
    });
    lent.terminal.resume();
    await until("it to go on", () => lent.output.length > last);
    lent.stop.abort(new KithError("cancelled", "enough"));
    expect(await codeOf(end)).toBe("cancelled");
  });

  test("ends with everything that its shell started, whatever group that is in and whatever it ignores", async () => {
    await using home = await folder();
    const { lent, end } = open();
    await until("the shell", () => lent.begun);
    const script = await home.file("stubborn", "trap '' HUP TERM INT\necho $$ \nexec sleep 300\n");
    void lent.type(`set -m; sh ${script} & sh ${script}\n`);
    const pids = () => [...lent.output.matchAll(/^(\d+) *\r$/gm)].map(([, pid]) => Number(pid));
    await until(
      "both",
      () => pids().length === 2,
      () => lent.output,
    );
    lent.stop.abort(new KithError("locked", "this device was locked"));
    expect(await codeOf(end)).toBe("locked");
    await until("all of them to end", async () =>
      (await Promise.all(pids().map(alive))).every((one) => !one),
    );
  });

  test("ends what a shell that was left by exit has running", async () => {
    const { lent, end } = open();
    await until("the shell", () => lent.begun);
    void lent.type("sleep 301 & echo pid $! .; exit\n");
    await end;
    const pid = Number(/pid (\d+) \./.exec(lent.output)?.[1]);
    await until("it to end", async () => !(await alive(pid)));
  });

  test("tells which signal ended its shell", async () => {
    const { lent, end } = open();
    await until("the shell", () => lent.begun);
    void lent.type("kill -KILL $$\n");
    await expect(end).resolves.toMatchObject({ end: "signal", signal: "SIGKILL" });
  });

  test("lets whoever types wait for a program that does not read", async () => {
    const { lent, end } = open();
    await until("the shell", () => lent.begun);
    void lent.type("stty raw -echo; echo rea''dy; sleep 302\n");
    await lent.shows("ready");
    let taken = 0;
    for (let n = 0; n < 8; n++) void lent.terminal.write(Buffer.alloc(65_536)).then(() => taken++);
    // We are here at all: nothing stands still.
    await new Promise((resolve) => setImmediate(resolve));
    expect(taken).toBe(0);
    lent.stop.abort(new KithError("cancelled", "enough"));
    expect(await codeOf(end)).toBe("cancelled");
  });
});

test("where its part is missing it says so, and runs nothing", async () => {
  const none = terminals({ load: () => Promise.reject(new Error("ERR_MODULE_NOT_FOUND")) });
  expect(await none.probe()).toEqual({
    state: "unavailable",
    reason: "the part for terminals is not installed: @lydell/node-pty",
  });
  const lent = lend();
  const run = none.run({ columns: 80, rows: 24 }, lent.tools);
  expect(await codeOf(run)).toBe("not-ready");
  expect(lent.said).toEqual([]);
});

test("a call that was stopped before it began starts nothing", async () => {
  const started: string[] = [];
  const counting = terminals({
    load: async () => ({
      spawn: (program) => {
        started.push(program);
        throw new Error("must not");
      },
    }),
  });
  const lent = lend();
  lent.stop.abort(new KithError("locked", "this device was locked"));
  expect(await codeOf(counting.run({ columns: 80, rows: 24 }, lent.tools))).toBe("locked");
  expect(started).toEqual([]);
});

test("the shell is the one of the user table, as a login shell where it knows what that is", () => {
  expect(loginShell("/usr/bin/zsh", "linux")).toEqual({ program: "/usr/bin/zsh", args: ["-l"] });
  expect(loginShell("/bin/dash", "linux")).toEqual({ program: "/bin/dash", args: [] });
  expect(loginShell("sh; evil", "linux")).toEqual({ program: "/bin/sh", args: [] });
  expect(loginShell(undefined, "darwin")).toEqual({ program: "/bin/sh", args: [] });
  expect(loginShell(undefined, "win32").program).toBe("powershell.exe");
});

test("no session of the system itself is ever ended", () => {
  expect(() => endSession(1, "SIGKILL")).not.toThrow();
  expect(() => endSession(0, "SIGKILL")).not.toThrow();
});

test("its longest run is that of the capability", () => {
  expect(driver.maxMs).toBe(shellOpen.ttlMs);
});
