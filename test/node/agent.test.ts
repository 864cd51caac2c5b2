import { join } from "node:path";
import { deviceInfo } from "@kith/shared/capabilities/device";
import { systemRng } from "@kith/shared/clock";
import { hex, keyId, newId } from "@kith/shared/ids";
import { generateKeyPair } from "@kith/shared/noise/keys";
import { Agent } from "@kith/node-agent/agent";
import { Home } from "@kith/node-agent/config";
import { Consent } from "@kith/node-agent/consent";
import type { AnyDriver } from "@kith/node-agent/drivers/driver";
import type { AgentEvent } from "@kith/node-agent/events";
import { Ledger } from "@kith/node-agent/ledger";
import { notices } from "@kith/node-agent/notice";
import { Incoming } from "@kith/node-agent/incoming";
import { Outgoing } from "@kith/node-agent/outgoing";
import { Policy, setLock } from "@kith/node-agent/policy";
import { Server } from "@kith/node-agent/serve";
import { describe, expect, test } from "vitest";
import { type FakeGateway, fakeGateway } from "./gateway.ts";
import { FakeClock, folder, id, info, settle } from "./world.ts";

interface Options {
  readonly gateway: FakeGateway;
  readonly paired?: boolean;
  /** What the person types. */
  readonly lines?: string[];
  readonly addresses?: string[];
}

const wrong = (code: string) => String((Number(code) + 1) % 10_000).padStart(4, "0");

/** A whole agent on a real socket; only time is ours. */
async function agent({
  gateway,
  paired = true,
  lines = [],
  addresses = [gateway.address],
}: Options) {
  const place = await folder();
  const clock = new FakeClock();
  const home = await Home.open(join(place.path, "node"), { name: "laptop", kind: "laptop" });
  const known = { key: hex(gateway.key.publicKey), id: gateway.id };
  await home.save({
    policy: { "device.info": "allow" },
    gateway: { addresses, ...(paired && known) },
  });
  const own = await home.key();
  const ledger = await Ledger.open(home.path("ledger.log"), clock, systemRng);
  const outgoing = new Outgoing(home.path("spool"), clock, systemRng);
  await outgoing.recover([]);
  const incoming = new Incoming();
  const policy = new Policy(home, clock);
  const consent = new Consent(clock);
  const events: AgentEvent[] = [];
  let heard = () => {};
  const say = async (event: AgentEvent) => {
    events.push(event);
    heard();
  };
  const drivers: AnyDriver[] = [
    {
      capability: deviceInfo as never,
      parallel: 1,
      maxMs: 5_000,
      probe: () => Promise.resolve({ state: "ready" }),
      run: info as never,
    },
  ];
  const server = new Server({
    drivers,
    policy,
    ledger,
    consent,
    outgoing,
    incoming,
    notices: notices(say, clock),
    clock,
    log: () => {},
  });
  const stop = new AbortController();
  let network = "a";
  const running = new Agent({
    ...{ clock, rng: systemRng, home, own, drivers, policy, ledger, outgoing, incoming },
    ...{ server, say },
    soon: (fn) => void setImmediate(fn),
    boot: newId(clock, systemRng),
    about: { name: "laptop", kind: "laptop", os: "linux", arch: "x64", agent: "test" },
    person: { choose: async () => undefined, line: async () => lines.shift() },
    network: () => network,
  });
  const ended = running.run(stop.signal);
  ended.catch(() => {});
  return {
    ...{ clock, home, events, ended, own, device: keyId(own.publicKey) },
    changeNetwork: () => (network += "x"),
    stop: () => stop.abort(),
    /** The next event of this kind that nobody asked for yet. */
    async event<T extends AgentEvent["event"]>(
      name: T,
    ): Promise<Extract<AgentEvent, { event: T }>> {
      for (;;) {
        const at = events.findIndex(({ event }) => event === name);
        if (at >= 0) return events.splice(0, at + 1).at(-1) as Extract<AgentEvent, { event: T }>;
        await new Promise<void>((resolve) => (heard = resolve));
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      // Whatever ended it is the test's business, not ours.
      const over = ended.catch(() => {});
      await settle();
      clock.pass(1_000);
      await over;
      outgoing.stop();
      await ledger.close();
      await place[Symbol.asyncDispose]();
    },
  };
}

describe("a paired device", () => {
  test("comes back with IK, says hello, and serves", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway });
    const link = await gateway.accepted();
    expect(link.pattern).toBe("IK");
    expect(keyId(link.remote)).toBe(node.device);
    expect(gateway.headers[0]).not.toHaveProperty("origin");
    expect(gateway.headers[0]).toMatchObject({ "sec-websocket-protocol": "kith.v1" });
    expect(gateway.headers[0]).not.toHaveProperty("sec-websocket-extensions");
    const hello = await link.welcome(3, true);
    expect(hello).toMatchObject({
      name: "laptop",
      last_epoch: 0,
      minor: 0,
      caps: { hash: expect.any(Uint8Array) },
    });
    const { caps, hash, rev, part, parts } = await link.next("capabilities.advertise");
    expect({ rev, part, parts }).toEqual({ rev: 1, part: 1, parts: 1 });
    expect(caps).toMatchObject([{ cap: "device.info", state: "ready", policy: "allow" }]);
    expect(hello.caps?.hash).toEqual(hash);
    expect(await node.event("ready")).toEqual({ event: "ready", epoch: 3 });
    link.send({
      t: "invoke",
      call: id("A"),
      n: 1,
      epoch: 3,
      cap: "device.info",
      v: 1,
      args: {},
      effect: "read",
      ttl_ms: 9_000,
      seen: 0,
      grant: id("G"),
      why: { origin: "owner", text: "" },
      max_bytes: 0,
    });
    expect(await link.next("result")).toMatchObject({ out: { os: "linux" } });
  });

  test("reaches its gateway at a later address when another key answers at the first", async () => {
    await using stranger = await fakeGateway();
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway, addresses: [stranger.address, gateway.address] });
    while (stranger.tries === 0) await settle(1);
    node.clock.pass(250);
    expect(keyId((await gateway.accepted()).remote)).toBe(node.device);
  });

  test("says nothing to a gateway with another key", async () => {
    await using stranger = await fakeGateway();
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway, addresses: [stranger.address] });
    const waiting = await node.event("waiting");
    expect(waiting.why).toMatch(/not the gateway|closed/);
    expect(waiting.retry_ms).toBeGreaterThanOrEqual(3_000);
  });

  test("tells a gateway that is locked out nothing, and says so to its owner", async () => {
    await using gateway = await fakeGateway();
    gateway.admit = () => 4401;
    await using node = await agent({ gateway });
    expect((await node.event("waiting")).retry_ms).toBeGreaterThanOrEqual(3_000);
    node.clock.pass(3_000);
    await node.event("waiting");
    expect(gateway.tries).toBe(2);
    expect(node.home.settings.gateway?.key).toBe(hex(gateway.key.publicKey));
  });

  test("advertises again with a higher rev when it is locked, and stops what runs", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway });
    const link = await gateway.accepted();
    await link.welcome(1, true);
    expect(await link.next("capabilities.advertise")).toMatchObject({ rev: 1 });
    await setLock(node.home.dir, true);
    node.clock.pass(500);
    expect(await link.next("capabilities.advertise")).toMatchObject({
      rev: 2,
      caps: [{ state: "denied", policy: "deny" }],
    });
    expect(await node.event("locked")).toEqual({ event: "locked", locked: true });
  });

  test("stops for good at an authenticated revoked and keeps its pin", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway });
    const link = await gateway.accepted();
    await link.next("hello");
    link.send({ t: "bye", code: "revoked", text: "" });
    await expect(node.ended).rejects.toMatchObject({ code: "revoked" });
    expect(node.home.settings.gateway?.key).toBe(hex(gateway.key.publicKey));
  });

  test("comes back after the link broke, with the epoch it stored", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway });
    const first = await gateway.accepted();
    await first.welcome(5);
    await node.event("ready");
    first.socket.terminate();
    await node.event("ended");
    node.clock.pass(250);
    const second = await gateway.accepted();
    expect(await second.next("hello")).toMatchObject({ last_epoch: 5 });
  });

  test("tries at once when the network changes", async () => {
    await using gateway = await fakeGateway();
    gateway.admit = () => 4403;
    await using node = await agent({ gateway });
    await node.event("waiting");
    gateway.admit = () => true;
    node.changeNetwork();
    node.clock.pass(2_000); // within the wait of a refusal
    expect(gateway.tries).toBe(1);
    node.clock.pass(5_000);
    expect((await gateway.accepted()).pattern).toBe("IK");
  });

  test("says goodbye when it is stopped", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway });
    const link = await gateway.accepted();
    await link.welcome(1);
    await node.event("ready");
    node.stop();
    expect(await link.next("bye")).toMatchObject({ code: "shutdown" });
    await node.ended;
  });

  test("ends an open socket to a text message", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway });
    const link = await gateway.accepted();
    await link.next("hello");
    link.socket.send("hello");
    expect(await link.closed).toBe(4400);
    void node;
  });
});

describe("pairing by code", () => {
  test("shows the code, takes the return code, pins, and serves on the same link", async () => {
    await using gateway = await fakeGateway();
    const lines: string[] = [];
    await using node = await agent({ gateway, paired: false, lines });
    const link = await gateway.accepted();
    expect(link.pattern).toBe("XX");
    const { code, returnCode, begin } = await link.pairQuietly();
    expect(begin).toMatchObject({ how: "code", name: "laptop", caps: ["device.info"] });
    expect((await node.event("code")).code.replaceAll("-", "")).toBe(code);
    lines.push("12 3", "", wrong(returnCode), ` ${returnCode.slice(0, 2)} ${returnCode.slice(2)} `);
    link.send({ t: "pair.approved" });
    expect(await node.event("return-code-malformed")).toEqual({ event: "return-code-malformed" });
    await node.event("return-code-malformed");
    expect(await node.event("return-code-wrong")).toMatchObject({ tries_left: 2 });
    await link.next("pair.confirm");
    expect(await node.event("paired")).toMatchObject({ device: node.device, gateway: gateway.id });
    await link.welcome(1, true);
    await link.next("capabilities.advertise");
    expect(node.home.settings.gateway).toEqual({
      addresses: [gateway.address],
      key: hex(gateway.key.publicKey),
      id: gateway.id,
    });
    expect(gateway.tries).toBe(1);
  });

  test("has pinned the gateway before it confirms", async () => {
    await using gateway = await fakeGateway();
    const lines: string[] = [];
    await using node = await agent({ gateway, paired: false, lines });
    const link = await gateway.accepted();
    const { returnCode } = await link.pairQuietly();
    lines.push(returnCode);
    link.answersConfirm = false;
    link.send({ t: "pair.approved" });
    await link.next("pair.confirm");
    expect(
      (await Home.open(node.home.dir, { name: "x", kind: "laptop" })).settings.gateway,
    ).toMatchObject({ key: hex(gateway.key.publicKey), unconfirmed: true });
    // `pair.accepted` was lost; the gateway has us all the same.
    link.socket.terminate();
    await node.event("waiting");
    node.clock.pass(3_000);
    const next = await gateway.accepted();
    expect(next.pattern).toBe("IK");
    await next.welcome(1);
    expect(await node.event("paired")).toMatchObject({ gateway: gateway.id });
    while (node.home.settings.gateway?.unconfirmed) await settle(1);
  });

  test("starts again when the gateway never heard the confirmation", async () => {
    await using gateway = await fakeGateway();
    const lines: string[] = [];
    await using node = await agent({ gateway, paired: false, lines });
    const link = await gateway.accepted();
    lines.push((await link.pairQuietly()).returnCode);
    link.answersConfirm = false;
    link.send({ t: "pair.approved" });
    await link.next("pair.confirm");
    gateway.admit = (pattern) => (pattern === "IK" ? 4401 : true);
    link.socket.terminate();
    await node.event("waiting");
    node.clock.pass(3_000);
    expect((await node.event("waiting")).why).toMatch(/not finished/);
    node.clock.pass(3_000);
    expect((await gateway.accepted()).pattern).toBe("XX");
    expect(node.home.settings.gateway?.key).toBeUndefined();
  });

  test("ends after three wrong return codes, with nothing pinned", async () => {
    await using gateway = await fakeGateway();
    const lines: string[] = [];
    await using node = await agent({ gateway, paired: false, lines });
    const link = await gateway.accepted();
    const bad = wrong((await link.pairQuietly()).returnCode);
    lines.push(bad, "x", bad, bad, "never read");
    link.send({ t: "pair.approved" });
    expect(await link.next("pair.refused")).toMatchObject({ why: "return-code" });
    await expect(node.ended).rejects.toMatchObject({ code: "return-code-wrong" });
    expect(node.home.settings.gateway?.key).toBeUndefined();
    expect(lines).toEqual(["never read"]);
  });

  test("ends when nothing that is typed is a return code", async () => {
    await using gateway = await fakeGateway();
    const lines: string[] = [];
    await using node = await agent({ gateway, paired: false, lines });
    const link = await gateway.accepted();
    await link.pairQuietly();
    lines.push(...Array<string>(21).fill("hello"), "never read");
    link.send({ t: "pair.approved" });
    expect(await link.next("pair.refused")).toMatchObject({ why: "return-code" });
    await expect(node.ended).rejects.toMatchObject({ code: "return-code-wrong" });
    expect(lines).toEqual(["never read"]);
    expect(node.events.filter(({ event }) => event === "return-code-malformed")).toHaveLength(20);
  });

  test("asks for an open window and tries again every ten seconds", async () => {
    await using gateway = await fakeGateway();
    gateway.admit = () => 4401;
    await using node = await agent({ gateway, paired: false });
    expect(await node.event("waiting")).toEqual({
      event: "waiting",
      why: "ask the owner to open pairing (/pair)",
      retry_ms: 10_000,
    });
    node.clock.pass(9_999);
    await settle();
    expect(gateway.tries).toBe(1);
    gateway.admit = () => true;
    node.clock.pass(1);
    expect((await gateway.accepted()).pattern).toBe("XX");
  });

  test("tries a gateway that is not there every five seconds at least", async () => {
    const gone = await fakeGateway();
    await gone[Symbol.asyncDispose]();
    await using node = await agent({ gateway: gone, paired: false });
    for (let at = 0; at < 12; at++) {
      const { retry_ms } = await node.event("waiting");
      expect(retry_ms).toBeLessThanOrEqual(5_000);
      await settle(2);
      node.clock.pass(5_000);
    }
  });

  test("shows three codes at most", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway, paired: false });
    for (let at = 0; at < 3; at++) {
      const link = await gateway.accepted();
      await link.pairQuietly();
      await node.event("code");
      link.socket.terminate();
      if (at < 2) await node.event("waiting");
      node.clock.pass(3_000);
    }
    await expect(node.ended).rejects.toMatchObject({ code: "pairing-unfinished" });
    expect(gateway.tries).toBe(3);
  });

  test.each(["device", "gateway"] as const)(
    "refuses to be accepted with the %s of somebody else",
    async (whose) => {
      await using gateway = await fakeGateway();
      const lines: string[] = [];
      await using node = await agent({ gateway, paired: false, lines });
      const link = await gateway.accepted();
      lines.push((await link.pairQuietly()).returnCode);
      link.answersConfirm = false;
      link.send({ t: "pair.approved" });
      await link.next("pair.confirm");
      const other = keyId((await generateKeyPair()).publicKey);
      const said = { device: node.device, gateway: gateway.id, [whose]: other };
      link.send({ t: "pair.accepted", ...said, name: "x", ceiling: [] });
      await expect(node.ended).rejects.toMatchObject({ code: "pairing-refused" });
    },
  );

  test("does not go on when a step is skipped", async () => {
    await using gateway = await fakeGateway();
    await using node = await agent({ gateway, paired: false });
    const link = await gateway.accepted();
    await link.next("pair.begin");
    link.send({ t: "pair.approved" });
    await expect(node.ended).rejects.toMatchObject({ code: "schema" });
    expect(link.count("pair.reveal")).toBe(0);
  });
});
