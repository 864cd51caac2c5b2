import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { systemClock, systemRng } from "@kith/shared/clock";
import { hex, keyId, newId } from "@kith/shared/ids";
import { type AgentEvent, sentence } from "@kith/node-agent/events";
import { readArguments } from "@kith/node-agent/arguments";
import { Ledger } from "@kith/node-agent/ledger";
import { draw, press, type ScreenState } from "@kith/node-agent/screen";
import { describe, expect, test } from "vitest";
import { fakeGateway } from "./gateway.ts";
import { folder, id } from "./world.ts";

const program = fileURLToPath(import.meta.resolve("@kith/node-agent/main"));

/** The real program in a home of its own. */
async function start(...argv: string[]) {
  const place = await folder();
  return {
    ...run(place.path, ...argv),
    place,
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

function run(kithHome: string, ...argv: string[]) {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [program, ...argv], {
    env: { ...process.env, KITH_HOME: kithHome },
  });
  const lines: string[] = [];
  const waiting: (() => void)[] = [];
  const ring = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    ring();
  });
  let errors = "";
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  const code = new Promise<number | null>((resolve) =>
    child.on("close", (status) => (ring(), resolve(status))),
  );
  let read = 0;
  return {
    child,
    code,
    lines,
    errors: () => errors,
    async event<T extends AgentEvent["event"]>(
      name: T,
    ): Promise<Extract<AgentEvent, { event: T }>> {
      for (;;) {
        while (read < lines.length) {
          const event = JSON.parse(lines[read++]!) as AgentEvent;
          if (event.event === name) return event as Extract<AgentEvent, { event: T }>;
        }
        if (child.exitCode !== null)
          throw new Error(`ended while waiting for ${name}: ${lines.join(" ")} ${errors}`);
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

describe("the program", () => {
  test("pairs by code, takes a photo, and ends at SIGTERM with a goodbye and code 0", async () => {
    await using gateway = await fakeGateway();
    await using node = await start(
      "--json",
      "--gateway",
      gateway.address,
      "--camera",
      "test-pattern",
      "--allow",
      "camera.snap=allow",
    );
    const link = await gateway.accepted();
    const { returnCode } = await link.pairQuietly();
    await node.event("code");
    link.send({ t: "pair.approved" });
    await node.event("approved");
    node.child.stdin.write(`${returnCode}\n`);
    await node.event("paired");
    await link.welcome(1, true);
    expect(
      (await link.next("capabilities.advertise")).caps.find(({ cap }) => cap === "camera.snap"),
    ).toMatchObject({ state: "ready", policy: "allow", devices: [{ id: "test-pattern" }] });
    link.send({
      t: "invoke",
      call: id("A"),
      n: 1,
      epoch: 1,
      cap: "camera.snap",
      v: 1,
      args: { max_edge_px: 320 },
      effect: "idempotent",
      ttl_ms: 15_000,
      seen: 0,
      grant: id("G"),
      why: { origin: "owner", text: "" },
      max_bytes: 9_999_999,
    });
    expect(await node.event("notice")).toMatchObject({ on: true });
    const { bytes } = await link.content(await link.next("stream.open"));
    expect([...bytes.subarray(0, 2)]).toEqual([0xff, 0xd8]);
    node.child.kill("SIGTERM");
    expect(await link.next("bye")).toMatchObject({ code: "shutdown" });
    expect(await node.code).toBe(0);
    expect(node.errors()).toBe("");

    const rows = run(node.place.path, "ledger", "--json");
    expect(await rows.code).toBe(0);
    expect(JSON.parse(rows.lines[0]!)).toMatchObject({
      call: id("A"),
      cap: "camera.snap",
      state: "done",
      starts: 1,
    });
  });

  test("pairs through the control socket of its own machine", async () => {
    await using gateway = await fakeGateway();
    await using place = await folder();
    const asked: unknown[] = [];
    await using control = await controlSocket(place.path, (line, socket) => {
      asked.push(line);
      const device = keyId(Buffer.from((line as { args: { key: string } }).args.key, "hex"));
      const out = {
        device,
        gateway: gateway.id,
        key: hex(gateway.key.publicKey),
        name: "home",
        address: gateway.address,
      };
      socket.write(
        `${JSON.stringify({ event: "chat.message", data: {} })}\n${JSON.stringify({ id: 1, ok: true, out, text: "" })}\n`,
      );
    });
    void control;
    const node = run(place.path, "--json", "--local", "--allow", "device.info=allow");
    expect(await node.event("paired")).toMatchObject({ gateway: gateway.id });
    const link = await gateway.accepted();
    expect(link.pattern).toBe("IK");
    await link.welcome(1);
    await node.event("ready");
    expect(asked).toMatchObject([
      {
        id: 1,
        op: "node.register",
        args: { caps: expect.arrayContaining(["camera.snap"]), kind: expect.any(String) },
      },
    ]);

    const more = ["--allow", "device.info=ask,files.list=allow", "--root", `docs=${place.path}`];
    const second = run(place.path, "--json", ...more);
    expect(await second.code).toBe(0);
    await second.event("stored");
    const third = run(place.path, "--json");
    expect(await third.code).toBe(1);
    expect(await third.event("failed")).toMatchObject({ error: { code: "home-locked" } });
    expect(JSON.parse(await readFile(join(place.path, "node", "node.json"), "utf8"))).toMatchObject(
      { policy: { "device.info": "ask" } },
    );

    // The running agent takes the change over.
    const { caps } = await link.next("capabilities.advertise");
    expect(caps.find(({ cap }) => cap === "device.info")).toMatchObject({ policy: "ask" });
    expect(caps.find(({ cap }) => cap === "files.list")).toMatchObject({ state: "ready" });
    const ask = async (letter: string, n: number) => {
      link.send({
        ...{ t: "invoke", call: id(letter), n, epoch: 1, cap: "device.info", v: 1, args: {} },
        ...{ effect: "read", ttl_ms: 60_000, seen: 0, grant: id("G"), max_bytes: 0 },
        why: { origin: "owner", text: "why" },
      });
      expect(await link.next("accept")).toMatchObject({ state: "asking" });
      await node.event("asked");
    };
    await ask("B", 1);
    const answers = await localSocket(
      place.path,
      [
        { id: 1, op: "status" },
        { id: 2, op: "consent.list" },
        { id: 3, op: "consent.answer", args: { call: id("B"), yes: true } },
        { id: 4, op: "consent.answer", args: { call: id("B"), yes: true } },
      ],
      4,
    );
    expect(answers).toMatchObject([
      { id: 1, ok: true, out: { locked: false, open: 1, epoch: 1 } },
      { id: 2, ok: true, out: { questions: [{ call: id("B"), cap: "device.info" }] } },
      { id: 3, ok: true, out: { answered: true } },
      { id: 4, ok: false, error: { code: "call-unknown" } },
    ]);
    await link.next("result");

    // By the verbs, for whoever sits at a machine whose agent has no terminal.
    await ask("C".repeat(26), 2);
    const listed = run(place.path, "questions");
    expect(await listed.code).toBe(0);
    expect(listed.lines).toEqual([
      expect.stringMatching(/^[0-9A-Z]{4} {2}.*device\.info.*Allow it this once\?$/),
    ]);
    const code = "CCCC";
    const nameless = run(place.path, "yes");
    expect(await nameless.code).toBe(2);
    const yes = run(place.path, "yes", code.toLowerCase());
    expect(await yes.code).toBe(0);
    expect(yes.lines).toEqual([expect.stringMatching(/device\.info.* Yes\.$/)]);
    await link.next("result");
    await ask("D".repeat(26), 3);
    // A yes for the one that was read is none for another that came in its place.
    expect(await run(place.path, "yes", code).code).toBe(1);
    expect(await run(place.path, "no", "DDDD").code).toBe(0);
    expect(await link.next("error")).toMatchObject({ code: "denied-person" });
    const late = run(place.path, "no", "DDDD");
    expect(await late.code).toBe(1);
    expect(late.lines[0]).toContain("that is not asked on this device (any more)");
    node.child.kill("SIGINT");
    expect(await node.code).toBe(0);
  });

  test("locks and unlocks without a gateway and without a running agent", async () => {
    await using node = await start("lock", "--json");
    expect(await node.code).toBe(0);
    await node.event("locked");
    await readFile(join(node.place.path, "node", "locked"));
    const unlock = run(node.place.path, "unlock");
    expect(await unlock.code).toBe(0);
    expect(unlock.lines).toEqual(["Unlocked."]);
    await expect(readFile(join(node.place.path, "node", "locked"))).rejects.toThrow("ENOENT");
  });

  test.each([
    ["an unknown option", ["--colour"], 2, "usage"],
    ["an unknown verb", ["dance"], 2, "usage"],
    ["an unknown capability", ["--allow", "camera.snop=ask"], 2, "usage"],
    ["no gateway at all", [], 2, "usage"],
    ["no gateway on this machine", ["--local"], 1, "gateway-away"],
  ])("ends at %s", async (_, argv, status, code) => {
    await using node = await start(...argv, "--json");
    expect(await node.code).toBe(status);
    expect(await node.event("failed")).toMatchObject({
      error: { code, remedy: expect.any(String) },
    });
  });

  test("ends with 78 at a home that others may read, and at a config it does not understand", async () => {
    await using place = await folder();
    await mkdir(join(place.path, "node"), { mode: 0o755 });
    await chmod(join(place.path, "node"), 0o755);
    const open = run(place.path, "--json");
    expect(await open.code).toBe(78);
    expect(await open.event("failed")).toMatchObject({ error: { code: "home-unsafe" } });
    await chmod(join(place.path, "node"), 0o700);
    await writeFile(join(place.path, "node", "node.json"), '{"name":5}');
    const broken = run(place.path, "--json");
    expect(await broken.code).toBe(78);
    expect((await broken.event("failed")).error).toMatchObject({
      code: "config-invalid",
      message: expect.stringContaining("name"),
    });
  });

  test("tells its version", async () => {
    await using node = await start("--version");
    expect(await node.code).toBe(0);
    const { version } = JSON.parse(
      await readFile(new URL("../../node-agent/package.json", import.meta.url), "utf8"),
    ) as { version: string };
    expect(node.lines).toEqual([version]);
  });

  test("explains itself", async () => {
    await using node = await start("--help");
    expect(await node.code).toBe(0);
    expect(node.lines.join("\n")).toContain("--allow camera.snap=ask");
  });
});

async function controlSocket(
  dir: string,
  answer: (line: unknown, socket: Socket) => void,
): Promise<AsyncDisposable> {
  const server = createServer((socket) =>
    createInterface({ input: socket }).on("line", (line) => answer(JSON.parse(line), socket)),
  );
  await new Promise<void>((resolve) => server.listen(join(dir, "control.sock"), resolve));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

async function localSocket(
  kithHome: string,
  questions: unknown[],
  answers: number,
): Promise<unknown[]> {
  const socket = connect(join(kithHome, "node", "node.sock"));
  const got: unknown[] = [];
  return await new Promise((resolve) => {
    createInterface({ input: socket }).on("line", (line) => {
      const said = JSON.parse(line) as { id?: number };
      if (said.id !== undefined && got.push(said) === answers) resolve((socket.destroy(), got));
    });
    socket.write(questions.map((question) => `${JSON.stringify(question)}\n`).join(""));
  });
}

describe("arguments", () => {
  test("are read as the help shows them", () => {
    expect(
      readArguments([
        "--gateway",
        "h",
        "--allow",
        "camera.snap=ask,device.info=allow",
        "--allow",
        "files.read=off",
        "--root",
        "docs=/srv/docs",
        "--camera",
        "a",
        "--camera",
        "b",
      ]),
    ).toMatchObject({
      ...{ verb: "run", gateway: "h:5484", roots: { docs: "/srv/docs" }, cameras: ["a", "b"] },
      allow: { "camera.snap": "ask", "device.info": "allow", "files.read": "off" },
    });
  });

  test.each([
    [["--allow", "camera.snap"]],
    [["--allow", "camera.snap=maybe"]],
    [["--root", "docs"]],
    [["--gateway", "h", "--local"]],
    [["run", "more"]],
  ])("%j is refused", (argv) => {
    expect(() => readArguments(argv)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("the screen", () => {
  const caps = [
    { name: "a.one", summary: "One." },
    { name: "b.two", summary: "Two.\u001b[2J" },
  ];
  const first: ScreenState = { caps, choice: {}, row: 0 };
  const after = (...keys: string[]) => keys.reduce(press, first);

  test("starts on the first line with everything off", () => {
    expect(draw(first, 120)[0]).toBe(
      "What may your assistant use this device for? (ask: somebody here must say yes, each time)",
    );
    expect(draw(first, 120).slice(1, 3)).toEqual([
      "› a.one  [off]  ask   allow   One.",
      "  b.two  [off]  ask   allow   Two.[2J",
    ]);
    expect(after("\r")).toMatchObject({ choice: {}, ended: "accepted" });
  });

  test("moves within its lines and turns only the line it is on", () => {
    expect(after("\u001b[B", " ")).toMatchObject({ row: 1, choice: { "b.two": "ask" } });
    expect(after("\u001b[A", "\u001b[A", "\u001b[B", "\u001b[B", "\u001b[B").row).toBe(1);
    expect(after(" ", " ").choice).toEqual({ "a.one": "allow" });
    expect(after(" ", " ", " ").choice).toEqual({ "a.one": "off" });
    expect(after("\u001b[D").choice).toEqual({ "a.one": "allow" });
  });

  test("is skipped with s and ended with Ctrl-C", () => {
    expect(after("s").ended).toBe("skipped");
    expect(after("\u0003").ended).toBe("interrupted");
    expect(after("x")).toEqual(first);
  });

  test("keeps to the width of the terminal", () => {
    for (const line of draw(first, 30)) expect(line.length).toBeLessThan(30);
    expect(draw(first, 30)).toContain("› a.one  [off]  ask   allow …");
    const narrow = draw({ caps: [], choice: {}, row: 0 }, 60);
    expect(narrow).toHaveLength(3);
    expect(narrow.join("")).not.toContain("…");
  });

  test("speaks of this device, and says what cannot work now and why", () => {
    const snap = {
      name: "camera.snap",
      summary: "Take one photo with a camera of the named device; returns a JPEG.",
      reason: "no camera found\u001b[2J",
    };
    const [, row, below] = draw({ caps: [snap], choice: {}, row: 0 }, 120);
    expect(row).toContain("with a camera of this device; returns");
    expect(below).toBe(`${" ".repeat(15)}cannot work now: no camera found[2J`);
  });

  test("takes a return code for no choice, and not the Enter after it either", () => {
    const typed = after("1", "2", "3", "4");
    expect(typed).toMatchObject({ choice: {}, row: 0 });
    expect(draw(typed, 80).at(-1)).toBe("The return code comes after this screen.");
    const entered = press(typed, "\r");
    expect(entered.ended).toBeUndefined();
    expect(draw(entered, 80).at(-1)).toBe("Enter once more accepts this list.");
    expect(press(entered, "\r").ended).toBe("accepted");
    expect(press(typed, "j")).toEqual(after("j"));
  });
});

test("an approval says what comes next", () => {
  expect(sentence({ event: "approved" })).toBe(
    "The gateway says: approved. Type the return code it shows (4 digits):",
  );
  expect(sentence({ event: "approved" }, true)).toBe(
    "The gateway says: approved. First, what this device may do for you:",
  );
});

test("every event has a sentence", () => {
  const events: AgentEvent[] = [
    { event: "starting", name: "laptop", home: "/h" },
    { event: "connected", address: "h:1" },
    { event: "code", code: "E8Z-PKG-EJH", left_ms: 900_000 },
    { event: "approved" },
    { event: "return-code-wrong", tries_left: 0 },
    { event: "return-code-malformed" },
    { event: "paired", device: "d", gateway: "g" },
    { event: "ready", epoch: 1 },
    { event: "notice", what: "camera", on: true },
    { event: "asked", call: "c", cap: "camera.snap", text: "", left_ms: 9 },
    { event: "locked", locked: true },
    { event: "settings", name: "laptop", policy: {} },
    { event: "waiting", why: "w", retry_ms: 10_000 },
    { event: "ended", why: "w" },
    { event: "failed", error: { code: "locked", message: "m", remedy: "r" } },
  ];
  for (const event of events) expect(sentence(event)).toMatch(/\S/);
});

test("a long ledger is printed whole into a pipe whose reader takes its time", async () => {
  await using place = await folder();
  const home = join(place.path, "node");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const ledger = await Ledger.open(join(home, "ledger.log"), systemClock, systemRng);
  const rows = 10_000;
  for (let n = 1; n <= rows; n++) {
    const what = { call: newId(systemClock, systemRng), n, cap: "camera.snap" } as const;
    const [, stored] = ledger.receive({ ...what, effect: "read", grant: what.call }, "d");
    if (n === rows) await stored;
  }
  await ledger.close();
  const child = spawn(process.execPath, [program, "ledger", "--home", home, "--json"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  // More than a pipe holds has been written by the time that somebody reads.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  let text = "";
  for await (const part of child.stdout.setEncoding("utf8")) text += String(part);
  expect(text.trimEnd().split("\n")).toHaveLength(rows);
});
