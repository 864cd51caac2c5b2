/** Every verb of the command line against a real gateway and a real device: exit codes and JSON. */
import { createHash } from "node:crypto";
import { execSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kith as run, kithWith, type Said } from "../support/kith.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer } from "../support/models/server.ts";
import { verbs } from "../../gateway/bin/verbs.mjs";
import { World, freshFolder, freshWorld, until, world, writeConfig } from "../support/home.ts";

let home: World;
const called = new Set<string>();
const kith = (...args: string[]): Promise<Said> => {
  called.add(args[0] ?? "");
  return run(home.home, ...args);
};

beforeAll(async () => {
  home = await world(["laptop", "workshop"]);
});
afterAll(() => home[Symbol.asyncDispose]());

const id26 = /^[0-9A-HJKMNP-TV-Z]{26}$/;

async function needsPermission(): Promise<string> {
  const { code, json } = await kith("invoke", "laptop", "camera.snap", "--json");
  expect(code).toBe(3);
  expect(json).toMatchObject({ ok: false, error: { code: "approval-needed" } });
  const { json: list } = await kith("approvals", "--json");
  expect(list).toMatchObject({
    ok: true,
    approvals: [
      {
        id: expect.stringMatching(id26),
        name: "laptop",
        cap: "camera.snap",
        args: { facing: "any" },
      },
    ],
  });
  return list.approvals[0].id;
}

describe("actors", () => {
  test("are shown as a tree, with what is asleep and who performs", async () => {
    const { json } = await kith("actors", "--json");
    expect(json).toMatchObject({ ok: true, kinds: expect.any(Array), more: 0 });
    expect(json.kinds.map(({ kind }: any) => kind)).toContain("device");
    expect(json.links).toHaveLength(2);
    expect((await kith("actors")).stdout).toMatch(/^├ performer say: 0 running/m);
  });

  test("that nobody knows are refused with their own code", async () => {
    const { code, json } = await kith("actors", "restart", "session/NOBODY", "--json");
    expect(code).toBe(1);
    expect(json.error.code).toBe("actor-unknown");
  });

  test("put no message aside here", async () => {
    expect((await kith("dead")).stdout).toBe("No message was put aside.\n");
    expect((await kith("dead", "retry", "1", "--json")).json.error.code).toBe("letter-unknown");
  });

  test("work outside safe mode, which there is none to end", async () => {
    expect((await kith("safe", "off")).stdout).toBe("There is no safe mode.\n");
    expect((await kith("secrets", "--json")).json).toEqual({ ok: true, names: ["canary"] });
    expect((await kith("models", "test", "--json")).json).toEqual({ ok: true, model: null });
    expect((await kith("memory", "add", "the owner likes tea", "--json")).code).toBe(0);
    expect((await kith("memory", "search", "tea", "--json")).json.lines).toHaveLength(1);
    const { skills } = (await kith("skills", "--json")).json;
    expect(skills.filter(({ where }: { where: string }) => where === "own")).toHaveLength(3);
    expect((await kith("transcripts", "rebuild", "--json")).json).toEqual({ ok: true, written: 0 });
    const whenever = await kith("reminders", "add", "whenever", "x", "--json");
    expect(whenever.json.error.code).toBe("chat-unknown");
    expect((await kith("reminders", "cancel", "1", "--json")).json.error.code).toBe(
      "reminder-unknown",
    );
    expect((await kith("reminders", "--json")).json).toEqual({ ok: true, reminders: [] });
    expect((await kith("usage", "--json")).json).toMatchObject({ ok: true, used: {} });
    expect((await kith("egress", "--json")).json).toMatchObject({ ok: true, hosts: [] });
  });

  test("tell their story by the device's name: events, states, what was asked for", async () => {
    const { json } = await kith("why", "laptop", "--json");
    expect(json).toMatchObject({ ok: true, kind: "device" });
    expect(json.story.some(({ what, to }: any) => what === "link.asked" && to)).toBe(true);
  });
});

describe("memory", () => {
  test("takes a line, finds it, and forgets it with a receipt", async () => {
    const add = await kith(
      "memory",
      "add",
      "Anna",
      "likes",
      "coffee",
      "--file",
      "people",
      "--json",
    );
    expect(add.json).toMatchObject({ ok: true, file: "people.md", text: "Anna likes coffee" });
    const folder = join(home.home, "memory");
    appendFileSync(join(folder, "people.md"), "- Bea likes coffee\n");
    const found = await kith("memory", "search", "coffee", "--json");
    expect(found.json.lines.map(({ text }: any) => text)).toEqual([
      "Anna likes coffee",
      "Bea likes coffee",
    ]);
    const bea = found.json.lines[1].id;
    expect((await kith("memory", "trust", bea)).stdout).toContain(
      "You vouch for:\nBea likes coffee",
    );
    expect((await kith("memory", "show")).stdout).toMatch(/^people\.md {2}2 lines/m);
    expect((await kith("memory", "show", "people", "--line", "2")).stdout).toMatch(/^Bea/);
    expect((await kith("memory", "forget", "coffee")).stdout).toContain("--yes");
    const gone = await kith("memory", "forget", "coffee", "--yes", "--json");
    expect(gone.json).toMatchObject({
      ok: true,
      done: true,
      receipt: [{ store: "memory/people.md", removed: 2 }, { store: "memory.db" }],
    });
    expect((await kith("memory", "forget", "coffee", "--json")).json.error.code).toBe(
      "memory-unknown",
    );
    const deeds = (await home.audit()).filter(({ what }) => /^memory\.(trust|forg)/.test(what));
    expect(deeds.map(({ what, data }) => [what, data.by])).toEqual([
      ["memory.trusted", "console:owner"],
      ["memory.forgotten", "console:owner"],
    ]);
    expect(JSON.stringify(deeds)).not.toContain("coffee");
  });
});

describe("devices", () => {
  test("are listed", async () => {
    const { code, json } = await kith("devices", "--json");
    expect(code).toBe(0);
    const byName = json.devices.toSorted((a: any, b: any) => (a.name < b.name ? -1 : 1));
    expect({ ...json, devices: byName }).toMatchObject({
      ok: true,
      devices: [
        { name: "laptop", state: "online" },
        { name: "workshop", state: "online" },
      ],
    });
    expect(byName[0].caps.find(({ cap }: any) => cap === "camera.snap")).toMatchObject({
      state: "ready",
      policy: "allow",
    });
    const text = await kith("devices", "list");
    expect(text.stdout).toMatch(/^laptop {2,}online/m);
  });

  test("are renamed, and back", async () => {
    expect((await kith("devices", "rename", "workshop", "cellar", "--json")).json).toMatchObject({
      ok: true,
      name: "cellar",
    });
    expect((await kith("devices", "rename", "cellar", "workshop")).stdout).toContain("workshop");
  });

  test("that nobody knows fail with 1", async () => {
    const { code, json, stderr } = await kith("devices", "revoke", "toaster", "--json");
    expect([code, stderr]).toEqual([1, ""]);
    expect(json).toMatchObject({
      ok: false,
      error: { code: "device-unknown", message: expect.any(String), remedy: expect.any(String) },
    });
  });
});

describe("a photo", () => {
  test("with --allow is saved where --out says", async () => {
    const folder = freshFolder();
    const { code, json } = await kith(
      "invoke",
      "laptop",
      "camera.snap",
      '{"max_edge_px":640}',
      "--allow",
      "once",
      "--out",
      folder,
      "--json",
    );
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ok: true,
      call: expect.stringMatching(id26),
      name: "laptop",
      out: { camera: "test-pattern", width_px: 640 },
    });
    expect(json.streams).toMatchObject([
      { role: "image", type: "image/jpeg", path: join(folder, "image.jpg") },
    ]);
    const file = readFileSync(json.streams[0].path);
    expect(createHash("sha256").update(file).digest("hex")).toBe(json.streams[0].sha256);
    await kith("invoke", "laptop", "camera.snap", "--allow", "once", "--out", folder);
    expect(readdirSync(folder).toSorted()).toEqual(["image-2.jpg", "image.jpg"]);
  });

  test("without it exits with 3; `kith allow ID` then prints the photo", async () => {
    const id = await needsPermission();
    const { code, json } = await kith("allow", id, "once", "--json");
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ok: true,
      call: id,
      name: "laptop",
      streams: [{ role: "image" }],
    });
    expect(existsSync(json.streams[0].path)).toBe(true);
  });

  test("that was denied is not taken", async () => {
    const id = await needsPermission();
    expect((await kith("deny", id.slice(-6), "--json")).json).toMatchObject({
      ok: true,
      approval: id,
    });
    const again = await kith("allow", id, "--json");
    expect([again.code, again.json.error.code]).toEqual([1, "approval-unknown"]);
  });

  test("with --wait is there when somebody allows it elsewhere", async () => {
    const waiting = kith("invoke", "laptop", "camera.snap", "--wait", "20", "--json");
    let id = "";
    await until(
      "the question",
      async () => (id = (await home.call("approvals.list")).out.approvals[0]?.id ?? ""),
    );
    expect((await kith("allow", id, "--no-wait", "--json")).json).toMatchObject({
      ok: true,
      approval: id,
    });
    const { code, json } = await waiting;
    expect([code, json.call]).toEqual([0, id]);
  });

  test("that is asked for in words without a terminal exits with 3 and says how to allow it", async () => {
    const { code, json } = await kith("ask", "grab a photo from my laptop camera", "--json");
    expect(code).toBe(3);
    const { approval } = /(?<approval>[0-9A-Z]{26})/.exec(json.error.remedy)?.groups ?? {};
    expect(json.error).toMatchObject({
      code: "approval-needed",
      remedy: `kith allow ${approval} once`,
    });
    const photo = await kith("allow", approval ?? "", "once", "--json");
    expect(photo.code).toBe(0);
    expect(existsSync(photo.json.streams[0].path)).toBe(true);
  });

  test("that is asked for in words with --allow is taken", async () => {
    const { code, json } = await kith(
      "ask",
      "grab a photo from my workshop",
      "--allow",
      "once",
      "--json",
    );
    expect(code).toBe(0);
    expect(json).toMatchObject({ ok: true, name: "workshop", streams: [{ role: "image" }] });
  });

  test("of a capability that is not there fails with 1, in words too", async () => {
    expect((await kith("invoke", "laptop", "camera.fly", "--json")).json).toMatchObject({
      error: { code: "unsupported" },
    });
    const words = await kith("ask", "grab a photo from my toaster", "--json");
    expect([words.code, words.json.error.code]).toEqual([1, "device-unknown"]);
  });
});

describe("permissions", () => {
  test("are listed, explained and revoked", async () => {
    await kith("invoke", "laptop", "camera.snap", "--allow", "15m", "--json");
    const { json } = await kith("grants", "--json");
    expect(json).toMatchObject({
      ok: true,
      grants: [
        {
          id: expect.stringMatching(id26),
          name: "laptop",
          cap: "camera.snap",
          requester: "owner",
          expires: expect.any(Number),
        },
      ],
    });
    const guest = await kith(
      ...["grants", "explain", "laptop", "camera.snap", "--requester", "console:anna", "--json"],
    );
    expect(guest.json).toMatchObject({ decision: "deny", rule: "owner-asked" });
    expect((await kith("grants", "explain", "laptop", "camera.snap", "--json")).json).toMatchObject(
      { ok: true, decision: "allow", steps: expect.any(Array) },
    );
    expect((await kith("grants", "revoke", json.grants[0].id, "--json")).json).toEqual({
      ok: true,
      id: json.grants[0].id,
    });
    expect((await kith("grants", "explain", "laptop", "camera.snap", "--json")).json).toMatchObject(
      { decision: "ask", rule: "owner-asked" },
    );
    expect((await kith("grants", "revoke", json.grants[0].id, "--json")).json).toMatchObject({
      ok: false,
      error: { code: "grant-unknown" },
    });
  });
});

describe("what was done", () => {
  test("is listed, proved and told", async () => {
    const { json: photo } = await kith(
      "invoke",
      "workshop",
      "camera.snap",
      "--allow",
      "once",
      "--json",
    );
    const { json: audit } = await kith("audit", "--about", photo.call, "--limit", "20", "--json");
    expect(audit.rows.map(({ what }: any) => what)).toContain("call.done");
    const { code, json } = await kith("audit", "verify", "--json");
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ok: true,
      verified: true,
      rows: expect.any(Number),
      head: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const story = await kith("why", photo.call.slice(-6), "--json");
    expect(story.json).toMatchObject({
      ok: true,
      id: photo.call,
      kind: "call",
      story: expect.any(Array),
    });
    expect((await kith("why", photo.call)).stdout).toContain("camera.snap of workshop");
    expect((await kith("why", "NOTHINGKNOWN", "--json")).json).toMatchObject({
      error: { code: "call-unknown" },
    });
  });
});

describe("the lock", () => {
  test("refuses with `locked` until it is lifted", async () => {
    expect((await kith("lock", "--json")).json).toMatchObject({
      ok: true,
      locked: true,
      gateway: true,
    });
    const { code, json } = await kith(
      "invoke",
      "laptop",
      "camera.snap",
      "--allow",
      "once",
      "--json",
    );
    expect([code, json.error.code]).toEqual([1, "locked"]);
    expect((await kith("lock", "--lift", "--json")).json).toMatchObject({
      ok: true,
      locked: false,
    });
    expect((await kith("invoke", "laptop", "device.info", "--json")).code).toBe(0);
  });
});

describe("pairing", () => {
  test("is opened, listed and refused for a code that nobody shows", async () => {
    expect((await kith("pair", "--json")).json).toMatchObject({ ok: true, pending: [] });
    expect((await kith("pair", "listen", "--json")).json).toMatchObject({
      ok: true,
      until: expect.any(Number),
      listen: [home.address],
      id: expect.any(String),
    });
    expect((await kith("pair", "list", "--json")).json).toMatchObject({
      ok: true,
      open: true,
      pending: [],
    });
    const { code, json } = await kith("pair", "approve", "AAA", "BBB", "CCC", "--json");
    expect([code, json.error.code]).toEqual([1, "code-mistyped"]);
  });

  test("needs three things typed, by `kith node` and `kith pair`", async () => {
    await using fresh = await freshWorld();
    await fresh.startGateway();
    await run(fresh.home, "pair", "listen");
    const owner = await fresh.owner();
    const node = fresh.spawnNode("laptop", {
      args: ["--camera", "test-pattern", "--allow", "camera.snap=allow"],
    });
    const { code } = await node.event("code");
    await owner.hear("the news of a device", ({ text }) => text.includes("waits with its code"));
    const { json } = await run(fresh.home, "pair", "approve", ...code.split("-"), "--json");
    expect(json).toMatchObject({
      ok: true,
      name: "laptop",
      role: "node",
      returnCode: expect.stringMatching(/^\d{4}$/),
    });
    node.types(json.returnCode);
    await node.event("paired");
    expect((await run(fresh.home, "devices", "--json")).json.devices).toMatchObject([
      { name: "laptop" },
    ]);
  });
});

describe("kith doctor", () => {
  const states = (json: any) =>
    Object.fromEntries(json.checks.map((one: any) => [one.name, one.state]));

  test("asks also where a browser would not", async () => {
    await using odd = new World(freshFolder(), 10_080);
    mkdirSync(odd.home, { mode: 0o700 });
    writeConfig(odd);
    await odd.startGateway();
    const { json } = await run(odd.home, "doctor", "--json");
    expect(json.checks.find(({ name }: any) => name === "port")).toMatchObject({ state: "ok" });
  });

  test("finds nothing wrong where nothing is", async () => {
    const { code, json } = await kith("doctor", "--json");
    expect(json.checks.filter(({ state }: any) => state === "wrong")).toEqual([]);
    expect([code, json.ok]).toEqual([0, true]);
    expect(states(json)).toMatchObject({
      ...{ node: "ok", home: "ok", clock: "ok", disk: "ok", gateway: "ok", port: "ok" },
      ...{ audit: "ok", laptop: expect.any(String) },
    });
    expect((await kith("doctor")).stdout).toMatch(/^ok {5}gateway {6}answers/m);
  });

  test("says what is wrong, with a line that mends it", async () => {
    await using fresh = await freshWorld();
    const doctor = () => run(fresh.home, "doctor", "--json");
    const away = await doctor();
    expect([away.code, states(away.json).gateway]).toEqual([1, "wrong"]);
    await fresh.startGateway();
    chmodSync(join(fresh.home, "keys", "gateway.key"), 0o644);
    utimesSync(join(fresh.home, "kith.db"), Date.now() / 1_000 + 600, Date.now() / 1_000 + 600);
    const { json } = await doctor();
    expect(states(json)).toMatchObject({ home: "wrong", clock: "wrong", gateway: "ok" });
    const { fix } = json.checks.find(({ name }: any) => name === "home");
    expect(fix).toContain("chmod go= ");
    execSync(fix);
    expect(states((await doctor()).json).home).toBe("ok");
  });
});

describe("a ticket", () => {
  test("is made with a line to paste, listed, and withdrawn", async () => {
    const { json } = await kith(
      "pair",
      "invite",
      "--caps",
      "camera,device",
      "--ttl",
      "2m",
      "--json",
    );
    expect(json).toMatchObject({
      ok: true,
      id: expect.stringMatching(id26),
      ticket: expect.stringMatching(/^(?:[0-9A-Z]{4}-){3}[0-9A-Z]{4}$/),
      listen: [home.address],
      caps: ["camera.list", "camera.snap", "camera.clip", "device.info", "device.status"],
    });
    expect(json.line).toBe(`npx kith node '${json.link}'`);
    expect(json.until - Date.now()).toBeLessThanOrEqual(120_000);
    const listed = await kith("pair", "list", "--json");
    expect(listed.json.tickets).toMatchObject([{ id: json.id }]);
    expect(listed.stdout).not.toContain(json.ticket);
    expect((await kith("pair", "withdraw", json.id)).code).toBe(0);
    expect((await kith("pair", "--json")).json.tickets).toEqual([]);
  });

  test("is not made of wrong words", async () => {
    for (const wrong of [
      ["--ttl", "soon"],
      ["--ttl", "2d"],
    ])
      expect((await kith("pair", "invite", ...wrong, "--json")).json.error.code).toBe("usage");
    const { json } = await kith("pair", "invite", "--caps", "toaster", "--json");
    expect(json.error.code).toBe("bad-args");
  });

  test("says which addresses could be opened, and opens none by itself", async () => {
    const { json } = await kith("pair", "open", "--json");
    expect(json).toMatchObject({ ok: true, listen: [home.address], own: expect.any(Array) });
    const { code } = await kith("pair", "open", "203.0.113.7", "--json");
    expect(code).toBe(1);
  });
});

describe("a call that waits", () => {
  test("for permission is taken back", async () => {
    const id = await needsPermission();
    expect((await kith("cancel", id)).stdout).toBe("Taken back: camera.snap of laptop.\n");
    expect((await kith("cancel", id, "--json")).json.error.code).toBe("call-unknown");
  });

  test("for no device, because it is there, is done as any other", async () => {
    const wait = ["--deliver", "60", "--allow", "once"];
    const { code } = await kith("invoke", "workshop", "device.info", ...wait, "--json");
    expect(code).toBe(0);
  });
});

describe("the device's own verbs", () => {
  test("work through `kith node` without a gateway", async () => {
    const node = (...args: string[]) =>
      kith("node", ...args, "--home", home.nodeHome("workshop"), "--json");
    const ledger = await node("ledger");
    expect(ledger.code).toBe(0);
    expect(JSON.parse(ledger.stdout.split("\n")[0] ?? "")).toMatchObject({
      cap: "camera.snap",
      state: "done",
      starts: 1,
    });
    expect((await node("lock")).json).toEqual({ event: "locked", locked: true });
    expect((await node("unlock")).json).toEqual({ event: "locked", locked: false });
    expect((await node("setup", "--allow", "device.info=allow")).json).toMatchObject({
      event: "settings",
      name: "workshop",
      policy: { "device.info": "allow" },
    });
    expect((await node("dance")).code).toBe(2);
  });
});

test("what was typed wrongly exits with 2", async () => {
  for (const args of [
    ["dance"],
    ["devices", "dance"],
    ["invoke", "laptop"],
    ["allow", "X", "always"],
    ["audit", "--limit", "many"],
  ]) {
    const { code, json } = await kith(...args, "--json");
    expect([args, code, json?.error?.code]).toEqual([args, 2, "usage"]);
  }
});

describe("init", () => {
  test("asks nobody for what is safe, and leaves a home that works", async () => {
    await using fresh = await freshWorld();
    expect((await kith("init")).code).toBe(2);
    const { code, json } = await run(fresh.home, "init", "--yes", "--json");
    expect([code, json]).toMatchObject([
      ...[0, { ok: true, name: "kith", device: false, service: false, next: "kith up" }],
    ]);
    // Only this computer, and our gateway is gone again.
    expect(json.listen).toEqual([fresh.address]);
    expect((await run(fresh.home, "devices", "--json")).json.error.code).toBe("gateway-away");
  });

  test("writes the model that it was told and that answers, its key as a reference", async () => {
    await using fresh = await freshWorld();
    await using server = await ModelServer.start(
      responses,
      { text: ["ready"] },
      { status: 404, words: "model 'other' not found" },
    );
    server.key = "sk-canary";
    const file = join(fresh.home, "config.yaml");
    writeFileSync(file, `# mine\n${readFileSync(file, "utf8")}`);
    const init = (model: string) =>
      kithWith(
        { env: { OPENAI_API_KEY: "sk-canary" } },
        ...[fresh.home, "init", "--yes", "--json", "--model", model],
        ...["--base-url", server.baseUrl],
      );
    expect(await init("openai/m")).toMatchObject({ code: 0, json: { ok: true, model: "m" } });
    const written = readFileSync(file, "utf8");
    expect(written).toMatch(/^# mine\n/);
    expect(written).toContain(
      `model:\n  provider: openai\n  name: m\n  apiKey: \${env:OPENAI_API_KEY}\n  baseUrl: ${server.baseUrl}\n`,
    );
    expect(written).not.toContain("canary");
    expect((await init("openai/other")).json.error).toMatchObject({ code: "model-name" });
    expect(readFileSync(file, "utf8")).toBe(written);
    expect((await init("nonsense")).code).toBe(2);
  });

  test("of a gateway that runs changes nothing by itself", async () => {
    const before = readFileSync(join(home.home, "config.yaml"), "utf8");
    expect((await kith("init", "--yes", "--json")).json).toMatchObject({ ok: true, device: false });
    expect(readFileSync(join(home.home, "config.yaml"), "utf8")).toBe(before);
    expect((await kith("devices", "--json")).code).toBe(0);
  });
});

test("every verb but those with a terminal of their own was called", () => {
  // test/journeys/gateway.test.ts starts `up`, test/cli the chat and the service, send.test.ts moves files,
  // terminal.test.ts has shells.
  const others = new Set(["up", "chat", "service", "send", "play", "get", "copy", "shell"]);
  expect(Object.keys(verbs).filter((verb) => !called.has(verb) && !others.has(verb))).toEqual([]);
});
