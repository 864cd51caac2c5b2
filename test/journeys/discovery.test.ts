/** `kith node` without arguments, in a network of its own: one machine with one cable, real multicast. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type World, Running, freshWorld, until } from "../support/home.ts";
import { ip } from "../support/ip.ts";

const ADDRESS = "10.99.0.1";
let made = 0;

/** Where a gateway and its devices see each other. */
class Lan implements Disposable {
  readonly #name = `kithl${process.pid % 100_000}x${++made}`;

  constructor() {
    ip("netns", "add", this.#name);
    const here = (...args: string[]) => ip("-n", this.#name, ...args);
    here("link", "set", "lo", "up");
    here("link", "add", "lan", "type", "veth", "peer", "name", "other");
    here("addr", "add", `${ADDRESS}/24`, "dev", "lan");
    for (const link of ["lan", "other"]) here("link", "set", link, "up");
    here("route", "add", "224.0.0.0/4", "dev", "lan");
  }

  get through(): readonly string[] {
    return ["ip", "netns", "exec", this.#name];
  }

  /** One more address, as a network gives it that comes up later. */
  add(address: string): void {
    ip("-n", this.#name, "addr", "add", `${address}/24`, "dev", "lan");
  }

  [Symbol.dispose](): void {
    ip("netns", "del", this.#name);
  }
}

function lan(): Lan | undefined {
  try {
    return new Lan();
  } catch {
    return undefined;
  }
}
const NO_LAN = "this user may not make networks";

async function gateway(net: Lan, host = ADDRESS): Promise<World> {
  const home = await freshWorld();
  writeFileSync(
    join(home.home, "config.yaml"),
    `listen:\n  - 127.0.0.1:${home.port}\n  - ${host}:${home.port}\n`.replace(
      host === "127.0.0.1" ? `  - ${host}:${home.port}\n` : "",
      "",
    ),
    { mode: 0o600 },
  );
  await home.startGateway({ through: net.through });
  return home;
}

/** What somebody types at a machine that knows nothing. */
const looking = (home: World, net: Lan) =>
  new Running(
    home.agent,
    ["--home", home.nodeHome("laptop"), "--name", "laptop", "--json", "--camera", "test-pattern"],
    { through: net.through },
  );

test("an address that is not there yet is listened on as soon as it is", async ({ skip }) => {
  using net = lan();
  if (!net) return skip(NO_LAN);
  await using home = await gateway(net, "10.99.0.2");
  const listen = async () => (await home.call("status")).out.listen as string[];
  expect(await listen()).toEqual([`127.0.0.1:${home.port}`]);
  net.add("10.99.0.2");
  await until("the address", async () => (await listen()).includes(`10.99.0.2:${home.port}`));
});

describe("a machine that knows no gateway", () => {
  test("finds the one that is open for pairing, asks, and pairs by code", async ({ skip }) => {
    using net = lan();
    if (!net) return skip(NO_LAN);
    await using home = await gateway(net);
    const { out } = await home.call("pair.listen");
    const node = looking(home, net);
    const found = await node.event("found");
    expect(found.gateways).toEqual([
      { id: out.id, addresses: [`${ADDRESS}:${home.port}`], by: "network" },
    ]);
    node.types("2");
    await node.event("no-such-gateway");
    node.types("1");
    const { code } = await node.event("code");
    await until("the code", async () => (await home.call("pair.list")).out.pending.length === 1);
    const { out: approved } = await home.call("pair.approve", { code });
    await node.event("approved");
    node.types(approved.returnCode);
    await node.event("paired");
    await node.event("ready");
    await node.end();
    // It is known now: nobody is looked for again.
    const again = looking(home, net);
    await again.event("ready");
    expect(again.events.some(({ event }) => event === "looking")).toBe(false);
    await again.end();
  });

  test("finds none that is not open for pairing, or that only its own machine reaches", async ({
    skip,
  }) => {
    using net = lan();
    if (!net) return skip(NO_LAN);
    const none = async (home: World) => {
      const node = looking(home, net);
      const { error } = await node.event("failed");
      expect(error).toMatchObject({ code: "usage", message: expect.stringContaining("/pair") });
      expect((await node.ended).code).toBe(2);
    };
    await using closed = await gateway(net);
    // A ticket opens it, and its end closes it.
    const { out } = await closed.call("pair.invite");
    const node = looking(closed, net);
    await node.event("found");
    await node.end();
    await closed.call("pair.withdraw", { ticket: out.id });
    await none(closed);
    await using lonely = await gateway(net, "127.0.0.1");
    await lonely.call("pair.listen");
    await none(lonely);
  });

  test("names nobody who does not answer for itself, and pairs with nobody by a lie", async ({
    skip,
  }) => {
    using net = lan();
    if (!net) return skip(NO_LAN);
    await using home = await gateway(net);
    const { out } = await home.call("pair.listen");
    // Says that a gateway is where none is, and where the real one is, but under another id.
    const liar = new Running(
      join(import.meta.dirname, "../support/liar-mdns.child.ts"),
      ["10.99.0.1", String(home.port)],
      {
        through: net.through,
      },
    );
    await liar.event("lying");
    const node = looking(home, net);
    const { gateways } = await node.event("found");
    expect(gateways.map(({ id }: { id: string }) => id)).toEqual([out.id]);
    await node.end();
    await liar.end();
  });
});
