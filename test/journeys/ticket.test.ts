/** A second device by one pasted line: what a person does, and what somebody in between gets. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { formatInvitation, readInvitation } from "@kith/shared/protocol/invitation";
import { describe, expect, test } from "vitest";
import { Running, type World, freshFolder, freshWorld, until, world } from "../support/home.ts";

const CAMERA = ["--camera", "test-pattern"];

/** What the owner does at the gateway. */
const invite = async (home: World, args: object = { caps: ["camera", "device"] }) =>
  (await home.call("pair.invite", args)).out as { id: string; link: string; ticket: string };

/** What somebody does at the device. */
const paste = (home: World, link: string, name = "laptop", ...args: readonly string[]) =>
  home.spawnNode(name, { args: [...args, ...CAMERA, link] });

describe("one line", () => {
  test("pairs a device, turns on what it names, and the owner's permission is all that is left", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const owner = await home.owner();
    const { link } = await invite(home);
    const node = paste(home, link);
    await node.event("paired");
    expect(node.events.some(({ event }) => event === "code")).toBe(false);
    await owner.hear("the news", ({ text }) => text.startsWith("New device: laptop."));
    await home.offers("laptop", (caps) => caps.some(({ state }) => state === "ready"));
    // The very first use still asks.
    expect(await home.refused("invoke", { device: "laptop", cap: "camera.snap" })).toMatchObject({
      code: "approval-needed",
    });
    const asked = { device: "laptop", cap: "camera.snap", allow: "once" };
    expect((await home.call("invoke", asked)).out).toMatchObject({ name: "laptop" });
    // What the line did not name stays off, whoever allows it.
    expect(
      await home.refused("invoke", {
        device: "laptop",
        cap: "files.read",
        args: { root: "a", path: "b" },
        allow: "once",
      }),
    ).toMatchObject({ code: expect.stringMatching(/^(?:capability-off|not-offered)$/) });
    const story = (await home.audit()).map(({ what }) => what);
    expect(story).toEqual(expect.arrayContaining(["ticket.made", "ticket.used", "device.paired"]));
    expect(await home.auditIsWhole()).toBe(true);
  });

  test("works after a kill -9 of the gateway, and its secret stands in no journal", async () => {
    await using home = await freshWorld();
    const gateway = await home.startGateway();
    const { link } = await invite(home);
    await gateway.end("SIGKILL");
    await home.startGateway();
    const story = (await home.call("why", { id: "ticket/book", all: true })).text;
    const { ticket } = readInvitation(link);
    const { ticketKey } = await import("@kith/shared/noise/ticket");
    expect(story).not.toContain(Buffer.from(ticketKey(ticket)).toString("hex").slice(0, 16));
    await paste(home, link).event("paired");
  });

  test("that was answered but not heard is pasted again, and gets the same answer", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const { link } = await invite(home);
    const first = paste(home, link);
    await first.event("ready");
    await first.end("SIGKILL");
    // As if `pair.accepted` had never come: the key is there, the pin is not.
    const file = join(home.nodeHome("laptop"), "node.json");
    const { gateway: _, ...settings } = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify(settings));
    await paste(home, link).event("ready");
    expect((await home.audit()).filter(({ what }) => what === "device.paired")).toHaveLength(1);
    expect(await home.devices()).toHaveLength(1);
  });

  test("on a second device is refused; the owner is told", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const owner = await home.owner();
    const { link } = await invite(home);
    await paste(home, link).event("ready");
    const thief = paste(home, link, "thief");
    const { error } = await thief.event("failed");
    expect(error).toMatchObject({ code: "pairing-refused" });
    await owner.hear("the warning", ({ text }) => text.includes("used twice"));
    expect((await home.devices()).map(({ name }) => name)).toEqual(["laptop"]);
    // The line has its gateway's key: nothing was left behind at the thief's either.
    expect(readFileSync(join(home.nodeHome("thief"), "node.json"), "utf8")).not.toContain('"key"');
  });

  test("that was withdrawn lets nobody in", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const { id, link } = await invite(home);
    await home.call("pair.withdraw", { ticket: id });
    expect((await paste(home, link).event("failed")).error.code).toBe("pairing-refused");
    expect(await home.devices()).toEqual([]);
    // Nor did the line turn anything on.
    const { policy } = JSON.parse(
      readFileSync(join(home.nodeHome("laptop"), "node.json"), "utf8"),
    ) as { policy: object };
    expect(policy).toEqual({});
  });

  test("of another gateway: the device says no before it says a word of the ticket", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const { link } = await invite(home);
    const other = formatInvitation({
      ...readInvitation(link),
      gateway: new Uint8Array(32).fill(9),
    });
    const { error } = await paste(home, other).event("failed");
    expect(error.message).toContain("not the gateway of this ticket");
    // The honest one still works: nothing was spent.
    await paste(home, link).event("ready");
  });

  test("does not turn a paired device over to another gateway by itself", async () => {
    await using home = await world(["laptop"]);
    const before = readFileSync(join(home.nodeHome("laptop"), "node.json"), "utf8");
    await home.nodes.get("laptop")?.end("SIGTERM");
    const { link } = await invite(home);
    const other = formatInvitation({
      ...readInvitation(link),
      gateway: new Uint8Array(32).fill(9),
    });
    const { error } = await paste(home, other).event("failed");
    expect(error).toMatchObject({ code: "usage", message: expect.stringContaining("--pair") });
    expect(readFileSync(join(home.nodeHome("laptop"), "node.json"), "utf8")).toBe(before);
  });
});

test("what a line did not name is said to be missing from the pairing, and added by its owner's hand", async () => {
  await using home = await freshWorld();
  await home.startGateway();
  const { link } = await invite(home);
  await paste(home, link).event("ready");
  const more = ["--allow", "files.list=allow", "--root", `docs=${home.folder}`, "--json"];
  const stored = new Running(home.agent, ["--home", home.nodeHome("laptop"), ...more]);
  await stored.event("stored");
  await home.offers("laptop", (caps) =>
    caps.some(
      ({ cap, state, agreed }) => cap === "files.list" && state === "ready" && agreed === false,
    ),
  );
  const list = { device: "laptop", cap: "files.list", allow: "once" };
  expect(await home.refused("invoke", list)).toMatchObject({
    code: "not-offered",
    message: expect.stringContaining('kith devices widen "laptop" files.list'),
  });
  await home.call("devices.widen", { device: "laptop", cap: "files.list" });
  expect((await home.call("invoke", list)).out).toMatchObject({ name: "laptop" });
});

describe("a machine with Node and nothing of Kith", () => {
  const agent = (home: World) => fetch(`http://127.0.0.1:${home.port}/agent`);
  /** As somebody pastes it, in an empty folder. */
  async function run(home: World, line: string) {
    const folder = freshFolder();
    const path = `${dirname(process.execPath)}:${process.env.PATH}`;
    const shell = spawn("sh", ["-c", line], {
      cwd: folder,
      env: { PATH: path, HOME: folder, KITH_HOME: home.nodeHome("bare") },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a group of its own, so that what the shell started ends with it
    });
    let said = "";
    for (const out of [shell.stdout, shell.stderr])
      out.setEncoding("utf8").on("data", (text: string) => (said += text));
    const ended = once(shell, "close");
    return {
      folder,
      ended,
      said: () => said,
      [Symbol.asyncDispose]: async () => {
        if (shell.exitCode === null) process.kill(-(shell.pid ?? 0), "SIGTERM");
        await ended;
      },
    };
  }

  test("fetches the agent, checks it, and is paired by it", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    expect((await agent(home)).status).toBe(404);
    const { out } = await home.call("pair.invite", { caps: ["device"] });
    await using there = await run(home, `${out.bare} --name bare`);
    await until(
      "the device",
      async () =>
        (await home.devices()).some(({ name, state }) => name === "bare" && state === "online"),
      there.said,
    );
    expect(statSync(join(there.folder, "kith-node.mjs")).size).toBeLessThan(1_048_576);
    await home.call("pair.withdraw", { ticket: out.id });
    expect((await agent(home)).status).toBe(404);
  });

  test("does not start what is another file", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const { out } = await home.call("pair.invite", {});
    const bare = String(out.bare).replace(/!=="[0-9a-f]{8}/, '!=="00000000');
    await using there = await run(home, bare);
    expect((await there.ended)[0]).not.toBe(0);
    expect(there.said()).toContain("this is another file");
    expect(await home.devices()).toEqual([]);
  });
});

test("a ticket typed by hand pairs too, and turns nothing on", async () => {
  await using home = await freshWorld();
  await home.startGateway();
  const { ticket } = await invite(home, {});
  const node = home.spawnNode("laptop", { args: [...CAMERA, "--ticket", ticket.toLowerCase()] });
  await node.event("ready");
  await home.offers(
    "laptop",
    (caps) => caps.length > 0 && caps.every(({ state }) => state === "off"),
  );
});

test("a revoked device does not come back by the ticket it came with", async () => {
  await using home = await freshWorld();
  await home.startGateway();
  const { link } = await invite(home);
  const node = paste(home, link);
  await node.event("ready");
  await home.call("devices.revoke", { device: "laptop" });
  await node.ended;
  rmSync(join(home.nodeHome("laptop"), "node.json"));
  expect((await paste(home, link).event("failed")).error.code).toBe("pairing-refused");
});

test("what cannot be made or read is refused with its own words", async () => {
  await using home = await freshWorld();
  await home.startGateway();
  expect(await home.refused("pair.invite", { caps: ["toaster"] })).toMatchObject({
    code: "bad-args",
    message: expect.stringContaining("toaster"),
  });
  expect(await home.refused("pair.invite", { ttl_s: 59 })).toMatchObject({ code: "bad-args" });
  expect(await home.refused("pair.open", { address: "203.0.113.7" })).toMatchObject({
    code: "bad-args",
  });
  const damaged = paste(home, "kith://pair#g=00");
  expect((await damaged.event("failed")).error.code).toBe("ticket-mistyped");
});
