/** A whole gateway in a home of its own, spoken to over its control socket: methods and chats. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGateway } from "@kith/gateway/gateway";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Control, type Message, type Refusal } from "../support/control.ts";

const home = mkdtempSync(join(tmpdir(), "kith-operators-"));
const here = process.cwd();
let gateway: Awaited<ReturnType<typeof startGateway>>;
let control: Control;

beforeAll(async () => {
  writeFileSync(join(home, "config.yaml"), "listen: 127.0.0.1:0\n");
  gateway = await startGateway({ home, fatal: (error) => void Promise.reject(error as Error) });
  control = await Control.open(home);
});
afterAll(async () => {
  control.close();
  await gateway.stop();
  process.chdir(here);
  rmSync(home, { recursive: true, force: true });
});

const refused = (op: string, args: object = {}) =>
  control.call(op, args).then(
    () => "taken",
    (error: Refusal) => error.code,
  );
let keys = 0;
/** A device of this machine, as `kith node` registers it. */
const register = async (name: string, kind = "phone") =>
  (
    await control.call("node.register", {
      key: (++keys).toString(16).padStart(64, "0"),
      name,
      kind,
      os: "linux",
      arch: "x64",
      agent: "0",
      caps: ["camera.snap"],
    })
  ).out.device as string;
const states = async () =>
  Object.fromEntries(
    (await control.call("devices.list")).out.devices.map(
      ({ name, state }: { name: string; state: string }) => [name, state],
    ),
  );

/** Everything that is shown in one chat. */
async function chat(name: string) {
  const messages: Message[] = [];
  const link = await Control.open(home, (_, message) => void messages.push(message));
  const { out } = await link.call("chat.open", { chat: name });
  const say = (text: string, id?: string) =>
    link.call("chat.say", { text, ...(id === undefined ? {} : { id }) });
  return { messages, link, say, name: out.chat, [Symbol.dispose]: () => link.close() };
}

describe("a chat", () => {
  test("takes the same message id once, and answers once, also over another connection", async () => {
    using one = await chat("twice");
    const id = "01JCQ0000000000000000000AA";
    await Promise.all([one.say("/devices", id), one.say("/devices", id)]);
    await expect.poll(() => one.messages.length).toBe(1);
    await one.link.call("chat.seen", { message: one.messages[0]?.id });
    using two = await chat("twice");
    await two.say("/devices", id);
    await two.say("/grants");
    await expect.poll(() => two.messages.length).toBe(1);
    expect(two.messages[0]?.text).toMatch(/^No permission/);
  });

  test("shows again what nobody has seen, in its order, and nothing once it was seen", async () => {
    const texts = async () => {
      using one = await chat("unseen");
      await expect.poll(() => one.messages.length).toBeGreaterThan(0);
      await one.link.call("chat.seen", { message: one.messages[0]?.id });
      return one.messages.map(({ text }) => text.slice(0, 5));
    };
    {
      using one = await chat("unseen");
      await one.say("/help");
      await expect.poll(() => one.messages.length).toBe(1);
    }
    expect(await texts()).toEqual(["Say i"]);
    using after = await chat("unseen");
    await after.link.call("status");
    expect(after.messages).toEqual([]);
  });

  test.for([
    "/photo constructor",
    "/photo __proto__",
    "take a photo from constructor",
    "/why constructor",
    "/revoke __proto__",
  ])("“%s” gets an answer, and the gateway lives", async (text) => {
    using one = await chat("ask");
    await one.say(text);
    await expect.poll(() => one.messages.length).toBe(1);
    expect(one.messages[0]).toMatchObject({
      final: true,
      error: { code: expect.stringMatching(/-unknown$/) },
    });
  });

  test("a word before its chat, and one above 64 KiB of bytes, are refused", async () => {
    expect(await refused("chat.say", { text: "hello" })).toBe("usage");
    using one = await chat("big");
    await expect(one.say("é".repeat(32_769))).rejects.toMatchObject({ code: "too-big" });
    await one.say("é".repeat(32_768));
    await expect.poll(() => one.messages.length).toBe(1);
  });
});

describe("methods that end or rename a device never guess which", () => {
  test("two that fit are named, nothing is done", async () => {
    await register("old phone");
    await register("new phone");
    expect(await refused("devices.revoke", { device: "phone" })).toBe("device-ambiguous");
    expect(await states()).toMatchObject({ "old phone": "away", "new phone": "away" });
  });

  test("no name, or none that is one, means no device, even when there is only one", async () => {
    await control.call("devices.revoke", { device: "old phone" });
    expect(await states()).toMatchObject({ "old phone": "revoked", "new phone": "away" });
    for (const device of ["the", "my", "!", "camera", "bobs phone"])
      expect([device, await refused("devices.revoke", { device })]).toEqual([
        device,
        "device-unknown",
      ]);
    for (const device of ["", "\u200b", "x".repeat(257), 5])
      expect(await refused("devices.revoke", { device })).toBe("bad-args");
    expect(await states()).toMatchObject({ "new phone": "away" });
  });

  test("a revoked one is revoked once", async () => {
    expect(await refused("devices.revoke", { device: "old phone" })).toBe("revoked");
  });
});

test("what was allowed or asked before a device paired anew does not come back with it", async () => {
  const args = {
    key: "f".repeat(64),
    name: "desk",
    kind: "desktop",
    os: "linux",
    arch: "x64",
    agent: "0",
    caps: ["camera.snap"],
  };
  await control.call("node.register", args);
  expect(
    (await control.call("grants.explain", { device: "desk", cap: "camera.snap" })).out,
  ).toMatchObject({ decision: "ask" });
  await control.call("node.register", args);
  expect((await control.call("audit.list", { about: "desk", limit: 5 })).out.rows).toBeInstanceOf(
    Array,
  );
  expect((await control.call("audit.verify")).out.verified).toBe(true);
});

test.for<[string, object, string]>([
  ["allow", {}, "approval-unknown"],
  ["allow", { for: "2h" }, "bad-args"],
  ["deny", { id: "ABCDEF" }, "approval-unknown"],
  ["grants.revoke", { id: "constructor" }, "grant-unknown"],
  ["grants.explain", { device: "nobody", cap: "camera.snap" }, "device-unknown"],
  ["pair.approve", { code: "E8Z-PKG-EJJ" }, "code-mistyped"],
  ["pair.approve", { code: "E8Z-PKG-EJH" }, "pairing-closed"],
  ["audit.list", { limit: 1_001 }, "bad-args"],
  ["why", { id: "NOTHING" }, "call-unknown"],
  ["invoke", { device: "desk", cap: "device.info" }, "not-offered"],
  ["invoke", { device: "desk", cap: "camera.snap", args: { a: 1 } }, "bad-args"],
  ["invoke", { device: "desk", cap: "camera.snap", wait_ms: 3_600_001 }, "bad-args"],
  ["node.register", { key: "0", name: "x" }, "bad-args"],
])("%s %j is refused: %s", async ([op, args, code]) => {
  expect(await refused(op, args)).toBe(code);
});
