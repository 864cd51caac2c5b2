/**
 * A gateway and a device that meet in a tailnet whose daemons run in userspace: the device's dials, the
 * gateway's forwards to loopback and knows whose connection it is. Both daemons are stand-ins.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { kith } from "../support/kith.ts";
import { type World, freshWorld, until } from "../support/home.ts";
import { FakeTailscale, type Machine } from "../support/tailscale.ts";

const may = (cap: string, ...words: string[]) => ({ [`kith.dev/cap/${cap}`]: [{ may: words }] });

interface Tailnet extends AsyncDisposable {
  readonly home: World;
  readonly atGateway: FakeTailscale;
  readonly atDevice: FakeTailscale;
  readonly gateway: Machine;
  readonly laptop: Machine;
}

async function tailnet(more = ""): Promise<Tailnet> {
  const gateway: Machine = { id: "nGW", host: "kith-gw", ip: "100.64.0.1", tags: ["tag:kith-gw"] };
  const laptop: Machine = { id: "nLAP", host: "laptop", ip: "100.64.0.2", relay: "fra" };
  const home = await freshWorld();
  const atGateway = await FakeTailscale.start((fake) => {
    fake.tun = false;
    fake.self = gateway;
    fake.peers = [laptop];
  });
  const atDevice = await FakeTailscale.start((fake) => {
    fake.tun = false;
    fake.self = laptop;
    fake.peers = [gateway];
    fake.routes.set(`kith-gw.tail1234.ts.net:${home.port}`, home.port);
    fake.connected = (port) => atGateway.forwarded.set(port, laptop.ip);
  });
  writeFileSync(
    join(home.home, "config.yaml"),
    `listen: 127.0.0.1:${home.port}\ntailnet:\n  socket: ${atGateway.socket}\n${more}`,
    { mode: 0o600 },
  );
  home.via.set("laptop", `kith-gw.tail1234.ts.net:${home.port}`);
  await home.startGateway();
  return {
    ...{ home, atGateway, atDevice, gateway, laptop },
    async [Symbol.asyncDispose]() {
      await home[Symbol.asyncDispose]();
      await atGateway[Symbol.asyncDispose]();
      await atDevice[Symbol.asyncDispose]();
    },
  };
}

const pair = ({ home, atDevice }: Tailnet, ...args: string[]) =>
  home.pair("laptop", { args: ["--tailscaled", atDevice.socket, ...args] });

const snap = { device: "laptop", cap: "camera.snap", allow: "once" };
const info = { device: "laptop", cap: "device.info" };

test("a device dials by its daemon, and the gateway records whose machine it is", async () => {
  await using net = await tailnet();
  const { home, atDevice } = net;
  expect((await home.call("pair.invite")).out.listen).toEqual([
    `100.64.0.1:${home.port}`,
    `kith-gw.tail1234.ts.net:${home.port}`,
  ]);
  await pair(net);
  expect(atDevice.asked).toContain(`DIAL kith-gw.tail1234.ts.net:${home.port}`);
  expect((await home.call("invoke", snap)).out).toMatchObject({ name: "laptop" });
  expect(await home.devices()).toMatchObject([{ state: "online", route: "relayed by fra" }]);
  const connected = (await home.audit()).find(({ what }) => what === "device.connected");
  expect(connected?.data.tailnet).toMatchObject({
    ...{ node: "nLAP", name: "laptop.tail1234.ts.net", login: "anna@example.com", tags: [] },
  });
  const { out: why } = await home.call("why", { id: "laptop" });
  expect(JSON.stringify(why)).toContain(
    "by the tailnet as laptop.tail1234.ts.net (anna@example.com)",
  );
  // No policy speaks of Kith, so there is no ceiling.
  expect(connected?.data.tailnet).not.toHaveProperty("may");
  expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });
});

test("what the policy does not permit is denied by the gateway, and comes back with the policy", async () => {
  await using net = await tailnet();
  const { home, atGateway, laptop } = net;
  laptop.caps = may("node", "camera");
  await pair(net);
  expect((await home.call("invoke", snap)).out).toMatchObject({ name: "laptop" });
  expect(await home.refused("invoke", info)).toMatchObject({ code: "outside-tailnet" });

  laptop.caps = may("node", "device");
  atGateway.notify();
  await until("the new policy", async () =>
    (await home.audit()).some(({ what }) => what === "device.tailnet"),
  );
  expect(await home.refused("invoke", snap)).toMatchObject({ code: "outside-tailnet" });
  expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });

  // Without a daemon there are no news: what was seen last holds.
  await atGateway[Symbol.asyncDispose]();
  expect(await home.refused("invoke", snap)).toMatchObject({ code: "outside-tailnet" });
  expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });
});

test("what waits for the owner's answer ends when the policy takes it away", async () => {
  await using net = await tailnet();
  const { home, atGateway, laptop } = net;
  laptop.caps = may("node", "*");
  await pair(net);
  const owner = await home.owner();
  owner.say("grab a photo from my laptop");
  await owner.hear("the question", ({ text }) => text.includes("/allow"));
  laptop.caps = may("node");
  atGateway.notify();
  await owner.hear("its end", ({ text }) => text.includes("tailnet"));
});

test("a device does not do what its own daemon says that this gateway may not ask", async () => {
  await using net = await tailnet();
  const { home, gateway, atDevice } = net;
  gateway.caps = may("invoke", "camera");
  await pair(net);
  expect((await home.call("invoke", snap)).out).toMatchObject({ name: "laptop" });
  expect(await home.refused("invoke", info)).toMatchObject({
    code: "denied-local",
    message: expect.stringContaining("device.info"),
  });
  // It is on disk: the same gateway by another way gets no more.
  await atDevice[Symbol.asyncDispose]();
  await home.nodes.get("laptop")?.end("SIGTERM");
  home.via.set("laptop", home.port);
  await home.startNode("laptop");
  expect(await home.refused("invoke", info)).toMatchObject({ code: "denied-local" });
  const kept = readFileSync(join(home.nodeHome("laptop"), "tailnet.json"), "utf8");
  expect(JSON.parse(kept)).toMatchObject({ node: "nGW", ip: "100.64.0.1", may: ["camera"] });
});

test("strict: who comes by another way than the tailnet may nothing, at either end", async () => {
  await using net = await tailnet("  ceiling: strict\n");
  const { home, laptop } = net;
  laptop.caps = may("node", "*");
  home.via.set("laptop", home.port); // loopback itself: no forwarded connection
  await net.home.pair("laptop");
  expect(await home.refused("invoke", info)).toMatchObject({ code: "outside-tailnet" });
  await home.nodes.get("laptop")?.end("SIGTERM");
  home.via.set("laptop", `kith-gw.tail1234.ts.net:${home.port}`);
  await home.startNode("laptop", { args: ["--tailscaled", net.atDevice.socket] });
  expect((await home.call("invoke", info)).out).toMatchObject({ name: "laptop" });
  await home.nodes.get("laptop")?.end("SIGTERM");
  home.spawnNode("laptop", { args: ["--tailnet", "strict"] });
  await home.offers("laptop", (caps) => caps.some(({ state }) => state === "denied"));
  expect(await home.refused("invoke", info)).toMatchObject({ code: "denied-local" });
});

test("a daemon that hangs keeps nobody out", async () => {
  await using net = await tailnet();
  net.atGateway.hangs = true;
  net.home.via.set("laptop", net.home.port);
  await net.home.pair("laptop");
  expect((await net.home.call("invoke", info)).out).toMatchObject({ name: "laptop" });
});

test("`kith doctor mesh` tells the way step by step", async () => {
  await using net = await tailnet();
  const { home, laptop } = net;
  laptop.caps = may("node", "camera", "device");
  await pair(net);
  const { stdout } = await kith(home.home, "doctor", "mesh");
  for (const words of [
    "this machine is kith-gw.tail1234.ts.net, 100.64.0.1",
    "userspace mode",
    `devices dial 100.64.0.1:${home.port} or kith-gw.tail1234.ts.net:${home.port}`,
    "by the tailnet as laptop.tail1234.ts.net, relayed by fra; the policy permits camera, device",
  ])
    expect(stdout).toContain(words);
});
