import { chmod, mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { keyId } from "@kith/shared/ids";
import { deviceInfo } from "@kith/shared/capabilities/device";
import { Home, readAddress } from "@kith/node-agent/config";
import { holdHome } from "@kith/node-agent/lock";
import { makeOffer } from "@kith/node-agent/offer";
import { Policy, setLock } from "@kith/node-agent/policy";
import type { AnyDriver } from "@kith/node-agent/drivers/driver";
import { describe, expect, test } from "vitest";
import { FakeClock, folder, settle } from "./world.ts";

const fresh = { name: "laptop", kind: "laptop" } as const;

async function start() {
  const place = await folder();
  const dir = join(place.path, "node");
  const home = await Home.open(dir, fresh);
  const clock = new FakeClock();
  return {
    dir,
    home,
    clock,
    policy: new Policy(home, clock),
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

describe("policy", () => {
  test("is off for whatever nobody named", async () => {
    await using world = await start();
    await world.home.save({ policy: { "camera.snap": "ask", "device.info": "allow" } });
    expect(world.policy.check("camera.snap")).toBe("ask");
    expect(world.policy.check("device.info")).toBe("allow");
    for (const cap of ["files.read", "toString", "__proto__"]) {
      expect(world.policy.rule(cap)).toBe("off");
      expect(() => world.policy.check(cap)).toThrow(
        expect.objectContaining({ code: "capability-off" }),
      );
    }
  });

  test("is overruled by the lock at once, whoever sets it, and comes back", async () => {
    await using world = await start();
    await world.home.save({ policy: { "device.info": "allow" } });
    await setLock(world.dir, true);
    expect(() => world.policy.check("device.info")).toThrow(
      expect.objectContaining({ code: "locked" }),
    );
    await setLock(world.home.dir, false);
    expect(world.policy.check("device.info")).toBe("allow");
  });

  test("is overruled by the tailnet's policy, but says first what is off here", async () => {
    await using world = await start();
    await world.home.save({ policy: { "device.info": "allow", "camera.snap": "allow" } });
    const policy = new Policy(world.home, world.clock, { beyond: (cap) => cap !== "camera.snap" });
    expect(policy.check("camera.snap")).toBe("allow");
    expect(() => policy.check("device.info")).toThrow(
      expect.objectContaining({ code: "outside-tailnet" }),
    );
    expect(() => policy.check("shell.run")).toThrow(
      expect.objectContaining({ code: "capability-off" }),
    );
  });

  test("locks where no home was before", async () => {
    await using place = await folder();
    const dir = join(place.path, "new", "node");
    await setLock(dir, true);
    expect(new Policy(await Home.open(dir, fresh), new FakeClock()).locked).toBe(true);
  });

  test("counts as locked when nobody can tell", async () => {
    await using world = await start();
    await world.home.save({ policy: { "device.info": "allow" } });
    // A path through a file: neither there nor missing.
    const blind = Object.create(world.home, {
      path: { value: (name: string) => join(world.dir, "node.json", name) },
    }) as Home;
    expect(new Policy(blind, world.clock).locked).toBe(true);
  });

  test("tells of a lock and of changed settings within half a second", async () => {
    await using world = await start();
    const heard: boolean[] = [];
    const stop = world.policy.watch(({ locked }) => heard.push(locked));
    const look = async (hears: number) => {
      const most = heard.length + hears;
      world.clock.pass(500);
      if (hears === 0) await settle();
      while (heard.length < most) await settle(1);
    };
    await look(0);
    expect(heard).toEqual([]);
    await setLock(world.home.dir, true);
    await look(1);
    expect(heard).toEqual([true]);
    await (await Home.open(world.dir, fresh)).save({ policy: { "camera.snap": "allow" } });
    await look(1);
    expect(heard).toEqual([true, true]);
    expect(world.policy.rule("camera.snap")).toBe("allow");
    await setLock(world.home.dir, false);
    await look(1);
    expect(heard).toEqual([true, true, false]);
    stop();
    await setLock(world.home.dir, true);
    await look(0);
    expect(heard).toHaveLength(3);
  });

  test("keeps what it was while somebody leaves node.json broken", async () => {
    await using world = await start();
    await world.home.save({ policy: { "device.info": "allow" } });
    const stop = world.policy.watch(() => {});
    await writeFile(join(world.dir, "node.json"), "{");
    world.clock.pass(500);
    await settle();
    expect(world.policy.rule("device.info")).toBe("allow");
    stop();
  });
});

describe("what is offered", () => {
  const driver = (probe: AnyDriver["probe"]): AnyDriver => ({
    capability: deviceInfo,
    parallel: 4,
    maxMs: 5_000,
    probe,
    run: () => Promise.reject(new Error("not run")),
  });

  const free = { locked: false, beyond: () => false };

  test("is denied without a look where the tailnet's policy does not permit it", async () => {
    const policy = { rule: () => "allow" as const, locked: false, beyond: () => true };
    const { caps } = await makeOffer(
      [driver(() => Promise.reject(new Error("looked at")))],
      policy,
      new FakeClock(),
    );
    expect(caps).toMatchObject([
      { state: "denied", policy: "deny", reason: expect.stringContaining("tailnet") },
    ]);
  });

  test("is not even looked at while it is off or locked", async () => {
    let looks = 0;
    const drivers = [driver(() => Promise.resolve((looks++, { state: "ready" as const })))];
    const off = await makeOffer(drivers, { rule: () => "off", ...free }, new FakeClock());
    expect(off.caps).toMatchObject([{ cap: "device.info", state: "off", policy: "deny" }]);
    const locked = await makeOffer(
      drivers,
      { rule: () => "allow", ...free, locked: true },
      new FakeClock(),
    );
    expect(locked.caps).toMatchObject([
      { state: "denied", policy: "deny", reason: "locked at the device" },
    ]);
    expect(looks).toBe(0);
    const on = await makeOffer(drivers, { rule: () => "ask", ...free }, new FakeClock());
    expect(on.caps).toMatchObject([{ state: "ready", policy: "ask", v: 1, effect: "read" }]);
    expect(
      new Set([off, locked, on].map(({ hash }) => Buffer.from(hash).toString("hex"))).size,
    ).toBe(3);
  });

  test("is unavailable when its driver throws or does not answer", async () => {
    const clock = new FakeClock();
    const offer = makeOffer(
      [driver(() => Promise.reject(new Error("x"))), driver(() => new Promise(() => {}))],
      { rule: () => "allow", ...free },
      clock,
    );
    await settle();
    clock.pass(4_000);
    expect((await offer).caps).toMatchObject([{ state: "unavailable" }, { state: "unavailable" }]);
  });
});

describe("the home", () => {
  test("is made for its owner alone, with a key that stays", async () => {
    await using world = await start();
    expect((await stat(world.dir)).mode & 0o777).toBe(0o700);
    const { publicKey } = await world.home.key();
    expect((await stat(join(world.dir, "keys", "node.key"))).mode & 0o777).toBe(0o600);
    expect(keyId((await (await Home.open(world.dir, fresh)).key()).publicKey)).toBe(
      keyId(publicKey),
    );
  });

  test.each([0o750, 0o705, 0o777])("of mode %o is refused", async (mode) => {
    await using world = await start();
    await chmod(world.dir, mode);
    await expect(Home.open(world.dir, fresh)).rejects.toMatchObject({ code: "home-unsafe" });
  });

  test.each([0o640, 0o604])("with a key file of mode %o is refused", async (mode) => {
    await using world = await start();
    await world.home.key();
    await chmod(join(world.dir, "keys", "node.key"), mode);
    await expect(world.home.key()).rejects.toMatchObject({ code: "home-unsafe" });
  });

  test("with a link instead of a key file is refused", async () => {
    await using world = await start();
    await mkdir(join(world.dir, "keys"), { mode: 0o700 });
    await writeFile(join(world.dir, "else"), new Uint8Array(32), { mode: 0o600 });
    await symlink(join(world.dir, "else"), join(world.dir, "keys", "node.key"));
    await expect(world.home.key()).rejects.toMatchObject({ code: "home-unsafe" });
  });

  test.each([
    ["an unknown field", { surprise: 1 }, "surprise"],
    [
      "a policy that is neither ask nor allow",
      { policy: { "camera.snap": "yes" } },
      "policy.camera.snap",
    ],
    ["an address without a port", { gateway: { addresses: ["host"] } }, "gateway.addresses.0"],
    [
      "a key and an id that do not belong together",
      { gateway: { addresses: ["h:1"], key: "00".repeat(32), id: "0000000000000000" } },
      "gateway.id",
    ],
    ["a name with control characters", { name: "a\u001b[2J" }, "name"],
  ])("with %s in node.json names the field", async (_, change, field) => {
    await using world = await start();
    await world.home.save({});
    const path = join(world.dir, "node.json");
    await writeFile(
      path,
      JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...change }),
    );
    const opened = Home.open(world.dir, fresh);
    await expect(opened).rejects.toMatchObject({ code: "config-invalid" });
    await expect(opened).rejects.toThrow(field);
  });

  test("keeps the highest epoch over a restart, and never a lower one", async () => {
    await using world = await start();
    await world.home.raiseEpoch(9);
    await world.home.raiseEpoch(4);
    expect((await Home.open(world.dir, fresh)).epoch).toBe(9);
  });

  test("is held by one agent at a time", async () => {
    await using world = await start();
    const path = join(world.dir, "agent.lock");
    const hold = holdHome(path);
    expect(() => holdHome(path)).toThrow(expect.objectContaining({ code: "home-locked" }));
    hold.release();
    holdHome(path).release();
  });
});

test.each([
  ["host", "host:5484"],
  ["host:80", "host:80"],
  ["10.0.0.1", "10.0.0.1:5484"],
  ["::1", "[::1]:5484"],
  ["fd7a:115c::1", "[fd7a:115c::1]:5484"],
  ["[::1]", "[::1]:5484"],
  ["[::1]:99", "[::1]:99"],
])("the address %s is %s", (typed, full) => {
  expect(readAddress(typed)).toBe(full);
});

test.each(["", "host:0", "host:65536", "a b", "http://host", "host/path", "user@host", "host:x"])(
  "the address %j is refused",
  (typed) => {
    expect(() => readAddress(typed)).toThrow(expect.objectContaining({ code: "usage" }));
  },
);
