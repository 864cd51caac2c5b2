import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { KithError } from "@kith/shared/errors";
import { keyId } from "@kith/shared/ids";
import { approvalCode, commitment } from "@kith/shared/noise/approval-code";
import { startHandshake } from "@kith/shared/noise/handshake";
import { importKey, seal } from "@kith/shared/noise/cipher";
import { type KeyPair, generateKeyPair } from "@kith/shared/noise/keys";
import { PREFIX_BYTES, prologue } from "@kith/shared/noise/prologue";
import { Channel } from "@kith/shared/protocol/channel";
import { joinControl } from "@kith/shared/protocol/codec";
import { limits } from "@kith/shared/protocol/limits";
import { type Frame, toGatewayPairing } from "@kith/shared/protocol/frames";
import { expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { Pairing, fakeDesk } from "./desk.ts";
import { NodeEnd, connected, gateway, hello, node, world } from "./world.ts";

test("a device pairs by code, and the same link then says hello as a paired one", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using laptop = (await Pairing.start(home.port)).begin();
  const shown = await laptop.reveal();
  const attempt = await desk.code();
  expect(attempt.codes).toEqual(shown);
  expect(attempt.about).toMatchObject({ name: "laptop", caps: ["camera.snap"] });

  attempt.speak.approved();
  attempt.speak.approved(); // said twice, told once
  await laptop.end.hears("pair.approved");
  laptop.end.say({ t: "pair.confirm" });
  expect(await laptop.end.hears("pair.accepted")).toEqual({
    t: "pair.accepted",
    device: node,
    gateway,
    name: "laptop",
    ceiling: ["camera.snap"],
  });
  laptop.end.say(hello());
  expect(await laptop.end.hears("welcome")).toMatchObject({ epoch: 7 });
  expect(home.heard.up[0]?.device).toBe(node);
  expect([desk.abandonedIds, laptop.end.frames]).toEqual([[], []]);
});

test("pings are answered at both ends while people type", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using laptop = (await Pairing.start(home.port)).begin();
  await laptop.reveal();
  laptop.end.say({ t: "ping", n: 1 });
  expect(await laptop.end.hears("pong")).toEqual({ t: "pong", n: 1 });
  home.clock.pass(20_000);
  expect(await laptop.end.hears("ping")).toEqual({ t: "ping", n: 1 });
});

test("with no open window there is no message 2", async () => {
  await using home = await world({ pairing: fakeDesk({ open: () => false }) });
  using laptop = new NodeEnd(home.port);
  await expect(laptop.handshake("XX")).rejects.toThrow("4401");
});

test("a slot that cannot be had is refused with the desk's reason", async () => {
  const full = new KithError("pairing-full", "no slot left");
  const desk = fakeDesk({ begin: () => Promise.reject(full) });
  await using home = await world({ pairing: desk });
  using laptop = (await Pairing.start(home.port)).begin();
  expect(await laptop.end.hears("pair.refused")).toEqual({
    t: "pair.refused",
    why: "pairing-full",
  });
  expect(await laptop.end.closed).toBe(4401);
  expect(desk.abandonedIds).toEqual([]);
});

test("a nonce that does not fit the commitment ends the attempt", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using laptop = (await Pairing.start(home.port)).begin();
  await laptop.reveal(new Uint8Array(16));
  expect(await laptop.end.hears("pair.refused")).toEqual({ t: "pair.refused", why: "commit" });
  expect(await laptop.end.closed).toBe(4400);
  expect(await desk.loss()).toBe(desk.attempts[0]?.id);
  expect(desk.attempts[0]?.codes).toBeUndefined();
});

test.each<[string, (laptop: Pairing) => Frame[]]>([
  ["a reveal before the nonce", ({ nN }) => [{ t: "pair.reveal", nonce: nN }]],
  ["a confirm before the reveal", () => [{ t: "pair.confirm" }]],
])("%s is refused", async (_, early) => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using laptop = await Pairing.start(home.port);
  laptop.end.say(...early(laptop));
  expect(await laptop.end.hears("pair.refused")).toEqual({ t: "pair.refused", why: "order" });
  expect(await laptop.end.closed).toBe(4400);
  expect(desk.attempts).toEqual([]);
});

test("a reveal together with the begin, before any nonce was sent, is refused", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using laptop = await Pairing.start(home.port);
  laptop.end.say(laptop.opening(), { t: "pair.reveal", nonce: laptop.nN }); // one message
  expect(await laptop.end.closed).toBe(4400);
  expect(await desk.loss()).toBe(desk.attempts[0]?.id);
  expect(desk.attempts[0]?.codes).toBeUndefined();
});

test("a second begin and a confirm without approval are refused", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using twice = (await Pairing.start(home.port)).begin();
  await twice.end.hears("pair.nonce");
  twice.begin();
  expect(await twice.end.closed).toBe(4400);

  using hasty = (await Pairing.start(home.port)).begin();
  await hasty.reveal();
  await desk.code();
  hasty.end.say({ t: "pair.confirm" });
  expect(await hasty.end.hears("pair.refused")).toMatchObject({ why: "order" });
  expect(await hasty.end.closed).toBe(4400);
});

test.each<[string, Frame | object]>([
  ["hello", hello()],
  ["an event", { t: "event", seq: 1, name: "x", data: {} }],
  ["an unknown frame", { t: "pair.please" }],
  ["a field too many", { t: "pair.confirm", now: true }],
])("%s on a link that is not paired yet closes it", async (_, frame) => {
  await using home = await world({ pairing: fakeDesk() });
  using laptop = await Pairing.start(home.port);
  laptop.end.mumble(frame);
  expect(await laptop.end.closed).toBe(4400);
});

test("a frame of 4 KiB is decoded while pairing, one byte more is not", async () => {
  const keys = {
    send: await importKey(new Uint8Array(32)),
    receive: await importKey(new Uint8Array(32)),
  };
  for (const over of [0, 1]) {
    const outcome: string[] = [];
    const channel = new Channel(
      { buffered: 0, send() {}, close() {}, terminate() {}, pause() {}, resume() {} },
      keys,
      toGatewayPairing,
      {
        frameBytes: limits.pairFrameBytes,
        onFrame: () => outcome.push("frame"),
        onMalformed: () => outcome.push("decoded"),
        onFault: (code, why) => outcome.push(`${code} ${why}`),
        onChunk() {},
        onRollover() {},
      },
      setImmediate,
    );
    const [plaintext = new Uint8Array()] = joinControl([
      new Uint8Array(limits.pairFrameBytes + over),
    ]);
    channel.receive(
      Buffer.concat([
        Uint8Array.of(0x10),
        await seal(keys.receive, 0, Uint8Array.of(0x10), plaintext),
      ]),
    );
    expect(outcome).toEqual([over === 0 ? "decoded" : "4400 a frame too large"]);
  }
});

test("a device that goes away is abandoned once, after its slot was spent", async () => {
  const spent = Promise.withResolvers<{ leftMs: number }>();
  const asked = Promise.withResolvers<string>();
  const desk = fakeDesk({
    begin: ({ id }) => {
      asked.resolve(id);
      return spent.promise;
    },
  });
  await using home = await world({ pairing: desk });
  const laptop = (await Pairing.start(home.port)).begin();
  const id = await asked.promise;
  laptop.end.say({ t: "pair.refused", why: "changed-mind" });
  expect(await laptop.end.closed).toBe(1000);
  expect(desk.abandonedIds).toEqual([]);
  spent.resolve({ leftMs: 1 });
  expect(await desk.loss()).toBe(id);
  expect(desk.abandonedIds).toEqual([id]);
});

test("the desk can refuse an attempt that waits, and is not asked about it again", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using laptop = (await Pairing.start(home.port)).begin();
  await laptop.reveal();
  const attempt = await desk.code();
  attempt.speak.refused("closed");
  expect(await laptop.end.hears("pair.refused")).toEqual({ t: "pair.refused", why: "closed" });
  expect(await laptop.end.closed).toBe(4401);
  expect(await desk.loss()).toBe(attempt.id);
  attempt.speak.approved();
  attempt.speak.refused("again");
});

test("a defect of the desk and a gateway that stops are no refusal: the device may try again", async () => {
  const desk = fakeDesk({ begin: () => Promise.reject(new Error("disk")) });
  await using home = await world({ pairing: desk });
  using unlucky = (await Pairing.start(home.port)).begin();
  expect(await unlucky.end.hears("bye")).toMatchObject({ code: "overload" });
  expect(await unlucky.end.closed).toBe(4503);
  expect(home.heard.problems).toMatchObject([{ message: "disk" }]);

  using waiting = await Pairing.start(home.port);
  waiting.end.say({ t: "ping", n: 1 });
  await waiting.end.hears("pong");
  void home.mesh.close();
  expect(await waiting.end.hears("bye")).toMatchObject({ code: "shutdown" });
  expect(await waiting.end.closed).toBe(1000);
});

test("an attempt that outlives its time is refused as expired", async () => {
  const desk = fakeDesk({ begin: async () => ({ leftMs: 60_000 }) });
  await using home = await world({ pairing: desk });
  using laptop = (await Pairing.start(home.port)).begin();
  await laptop.reveal();
  await desk.code(); // and nobody decides
  for (let passed = 0, n = 1; passed < 160_000; passed += 20_000, n++) {
    home.clock.pass(20_000);
    const ping = await laptop.end.hears("ping");
    laptop.end.say({ t: "pong", n: ping.n }, { t: "ping", n });
    await laptop.end.hears("pong");
  }
  home.clock.pass(20_000);
  expect(await laptop.end.hears("pair.refused")).toEqual({ t: "pair.refused", why: "expired" });
  await desk.loss();
});

test("a device that was confirmed but never heard of it is not abandoned", async () => {
  const stored = Promise.withResolvers<{ device: string; name: string; ceiling: string[] }>();
  const asked = Promise.withResolvers<void>();
  const desk = fakeDesk({
    confirmed: () => {
      asked.resolve();
      return stored.promise;
    },
  });
  await using home = await world({ pairing: desk });
  const laptop = (await Pairing.start(home.port)).begin();
  await laptop.reveal();
  (await desk.code()).speak.approved();
  await laptop.end.hears("pair.approved");
  laptop.end.say({ t: "pair.confirm" });
  await asked.promise;
  laptop.end.say({ t: "bye", code: "done", text: "" });
  await laptop.end.closed;
  stored.resolve({ device: node, name: "laptop", ceiling: [] });
  using _ = await connected(home); // long after the desk has answered
  expect(desk.abandonedIds).toEqual([]);
});

test("a device that says nothing after the handshake, or keeps its nonce, is closed after 5 s", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using mute = await Pairing.start(home.port);
  mute.end.say({ t: "ping", n: 1 });
  await mute.end.hears("pong");
  home.clock.pass(limits.helloMs);
  expect(await mute.end.closed).toBe(4401);

  using coy = (await Pairing.start(home.port)).begin();
  await coy.end.hears("pair.nonce");
  home.clock.pass(limits.helloMs);
  expect(await coy.end.closed).toBe(4401);
  await desk.loss();
});

/** Poses as the gateway to a device, with a key of its own. Resolves `hash` to the device's h. */
async function falseGateway(evil: KeyPair) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const hash = (async () => {
    const [ws] = (await once(server, "connection")) as [WebSocket];
    const opening = { pattern: "XX", role: "node", path: "/v1/mesh" } as const;
    const handshake = startHandshake({
      pattern: "XX",
      initiator: false,
      s: evil,
      prologue: prologue(opening),
    });
    const [hello] = (await once(ws, "message")) as [Buffer];
    await handshake.read(hello.subarray(PREFIX_BYTES));
    ws.send(await handshake.write());
    const [key] = (await once(ws, "message")) as [Buffer];
    await handshake.read(key);
    return (await handshake.split()).hash;
  })();
  return {
    port: (server.address() as AddressInfo).port,
    hash,
    [Symbol.dispose]() {
      for (const ws of server.clients) ws.terminate();
      server.close();
    },
  };
}

test("somebody in between who swaps keys leaves the two ends with different codes", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  const evil = await generateKeyPair();
  using middle = await falseGateway(evil);
  using victim = await new NodeEnd(middle.port).handshake("XX");
  expect(await middle.hash).toEqual(victim.hash); // the device speaks with the one in between,

  using attack = (await Pairing.start(home.port, evil)).begin();
  const atGateway = await attack.reveal(); // who speaks with the gateway,
  const seen = await desk.code();
  expect(keyId(seen.key)).toBe(keyId(evil.publicKey)); // and the gateway sees the wrong key.
  expect(seen.codes).toEqual(atGateway);
  // Even with both nonces passed on as they are, two hashes make two codes.
  expect(approvalCode(victim.hash, attack.nN, attack.nG).code).not.toBe(seen.codes.code);
});

test("a commitment made for another handshake does not fit", async () => {
  const desk = fakeDesk();
  await using home = await world({ pairing: desk });
  using one = await Pairing.start(home.port);
  using other = await Pairing.start(home.port);
  one.begin({ commit: commitment(other.end.hash, one.nN) });
  await one.reveal();
  expect(await one.end.hears("pair.refused")).toMatchObject({ why: "commit" });
});
