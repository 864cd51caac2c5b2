/** What a gateway learns from its daemon, and what it makes of it. */
import { type DeviceRow, ceilingBy } from "@kith/gateway/devices/device";
import { Tailnet } from "@kith/gateway/mesh/tailscale";
import { systemClock } from "@kith/shared/clock";
import { describe, expect, test } from "vitest";
import { FakeTailscale } from "../support/tailscale.ts";

const laptop = { id: "nLAP", host: "laptop", ip: "100.64.0.2", relay: "fra" };
const listen = (host: string) => ({ host, port: 5484 });

/** What it makes of that daemon, and its end. */
async function tailnet(change: (fake: FakeTailscale) => void) {
  const fake = await FakeTailscale.start((one) => {
    one.peers = [laptop];
    change(one);
  });
  const made = new Tailnet({ clock: systemClock, socket: fake.socket });
  await made.look();
  return {
    ...{ fake, made },
    async [Symbol.asyncDispose]() {
      made.stop();
      await fake[Symbol.asyncDispose]();
    },
  };
}

describe("whose connection it is", () => {
  test("is asked for an address of the tailnet", async () => {
    await using net = await tailnet(() => {});
    expect(await net.made.facts("100.64.0.2", 4711)).toMatchObject({ node: "nLAP" });
    expect(await net.made.facts("100.64.0.9", 4711)).toBeUndefined();
    expect(await net.made.facts("192.168.1.2", 4711)).toBeUndefined();
  });

  test("is asked for loopback in userspace mode alone: there it may be anybody in the tailnet", async () => {
    const forwarded = (fake: FakeTailscale) => void fake.forwarded.set(4711, laptop.ip);
    await using kernel = await tailnet(forwarded);
    expect(await kernel.made.facts("127.0.0.1", 4711)).toBeUndefined();
    await using user = await tailnet((fake) => {
      forwarded(fake);
      fake.tun = false;
    });
    expect(await user.made.facts("127.0.0.1", 4711)).toMatchObject({ node: "nLAP" });
    // A program of this machine itself.
    expect(await user.made.facts("127.0.0.1", 4712)).toBeUndefined();
  });
});

describe("ways to dial", () => {
  test("are the name beside the address that is listened on", async () => {
    await using net = await tailnet(() => {});
    expect(net.made.ways([listen("127.0.0.1"), listen("100.64.0.1")])).toEqual([
      listen("kith-gw.tail1234.ts.net"),
    ]);
    expect(net.made.ways([listen("127.0.0.1"), listen("192.168.1.2")])).toEqual([]);
  });

  test("lead to loopback in userspace mode", async () => {
    await using net = await tailnet((fake) => {
      fake.tun = false;
    });
    expect(net.made.ways([listen("127.0.0.1")])).toEqual([
      listen("100.64.0.1"),
      listen("kith-gw.tail1234.ts.net"),
    ]);
  });

  test("are none where the daemon is not up", async () => {
    await using net = await tailnet((fake) => {
      fake.state = "NeedsLogin";
    });
    expect(net.made.ways([listen("100.64.0.1")])).toEqual([]);
  });
});

test("a route is direct, relayed, or not known", async () => {
  await using net = await tailnet((fake) => {
    fake.peers = [
      laptop,
      { ...laptop, id: "nPI", direct: "192.168.1.7:41641" },
      { ...laptop, id: "nNEW", relay: "" },
    ];
  });
  expect(["nLAP", "nPI", "nNEW", "nELSE"].map((node) => net.made.route({ node }))).toEqual([
    "relayed by fra",
    "direct",
    undefined,
    undefined,
  ]);
});

describe("the ceiling of a device", () => {
  const row = (may?: readonly string[], more: Partial<DeviceRow> = {}) =>
    ({
      ...{ id: "k", state: "paired" },
      tailnet: { node: "n", name: "n", login: "", tags: [], epoch: 1, ...(may && { may }) },
      ...more,
    }) as unknown as DeviceRow;
  const away = { id: "l", state: "paired" } as unknown as DeviceRow;

  test("is what the policy said last, in every mode but off", () => {
    expect(ceilingBy("auto", row(["camera"]), [])).toEqual(["camera"]);
    expect(ceilingBy("strict", row(["camera"]), [])).toEqual(["camera"]);
    expect(ceilingBy("off", row(["camera"]), [])).toBeUndefined();
  });

  test("is none where the policy speaks of nobody", () => {
    expect(ceilingBy("auto", row(), [row(), away])).toBeUndefined();
  });

  test("is nothing for one that the policy leaves out, once it speaks of another", () => {
    expect(ceilingBy("auto", row(), [row(["camera"])])).toEqual([]);
    expect(ceilingBy("auto", row(), [row(["camera"], { state: "revoked" })])).toBeUndefined();
    // It never came by the tailnet: there is nothing to compare.
    expect(ceilingBy("auto", away, [row(["camera"])])).toBeUndefined();
  });

  test("is nothing for whoever comes another way, where it is strict", () => {
    expect(ceilingBy("strict", away, [])).toEqual([]);
    expect(ceilingBy("strict", row(), [])).toEqual([]);
  });
});
