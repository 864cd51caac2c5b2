/** A shell on a device: typed into, left, found again after the gateway was killed, ended. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { terminals } from "@kith/node-agent/drivers/shell/open";
import { describe, expect, test } from "vitest";
import { alive } from "../drivers/support.ts";
import { Control, pairedWorld, residentMiB, root, until, type World } from "../support/home.ts";

const { state } = await terminals().probe();
const skip = state !== "ready";
if (skip)
  console.log("skipped: shells on a device, because the part for terminals is not installed");

const SIZE = { columns: 80, rows: 24 };

async function start(): Promise<World> {
  const home = await pairedWorld();
  await home.startGateway();
  await home.startNode("laptop", { allow: "shell.open=allow" });
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state: now }) => cap === "shell.open" && now === "ready"),
  );
  return home;
}

/** Somebody who watches a shell through the control socket. */
class Viewer implements Disposable {
  readonly control: Control;
  text = "";
  at = 0;
  open = false;
  end: any;

  private constructor(control: Control) {
    this.control = control;
  }

  static async enter(home: World, call: string, from?: number, before?: Viewer): Promise<Viewer> {
    const hear = (event: string, data: any) => {
      if (event === "shell.output") {
        viewer.text += data.text;
        viewer.at = data.at;
      } else if (event === "shell.state") viewer.open = data.open;
      else if (event === "shell.closed") viewer.end = data;
    };
    const viewer: Viewer = new Viewer(await Control.open(home.home, hear));
    viewer.text = before?.text ?? "";
    await viewer.control.call("shell.attach", {
      ...{ call, ...SIZE },
      ...(from === undefined ? {} : { from }),
    });
    await until("the shell to be there", () => viewer.open || viewer.end);
    return viewer;
  }

  type(text: string) {
    return this.control.call("shell.input", { data: Buffer.from(text).toString("base64") });
  }

  async shows(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    const find = () => pattern.exec(this.text.slice(from));
    await until(`${pattern}`, find, () => JSON.stringify(this.text));
    return find() as RegExpExecArray;
  }

  /** Types a command and waits for what it prints; what is typed itself is no match. */
  async runs(command: string, pattern: RegExp): Promise<string> {
    const from = this.text.length;
    await this.type(`${command}\n`);
    return (await this.shows(pattern, from))[1] ?? "";
  }

  [Symbol.dispose](): void {
    this.control.close();
  }
}

async function open(home: World, allow = "once"): Promise<{ call: string; viewer: Viewer }> {
  const { out } = await home.call("shell.open", { device: "laptop", ...SIZE, allow });
  return { call: out.call, viewer: await Viewer.enter(home, out.call) };
}

const shellPid = async (viewer: Viewer) => Number(await viewer.runs("echo pid=$$", /pid=(\d+)/));

describe.skipIf(skip)("a shell on a device", () => {
  test("runs what is typed, tells its size, and ends by exit with its code", async () => {
    await using home = await start();
    const { call, viewer } = await open(home);
    using _ = viewer;
    await home.nodes
      .get("laptop")
      ?.event("notice", ({ what, on }) => on && what.startsWith("terminal"));
    await viewer.runs("echo h''i", /^(hi)\r$/m);
    await viewer.control.call("shell.resize", { columns: 132, rows: 50 });
    await viewer.runs("stty size", /(50 132)/);
    expect((await home.call("shell.list")).out.shells).toMatchObject([{ call, state: "sent" }]);
    await viewer.type("exit 3\n");
    await until("its end", () => viewer.end);
    expect(viewer.end).toMatchObject({
      why: "ended",
      text: "The shell of laptop ended with code 3.",
    });
    expect((await home.call("shell.list")).out.shells).toEqual([]);
    expect(await home.ledger("laptop", "shell.open")).toMatchObject([{ state: "done", starts: 1 }]);
    expect(await home.auditIsWhole()).toBe(true);
  });

  test("is the same one, with its screen, after the gateway was killed and came back", async () => {
    await using home = await start();
    const { call, viewer } = await open(home);
    using _ = viewer;
    const pid = await shellPid(viewer);
    await viewer.runs("echo before=$((1+1))", /(before=2)/);
    await home.gateway?.end("SIGKILL");
    // It goes on meanwhile.
    await home.startGateway();
    using again = await Viewer.enter(home, call, viewer.at, viewer);
    expect(await shellPid(again)).toBe(pid);
    // Nothing twice, nothing lost: one text, as if nothing had been.
    expect(again.text.match(/^before=2\r$/gm)).toHaveLength(1);

    // Somebody who was never here sees what the device kept.
    using fresh = await Viewer.enter(home, call.slice(-6));
    await fresh.shows(/^before=2\r$/m);
    await until("the older one to be told", () => again.end);
    expect(again.end).toMatchObject({ why: "taken" });
    expect(await shellPid(fresh)).toBe(pid);
    expect(await home.ledger("laptop", "shell.open")).toMatchObject([{ starts: 1 }]);
  });

  test("goes on when whoever watches leaves, and when its own link breaks", async () => {
    await using home = await start();
    const { call, viewer } = await open(home);
    const pid = await shellPid(viewer);
    await viewer.type("sleep 1; echo wh''ile\n");
    viewer.control.close();
    using again = await Viewer.enter(home, call);
    await again.shows(/^while\r$/m);
    const node = home.nodes.get("laptop")?.pid ?? 0;
    // Silent for longer than the gateway believes: both ends make a new link.
    process.kill(node, "SIGSTOP");
    await until("the gateway to notice", () => !again.open);
    process.kill(node, "SIGCONT");
    await until("the link to be back", () => again.open);
    expect(await shellPid(again)).toBe(pid);
  });

  test("is asked for each time: a permission for an hour opens no second one", async () => {
    await using home = await start();
    const { viewer } = await open(home, "1h");
    using _ = viewer;
    const [shell] = (await home.call("shell.list")).out.shells;
    expect(shell.until - Date.now()).toBeLessThan(3_603_000);
    const second = await home.call("shell.open", { device: "laptop", ...SIZE });
    expect(second.out.state).toBe("asked");
    await home.call("calls.cancel", { id: second.out.call });
  });
});

describe.skipIf(skip)("is ended within a second by", () => {
  test.for<[string, (home: World, call: string) => Promise<unknown>, string]>([
    ["revoking the device", (home) => home.call("devices.revoke", { device: "laptop" }), "revoked"],
    ["a lock at the gateway", (home) => home.call("lock"), "locked"],
    ["its owner's word", (home, call) => home.call("shell.close", { call }), "cancelled"],
    [
      "a lock at the device",
      async (home) => writeFileSync(join(home.nodeHome("laptop"), "locked"), ""),
      "locked",
    ],
  ])("%s", async ([, act, code]) => {
    await using home = await start();
    const { call, viewer } = await open(home);
    using _ = viewer;
    const pid = await shellPid(viewer);
    await act(home, call);
    await until("the viewer to be told", () => viewer.end);
    expect(viewer.end).toMatchObject({ why: "failed", error: { code } });
    await until("the shell to end", async () => !(await alive(pid)));
  });

  test("the end of the agent", async () => {
    await using home = await start();
    const { viewer } = await open(home);
    using _ = viewer;
    const pid = await shellPid(viewer);
    expect(await home.nodes.get("laptop")?.end("SIGTERM")).toMatchObject({ code: 0 });
    expect(await alive(pid)).toBe(false);
  });
});

describe.skipIf(skip)("a device that floods", () => {
  test("waits for whoever watches, and the gateway grows by no more than its windows", async () => {
    await using home = await start();
    const { viewer } = await open(home);
    using _ = viewer;
    const pid = home.gateway?.pid ?? 0;
    await viewer.type("yes 0123456789012345678901234567890123456789\n");
    await viewer.shows(/(0123456789\r?\n.*){5}/s);
    const before = residentMiB(pid);
    viewer.control.pause();
    const began = performance.now();
    await until("three seconds of flood", () => performance.now() - began > 3_000);
    expect(residentMiB(pid) - before).toBeLessThan(32);
    // It was only waiting.
    const { length } = viewer.text;
    viewer.control.resume();
    await until("more of it", () => viewer.text.length > length + 1_000_000);
  });
});

/** The verb itself, in a terminal of ours, as a person sees it. */
describe.skipIf(skip)("kith shell", () => {
  test("refuses where there is no terminal", async () => {
    await using home = await start();
    const { kith } = await import("../support/kith.ts");
    const said = await kith(home.home, "shell", "laptop", "--allow", "once");
    expect(said.code).toBe(2);
    expect(said.stderr).toContain("a shell needs a terminal");
    expect((await home.call("shell.list")).out.shells).toEqual([]);
  });

  test("waits for permission, and takes the question back when nobody wants to wait", async () => {
    await using home = await start();
    const person = at(home, "shell", "laptop");
    await person.shows(/needs your permission[^]*Enter ~ d leaves/);
    await home.call("allow", {});
    await person.types("", /[#$] /);
    await person.types("exit\r", /ended with code 0/);

    const other = at(home, "shell", "laptop");
    await other.shows(/needs your permission[^]*Enter ~ d leaves/);
    await other.types("\x03", /Taken back: nothing was opened/);
    expect(await other.end).toMatchObject({ end: "exit", exit_code: 0 });
    expect((await home.call("approvals.list")).out.approvals).toEqual([]);

    const denied = at(home, "shell", "laptop");
    await denied.shows(/needs your permission[^]*Enter ~ d leaves/);
    await home.call("deny", {});
    await denied.shows(/the owner said no/);
    expect(await denied.end).toMatchObject({ end: "exit", exit_code: 1 });
  });

  test("opens, detaches, lists, attaches, lives through a killed gateway, and leaves the terminal as it was", async () => {
    await using home = await start();
    const person = at(home, "shell", "laptop", "--allow", "once");
    await person.shows(/Enter ~ d leaves[^]*[#$] /);
    await person.types("echo pid=$$\r", /pid=(\d+)\r\n/);
    const [, pid] = /pid=(\d+)\r\n/.exec(person.text) ?? [];
    await home.gateway?.end("SIGKILL");
    await person.shows(/the gateway went away/);
    await home.startGateway();
    await person.shows(/the gateway is back/);
    await person.types("echo again=$$\r", new RegExp(`again=${pid}\r\n`));
    await person.types("\r~d", /Detached. The shell goes on: kith shell --attach (\w{6})/);
    const [, id = ""] = /--attach (\w{6})/.exec(person.text) ?? [];
    expect(await person.end).toMatchObject({ end: "exit", exit_code: 0 });

    const back = at(home, "shell", "--attach", id);
    await back.shows(new RegExp(`pid=${pid}\r\n`));
    await back.types("printf '\\033[?1049h'; exit 5\r", /ended with code 5/);
    expect(await back.end).toMatchObject({ end: "exit", exit_code: 0 });
    expect(back.text).toContain("\x1b[?1049l");
  });
});

/** `kith` in a terminal. */
function at(home: World, ...args: string[]) {
  const program = [`KITH_HOME=${home.home}`, process.execPath, join(root, "gateway/bin/kith.mjs")];
  const driver = terminals({ shell: { program: "/usr/bin/env", args: [...program, ...args] } });
  const person = {
    text: "",
    end: undefined as unknown as Promise<unknown>,
    write: (_: string): void => {},
    shows: (pattern: RegExp) =>
      until(
        `${pattern}`,
        () => pattern.test(person.text),
        () => JSON.stringify(person.text),
      ),
    async types(text: string, pattern: RegExp) {
      person.write(text);
      await person.shows(pattern);
    },
  };
  let written = 0;
  person.end = driver.run(SIZE, {
    signal: AbortSignal.timeout(25_000),
    stream: () => {},
    call: "C",
    receive: () => Promise.reject(new Error("it brings nothing")),
    notice: () => Promise.resolve(),
    terminal: (terminal) => {
      person.write = (text) => void terminal.write(Buffer.from(text));
      return {
        write(bytes) {
          person.text += Buffer.from(bytes).toString();
          written += bytes.length;
        },
        finish: () => Promise.resolve(written),
      };
    },
  });
  person.end.catch(() => {}); // Looked at by the test.
  return person;
}
