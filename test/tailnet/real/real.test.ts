/** A gateway and a device in a real tailnet: real control server, real daemons, no other way between them. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kith } from "../../support/kith.ts";
import { type World, freshWorld, until } from "../../support/home.ts";
import { type Policy, RealTailnet } from "./network.ts";
import { areBuilt } from "./tools.mjs";

const mayMakeNetworks = (): boolean => {
  try {
    execFileSync("unshare", ["-n", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};
const missing = !areBuilt()
  ? "headscale and tailscaled are not built: `npm test -- --project tailnet` builds them, with Go 1.26.4 or newer"
  : mayMakeNetworks()
    ? undefined
    : "this user may not make network namespaces";

interface Met extends AsyncDisposable {
  readonly home: World;
  readonly net: RealTailnet;
}

/** Both are in the tailnet, and paired by it. */
async function met(policy: Policy, how?: { readonly relayed: boolean }): Promise<Met> {
  const net = await RealTailnet.open(policy, how);
  const home = await freshWorld();
  const made: Met = {
    ...{ home, net },
    async [Symbol.asyncDispose]() {
      await home[Symbol.asyncDispose]();
      await net[Symbol.asyncDispose]();
    },
  };
  writeFileSync(
    join(home.home, "config.yaml"),
    `listen: 127.0.0.1:${home.port}\ntailnet: {socket: ${net.socket("gateway")}}\n`,
    { mode: 0o600 },
  );
  try {
    await home.startGateway({ through: net.through("gateway") });
    home.through.set("laptop", net.through("device"));
    home.via.set("laptop", `kith-gw.kith.test:${home.port}`);
    await home.pair("laptop", { args: ["--tailscaled", net.socket("device")] });
    return made;
  } catch (error) {
    await made[Symbol.asyncDispose]();
    throw error;
  }
}

const snap = { device: "laptop", cap: "camera.snap", allow: "once" };
const info = { device: "laptop", cap: "device.info" };
const changed = ({ home }: Met, from: number) =>
  until("the news of the policy", async () =>
    (await home.audit()).some(({ what, seq }) => what === "device.tailnet" && seq > from),
  );
const newest = async ({ home }: Met) => (await home.audit()).at(-1)?.seq ?? 0;

describe("a real tailnet", { timeout: 180_000 }, () => {
  test("two daemons in userspace mode: the way, whose machine, the ceiling of both ends, its changes", async ({
    skip,
  }) => {
    if (missing) return skip(missing);
    await using both = await met({ node: ["camera"], invoke: ["camera", "device"] });
    const { home, net } = both;
    expect((await home.call("pair.invite")).out.listen).toEqual([
      `100.64.0.1:${home.port}`,
      `kith-gw.kith.test:${home.port}`,
    ]);
    const connected = (await home.audit()).find(({ what }) => what === "device.connected");
    expect(connected?.data.tailnet).toMatchObject({
      ...{ name: "laptop.kith.test", login: "", tags: ["tag:kith-node"], may: ["camera"] },
    });
    expect((await home.call("invoke", snap)).out).toMatchObject({ name: "laptop" });
    expect(await home.refused("invoke", info)).toMatchObject({ code: "outside-tailnet" });
    await until("a direct path", async () => (await home.devices())[0]?.route === "direct");
    const { stdout } = await kith(home.home, "doctor", "mesh");
    expect(stdout).toContain(
      "by the tailnet as laptop.kith.test, direct; the policy permits camera",
    );

    let from = await newest(both);
    net.setPolicy({ node: ["device"], invoke: ["*"] });
    await changed(both, from);
    expect(await home.refused("invoke", snap)).toMatchObject({ code: "outside-tailnet" });
    expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });

    // The gateway's database says yes; the device's own daemon says no.
    from = await newest(both);
    net.setPolicy({ node: ["*"], invoke: ["device"] });
    await changed(both, from);
    await home.offers("laptop", (caps) =>
      caps.some(({ cap, state }) => cap === "camera.snap" && state === "denied"),
    );
    expect(await home.refused("invoke", snap)).toMatchObject({ code: "denied-local" });
    expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });

    // The gateway's daemon dies, and comes back with the device.
    await net.killDaemon("gateway");
    await until("the break", async () => (await home.devices())[0]?.state === "away");
    expect((await home.call("status")).out.gateway).toBeDefined();
    await net.startDaemon("gateway");
    await home.offers("laptop", (caps) => caps.some(({ state }) => state === "denied"));
    expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });

    // The policy speaks of Kith no more: silence opens nothing that was shut.
    from = await newest(both);
    net.setPolicy({});
    await changed(both, from);
    await home.offers("laptop", (caps) =>
      caps.every(({ state }) => state === "denied" || state === "off"),
    );
    expect(await home.refused("invoke", info)).toMatchObject({ code: "denied-local" });
    expect(await home.auditIsWhole()).toBe(true);
  });

  test("a path through the relay is said to be one", async ({ skip }) => {
    if (missing) return skip(missing);
    await using both = await met({}, { relayed: true });
    expect((await both.home.call("invoke", snap)).out).toMatchObject({ name: "laptop" });
    await until(
      "the relay's name",
      async () => (await both.home.devices())[0]?.route === "relayed by home",
    );
  });
});
