/** A file to a device: through a link that drops, over processes that die, and never half. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ChaosProxy } from "../faults/chaos-proxy.ts";
import {
  Control,
  freshFolder,
  pairedWorld,
  residentMiB,
  until,
  type World,
} from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { Seeded } from "../support/world.ts";

const MIB = 1_048_576;

/** A file of so many MiB that nobody has seen before; returns its hash. */
function make(path: string, mib: number): string {
  const part = crypto.getRandomValues(new Uint8Array(65_536));
  const bytes = Buffer.alloc(mib * MIB);
  for (let at = 0; at < bytes.length; at += part.length) bytes.set(part, at);
  for (let at = 0; at < bytes.length; at += MIB) bytes.writeUInt32LE(at / MIB, at);
  writeFileSync(path, bytes);
  return hashOf(path);
}
const hashOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

const ALLOW = "files.read=allow,files.write=allow,files.list=allow";

/** Devices that share a folder of their own. */
async function start(home: World, names: readonly string[], more = {}): Promise<string[]> {
  await home.startGateway();
  const roots = [];
  for (const name of names) {
    const root = join(home.folder, `${name}-shared`);
    mkdirSync(root, { recursive: true });
    roots.push(root);
    await home.startNode(name, { allow: ALLOW, args: ["--root", `docs=${root}`], ...more });
  }
  return roots;
}

async function sending(home: World, path: string, args: object = {}) {
  const { out: content } = await home.call("content.put", { path });
  return { device: "laptop", cap: "files.write", args: { path: "new.bin", ...args }, content };
}

/** Bytes of the draft of what is on its way. */
function arrived(root: string): number {
  const [draft] = readdirSync(root).filter((name) => name.startsWith(".kith-draft-"));
  return draft === undefined
    ? 0
    : (statSync(join(root, draft), { throwIfNoEntry: false })?.size ?? 0);
}

test("100 MiB from one device to another through a link that drops three times: equal, once, memory flat", async () => {
  await using home = await pairedWorld(["laptop", "phone"]);
  using proxy = await ChaosProxy.open(home.port, new Seeded(1));
  home.via.set("phone", proxy.port);
  const [from = "", to = ""] = await start(home, ["laptop", "phone"]);
  const whole = make(join(from, "film.bin"), 100);
  const pids = [home.gateway?.pid ?? 0, home.nodes.get("phone")?.pid ?? 0];
  const owner = await home.owner(undefined, true);
  await owner.say("/copy laptop film.bin phone");
  for (const what of ["read", "written"]) {
    await owner.hear(`whether it may be ${what}`, ({ question }) => question);
    proxy.weather = { bytesPerSecond: 60 * MIB };
    await owner.say("/allow once");
  }
  const peak = [0, 0];
  const before = pids.map(residentMiB);
  let drops = 0;
  await until(
    "the file",
    () => {
      pids.forEach((pid, at) => (peak[at] = Math.max(peak[at] ?? 0, residentMiB(pid))));
      if (drops < 3 && arrived(to) > (drops + 1) * 20 * MIB) {
        drops++;
        proxy.reset();
      }
      return existsSync(join(to, "film.bin"));
    },
    () => home.nodes.get("phone")?.words ?? "",
    60_000,
  );
  await owner.hear("the end", ({ text }) => text.startsWith("film.bin is on phone"));
  expect([drops, hashOf(join(to, "film.bin"))]).toEqual([3, whole]);
  expect(arrived(to)).toBe(0);
  expect(await home.ledger("phone", "files.write")).toMatchObject([{ state: "done", starts: 1 }]);
  const growth = peak.map((mib, at) => mib - (before[at] ?? 0));
  expect(growth.filter((mib) => mib > 56)).toEqual([]);
});

describe("over a process that dies in the middle", () => {
  test("the gateway: it goes on where the device stands", async () => {
    await using home = await pairedWorld();
    using proxy = await ChaosProxy.open(home.port, new Seeded(1));
    proxy.weather = { bytesPerSecond: 20 * MIB };
    home.via.set("laptop", proxy.port);
    const [root = ""] = await start(home, ["laptop"]);
    const file = join(home.folder, "big.bin");
    const whole = make(file, 20);
    const owed = home.call("invoke", { ...(await sending(home, file)), allow: "once" });
    owed.catch(() => {}); // the socket of whoever asked breaks with the gateway
    await until("a part", () => arrived(root) > 4 * MIB);
    await home.gateway?.end("SIGKILL");
    const stood = arrived(root);
    await home.startGateway();
    await until("the file", () => existsSync(join(root, "new.bin")));
    expect(stood).toBeGreaterThan(4 * MIB);
    expect(hashOf(join(root, "new.bin"))).toBe(whole);
    await until("the end", async () =>
      (await home.audit()).some(
        ({ what, data }) => what === "call.done" && data.cap === "files.write",
      ),
    );
    expect(await home.ledger("laptop", "files.write")).toMatchObject([
      { state: "done", starts: 1 },
    ]);
  });

  test.for([1, 2, 3, 4])("the device, at pass %i of node.file", async (pass) => {
    await using home = await pairedWorld();
    const [root = ""] = await start(home, ["laptop"], { crashAt: `node.file:${pass}` });
    const file = join(home.folder, "big.bin");
    const whole = make(file, 2);
    const node = home.nodes.get("laptop");
    const owed = home.call("invoke", { ...(await sending(home, file)), allow: "once" });
    await node?.ended;
    // Whole or not at all, at every moment.
    if (existsSync(join(root, "new.bin"))) expect(hashOf(join(root, "new.bin"))).toBe(whole);
    await home.startNode("laptop", { args: ["--root", `docs=${root}`] });
    await owed;
    expect(hashOf(join(root, "new.bin"))).toBe(whole);
    expect(readdirSync(root)).toEqual(["new.bin"]);
    const rows = await home.ledger("laptop", "files.write");
    expect(rows.map(({ state }) => state)).toEqual(["done"]);
  });
});

test("at the command line: send, replace by its hash, get, copy; each asked for", async () => {
  await using home = await pairedWorld(["laptop", "phone"]);
  const [laptop = "", phone = ""] = await start(home, ["laptop", "phone"]);
  const here = freshFolder();
  const note = join(here, "note.txt");
  writeFileSync(note, "one");
  const run = (...args: string[]) => kith(home.home, ...args, "--json");
  expect((await run("send", note, "laptop")).code).toBe(3);
  expect((await run("send", note, "laptop", "--allow", "once")).code).toBe(0);
  expect(readFileSync(join(laptop, "note.txt"), "utf8")).toBe("one");
  writeFileSync(note, "two");
  expect((await run("send", note, "laptop", "--allow", "once")).code).toBe(1);
  const replaces = createHash("sha256").update("one").digest("hex");
  const replaced = await run("send", note, "laptop", "--replaces", replaces, "--allow", "once");
  expect(replaced.code).toBe(0);
  expect(readFileSync(join(laptop, "note.txt"), "utf8")).toBe("two");
  const got = await run("get", "laptop", "note.txt", "--out", join(here, "got"), "--allow", "once");
  expect(got.code).toBe(0);
  expect(readFileSync(join(here, "got/note.txt"), "utf8")).toBe("two");
  expect((await run("copy", "laptop", "note.txt", "phone", "--allow", "once")).code).toBe(0);
  expect(readFileSync(join(phone, "note.txt"), "utf8")).toBe("two");
  const missing = await run("send", join(here, "none"), "laptop");
  expect([missing.code, missing.stdout]).toMatchObject([
    1,
    expect.stringContaining("no such file"),
  ]);
});

test("whoever waits is told how far it is, both ways", async () => {
  await using home = await pairedWorld();
  using proxy = await ChaosProxy.open(home.port, new Seeded(1));
  proxy.weather = { bytesPerSecond: 10 * MIB };
  home.via.set("laptop", proxy.port);
  const [root = ""] = await start(home, ["laptop"]);
  const file = join(home.folder, "big.bin");
  make(file, 10);
  const told: { event: string; call: string; bytes: number; of: number }[] = [];
  using link = await Control.open(home.home, (event, data) => told.push({ event, ...data }));
  const heard = async (call: object) => {
    const { out } = await link.call("invoke", { ...call, allow: "once", progress: true });
    const steps = told.splice(0);
    expect(steps.length).toBeGreaterThan(0);
    for (const { event, call, of } of steps)
      expect([event, call, of]).toEqual(["call.progress", out.call, 10 * MIB]);
    const bytes = steps.map((step) => step.bytes);
    expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
    expect(bytes.every((count) => count > 0 && count <= 10 * MIB)).toBe(true);
  };
  await heard(await sending(home, file));
  expect(existsSync(join(root, "new.bin"))).toBe(true);
  await heard({ device: "laptop", cap: "files.read", args: { path: "new.bin" } });
});

test("a revoked device gets no more of it", async () => {
  await using home = await pairedWorld();
  using proxy = await ChaosProxy.open(home.port, new Seeded(1));
  proxy.weather = { bytesPerSecond: 5 * MIB };
  home.via.set("laptop", proxy.port);
  const [root = ""] = await start(home, ["laptop"]);
  const file = join(home.folder, "big.bin");
  make(file, 20);
  const owed = home.refused("invoke", { ...(await sending(home, file)), allow: "once" });
  await until("a part", () => arrived(root) > MIB);
  await home.call("devices.revoke", { device: "laptop" });
  expect((await owed).code).toBe("revoked");
  await home.nodes.get("laptop")?.ended;
  expect(readdirSync(root)).toEqual([]);
});

test("a sound is played on a device, once, and nothing that is no sound leaves", async () => {
  await using home = await pairedWorld(["laptop"]);
  await home.startGateway();
  // A sound server by its own word, and a program that plays nothing but says what it was given.
  const bin = freshFolder();
  const heard = join(bin, "heard");
  const body = `#!/bin/sh\nfor last; do :; done\ncase "$*" in *"-f pulse"*) ;; *) exit 1;; esac\nwhile [ "$1" != "-i" ]; do shift; done\ncat "$2" >> ${heard}\n`;
  writeFileSync(join(bin, "ffmpeg"), body, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env.PATH}`, PULSE_SERVER: "x" };
  await home.startNode("laptop", { allow: "audio.play=allow", env });
  const wav = join(bin, "bell.wav");
  writeFileSync(wav, `RIFF${"x".repeat(100_000)}`);
  const play = (...args: string[]) => kith(home.home, "play", ...args, "--json");
  expect((await play(wav, "laptop")).code).toBe(3);
  const played = await play(wav, "laptop", "--allow", "once");
  expect(played).toMatchObject({ code: 0 });
  expect(readFileSync(heard, "utf8")).toBe(readFileSync(wav, "utf8"));
  expect(await home.ledger("laptop", "audio.play")).toMatchObject([{ state: "done", starts: 1 }]);
  expect((await play(join(bin, "heard"), "laptop", "--allow", "once")).code).toBe(2);
  const { out: content } = await home.call("content.put", { path: wav });
  expect(
    await home.refused("invoke", { device: "laptop", cap: "audio.play", content, allow: "once" }),
  ).toMatchObject({ code: "bad-args", message: expect.stringContaining("audio/ogg") });
});
