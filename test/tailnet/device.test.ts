/** What a device makes of its own daemon: the ceiling of the gateway that it is paired with. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tailnet } from "@kith/node-agent/tailnet";
import { systemClock } from "@kith/shared/clock";
import { expect, test } from "vitest";
import { FakeTailscale } from "../support/tailscale.ts";
import { freshFolder } from "../support/home.ts";

const GATEWAY = { id: "cc6wtab6rgspd48j", addresses: ["100.64.0.1:5484"] };
const may = (...words: string[]) => ({ "kith.dev/cap/invoke": [{ may: words }] });

/** Waits of 10 s end when they are told to. */
async function device() {
  const fake = await FakeTailscale.start((one) => {
    one.self = { id: "nLAP", host: "laptop", ip: "100.64.0.2" };
    one.peers = [{ id: "nGW", host: "kith-gw", ip: "100.64.0.1", caps: may("camera") }];
  });
  const waits: (() => void)[] = [];
  const clock = {
    ...systemClock,
    after: (ms: number, fn: () => void) =>
      ms === 10_000 ? (waits.push(fn), () => {}) : systemClock.after(ms, fn),
  };
  const folder = freshFolder();
  const home = {
    settings: { gateway: GATEWAY, tailnet: { socket: fake.socket } },
    path: (...names: string[]) => join(folder, ...names),
  } as unknown as Parameters<typeof Tailnet.open>[1];
  const open = () => Tailnet.open(clock, home);
  return {
    ...{ fake, waits, folder, open, tailnet: await open() },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

test("a daemon that was silent when the first link began is asked again, and counts then", async () => {
  await using world = await device();
  world.fake.hangs = true;
  await world.tailnet.reached("100.64.0.1", "100.64.0.1");
  expect(world.tailnet.beyond("shell.run")).toBe(false);
  world.fake.hangs = false;
  for (const wait of world.waits.splice(0)) wait();
  await expect.poll(() => world.tailnet.beyond("shell.run")).toBe(true);
  expect(world.tailnet.beyond("camera.snap")).toBe(false);
});

test("what was seen holds over a restart, and for a link by another way", async () => {
  await using world = await device();
  await world.tailnet.reached("100.64.0.1", "100.64.0.1");
  const again = await world.open();
  expect(again.beyond("shell.run")).toBe(true);
  // The policy was narrowed; the link goes by the LAN now.
  world.fake.peers[0]!.caps = may();
  await again.reached("192.168.1.2", "192.168.1.2");
  expect(again.beyond("camera.snap")).toBe(true);
  expect(JSON.parse(readFileSync(join(world.folder, "tailnet.json"), "utf8"))).toEqual({
    ...{ gateway: GATEWAY.id, node: "nGW", ip: "100.64.0.1", may: [] },
  });
});

test("what was seen and cannot be read opens nothing: the agent does not start", async () => {
  await using world = await device();
  writeFileSync(join(world.folder, "tailnet.json"), "{");
  await expect(world.open()).rejects.toMatchObject({ code: "config-invalid" });
});
