import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { limits } from "@kith/shared/protocol/limits";
import { generateKeyPair } from "@kith/shared/noise/keys";
import { startHandshake } from "@kith/shared/noise/handshake";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { fakeDesk, Pairing } from "./desk.ts";
import { NodeEnd, connected, first, gateway, hello, initiator, world } from "./world.ts";

interface Knock {
  path?: string;
  protocols?: string[];
  headers?: Record<string, string>;
}

/** The HTTP status of an upgrade; 101 when it was accepted. */
async function knock(
  port: number,
  { path = "/v1/mesh", protocols = ["kith.v1"], headers = {} }: Knock = {},
): Promise<number> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { headers });
  ws.on("error", () => {});
  const status = await Promise.race([
    once(ws, "open").then(() => 101),
    once(ws, "unexpected-response").then(
      ([, response]) => (response as IncomingMessage).statusCode ?? 0,
    ),
  ]);
  ws.terminate();
  return status;
}

async function get(
  port: number,
  path: string,
  method = "GET",
): Promise<{ status: number | undefined; body: string }> {
  const asked = request({ port, path, method, host: "127.0.0.1" }).end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  let body = "";
  for await (const part of response.setEncoding("utf8")) body += part;
  return { status: response.statusCode, body };
}

describe("before the 101", () => {
  test.each<[string, Knock, number]>([
    ["the mesh path with its subprotocol", {}, 101],
    ["several subprotocols with ours among them", { protocols: ["other", "kith.v1"] }, 101],
    ["the mode that Node's own client sends", { headers: { "sec-fetch-mode": "websocket" } }, 101],
    ["a foreign Origin", { headers: { origin: "https://evil.example" } }, 403],
    ["our own Origin", { headers: { origin: "http://127.0.0.1" } }, 403],
    ["the Origin null", { headers: { origin: "null" } }, 403],
    ["an empty Origin", { headers: { origin: "" } }, 403],
    ["Sec-Fetch-Site", { headers: { "sec-fetch-site": "same-origin" } }, 403],
    ["another path", { path: "/v1/other" }, 404],
    ["a query", { path: "/v1/mesh?token=1" }, 404],
    ["the path of browsers, which comes later", { path: "/v1/web" }, 404],
    ["another subprotocol", { protocols: ["kith.v2"] }, 400],
    ["no subprotocol", { protocols: [] }, 400],
    [
      "forwarded and Tailscale headers, which change nothing",
      { headers: { "x-forwarded-for": "10.0.0.1", "tailscale-user-login": "owner" } },
      101,
    ],
  ])("%s", async (_, how, status) => {
    await using home = await world();
    expect(await knock(home.port, how)).toBe(status);
  });

  test("the probe names the gateway and nothing else, twenty times a second", async () => {
    await using home = await world();
    for (let at = 0; at < limits.probesPerSecond; at++)
      expect(await get(home.port, "/.well-known/kith")).toEqual({
        status: 200,
        body: JSON.stringify({ v: 1, id: gateway }),
      });
    expect((await get(home.port, "/.well-known/kith")).status).toBe(429);
    home.clock.pass(1_000);
    expect((await get(home.port, "/.well-known/kith")).status).toBe(200);
  });

  test("nothing else is served", async () => {
    await using home = await world();
    for (const path of [
      "/",
      "/v1/mesh",
      "/v1/web",
      "/.well-known/kith?x",
      "/.well-known/kith/",
      "//x",
    ])
      expect(await get(home.port, path)).toEqual({ status: 404, body: "" });
    expect((await get(home.port, "/.well-known/kith", "POST")).status).toBe(404);
  });

  test("a connection that asks for nothing is dropped after 5 s", async () => {
    await using home = await world();
    const socket = connect(home.port, "127.0.0.1");
    await once(socket, "connect");
    await get(home.port, "/.well-known/kith"); // the server has accepted the first by now
    home.clock.pass(limits.handshakeMs);
    await once(socket.resume(), "close");
  });

  test("a taken port is told by its code, and another address can be added while it runs", async () => {
    await using home = await world();
    await expect(home.mesh.listen({ host: "127.0.0.1", port: home.port })).rejects.toMatchObject({
      code: "port-taken",
    });
    const more = await home.mesh.listen({ host: "127.0.0.1", port: 0 });
    expect(home.mesh.addresses).toEqual([{ host: "127.0.0.1", port: home.port }, more]);
    expect(await knock(more.port)).toBe(101);
  });
});

describe("a stranger", () => {
  test("with an unknown key is closed with 4401 and gets no message 2", async () => {
    await using home = await world();
    using laptop = await new NodeEnd(home.port).open();
    laptop.ws.send(await first(startHandshake(initiator("IK", await generateKeyPair())), "IK"));
    await expect(laptop.message()).rejects.toThrow("4401");
    expect(home.heard).toMatchObject({ up: [], down: [], hellos: [] });
  });

  test("whose key was revoked hears it inside the channel, then 4403", async () => {
    await using home = await world({ handlers: { standing: () => "revoked" } });
    using laptop = await new NodeEnd(home.port).handshake("IK");
    expect(await laptop.hears("bye")).toMatchObject({ code: "revoked" });
    expect(await laptop.closed).toBe(4403);
    expect(home.heard).toMatchObject({ up: [], down: [], hellos: [] });
  });

  test("who says to be an operator, or has a ticket, is refused without a message 2", async () => {
    await using home = await world({ pairing: fakeDesk() });
    const psk = new Uint8Array(32);
    for (const [handshake, pattern, role] of [
      [startHandshake(initiator("IK", undefined, "operator")), "IK", "operator"],
      [startHandshake({ ...initiator("XXpsk3"), psks: [psk] }), "XXpsk3", "node"],
    ] as const) {
      using laptop = await new NodeEnd(home.port).open();
      laptop.ws.send(await first(handshake, pattern, role));
      await expect(laptop.message()).rejects.toThrow("4401");
    }
  });

  test.each<[string, (message: Uint8Array) => Uint8Array, number]>([
    ["one byte too few", (message) => message.subarray(0, -1), 4400],
    ["one byte too many", (message) => Buffer.concat([message, Uint8Array.of(0)]), 4400],
    ["a changed byte", (message) => message.map((byte, at) => (at === 60 ? byte ^ 1 : byte)), 4400],
    ["another magic", (message) => message.map((byte, at) => (at === 0 ? 0x4c : byte)), 4400],
    ["an unknown pattern", (message) => message.map((byte, at) => (at === 2 ? 4 : byte)), 4400],
    [
      "another role than it was made for",
      (message) => message.map((byte, at) => (at === 3 ? 3 : byte)),
      4400,
    ],
    ["another major", (message) => message.map((byte, at) => (at === 1 ? 2 : byte)), 4426],
    ["nothing", () => new Uint8Array(0), 4400],
  ])("whose first message has %s is closed", async (_, change, code) => {
    await using home = await world();
    using laptop = await new NodeEnd(home.port).open();
    laptop.ws.send(change(await first(startHandshake(initiator("IK")), "IK")));
    expect(await laptop.closed).toBe(code);
  });

  test("who made its handshake for another gateway or another path is closed", async () => {
    await using home = await world();
    for (const options of [
      initiator("IK", undefined, "node", (await generateKeyPair()).publicKey),
      initiator("IK", undefined, "node", undefined, "/v1/web"),
    ]) {
      using laptop = await new NodeEnd(home.port).open();
      laptop.ws.send(await first(startHandshake(options), "IK"));
      expect(await laptop.closed).toBe(4400);
    }
  });

  test("who plays a recorded message 1 again proves nothing", async () => {
    await using home = await world();
    using laptop = await new NodeEnd(home.port).open();
    const recorded = await first(startHandshake(initiator("IK")), "IK");
    laptop.ws.send(recorded);
    await laptop.message();
    using replay = await new NodeEnd(home.port).open();
    replay.ws.send(recorded);
    await replay.message();
    replay.ws.send(new Uint8Array(100).fill(0x10));
    expect(await replay.closed).toBe(4400);
    expect(home.heard).toMatchObject({ up: [], down: [], hellos: [] });
  });

  test("has 5 s for the handshake, and not a millisecond more", async () => {
    await using home = await world();
    using slow = await new NodeEnd(home.port).open();
    using late = await new NodeEnd(home.port).open();
    home.clock.pass(limits.handshakeMs - 1);
    await slow.handshake("IK");
    home.clock.pass(1);
    expect(await late.closed).toBe(4401);
    slow.say(hello());
    await slow.hears("welcome");
  });

  test("who stops in the middle of XX is closed after 5 s", async () => {
    await using home = await world({ pairing: fakeDesk() });
    using laptop = await new NodeEnd(home.port).open();
    laptop.ws.send(await first(startHandshake(initiator("XX")), "XX"));
    await laptop.message();
    home.clock.pass(limits.handshakeMs);
    expect(await laptop.closed).toBe(4401);
  });

  test("who finished the handshake has 5 s for hello", async () => {
    await using home = await world();
    using mute = await new NodeEnd(home.port).handshake("IK");
    home.clock.pass(limits.helloMs);
    expect(await mute.closed).toBe(4401);
    expect(home.heard.down).toEqual([]);
  });

  test("who sends a text, or more than two messages that wait, is closed", async () => {
    await using home = await world();
    const message = await first(startHandshake(initiator("IK")), "IK");
    using talker = await new NodeEnd(home.port).open();
    talker.ws.send(message, { binary: false }); // the right bytes in the wrong kind
    expect(await talker.closed).toBe(4400);

    using eager = await new NodeEnd(home.port).open();
    eager.socket.cork();
    for (let at = 0; at < 3; at++) eager.ws.send(message);
    eager.socket.uncork();
    await expect(eager.message()).rejects.toThrow("4400"); // without a message 2
  });

  test("gets no answer to a WebSocket ping", async () => {
    await using home = await world();
    using laptop = await new NodeEnd(home.port).open();
    let pongs = 0;
    laptop.ws.on("pong", () => pongs++);
    laptop.ws.ping();
    await laptop.handshake("IK"); // in order behind the ping
    expect(pongs).toBe(0);
    laptop.say(hello());
    await laptop.hears("welcome");
    laptop.ws.ping();
    await once(laptop.ws, "pong");
  });
});

describe("raw bytes", () => {
  test("up to 4 KiB before authentication are taken, one more destroys the socket", async () => {
    await using home = await world();
    const MESSAGE_1 = 2 + 4 + 100; // WebSocket head and mask, prefix and Noise
    using inside = (await new NodeEnd(home.port).open()).fill(
      limits.rawBytesBeforeAuth - MESSAGE_1,
    );
    await inside.handshake("IK");
    expect(inside.written).toBe(limits.rawBytesBeforeAuth);

    using outside = (await new NodeEnd(home.port).open()).fill(
      limits.rawBytesBeforeAuth - MESSAGE_1 + 1,
    );
    await expect(outside.handshake("IK")).rejects.toThrow("1006");
  });

  test("are not counted any more once a frame has opened", async () => {
    await using home = await world();
    using laptop = await connected(home);
    laptop.fill(limits.rawBytesBeforeAuth * 2).say({ t: "ping", n: 1 });
    await laptop.hears("pong");
  });

  test("up to 16 KiB are taken while pairing, one more destroys the socket", async () => {
    await using home = await world({ pairing: fakeDesk() });
    const PING = 2 + 4 + 1 + 4 + 11 + 16;
    for (const over of [0, 1]) {
      using laptop = (await Pairing.start(home.port)).begin();
      await laptop.end.hears("pair.nonce");
      laptop.end.fill(limits.rawBytesWhilePairing - PING + over).say({ t: "ping", n: 1 });
      if (over === 0) await laptop.end.hears("pong");
      else expect(await laptop.end.closed).toBe(1006);
    }
  });
});

describe("too many", () => {
  test("strangers of one source: the sixth is refused until one has left", async () => {
    await using home = await world();
    const strangers: NodeEnd[] = [];
    for (let at = 0; at < limits.strangersPerSource; at++)
      strangers.push(await new NodeEnd(home.port).open());
    expect(await knock(home.port)).toBe(429);
    await strangers[0]?.handshake("IK"); // not trusted before its first frame
    expect(await knock(home.port)).toBe(429);
    strangers[0]?.say(hello());
    await strangers[0]?.hears("welcome");
    expect(await knock(home.port)).toBe(101);
    for (const stranger of strangers) stranger[Symbol.dispose]();
  });

  test("failed handshakes: the eleventh within a minute pauses the source for five", async () => {
    await using home = await world();
    for (let at = 0; at < limits.failuresPerSource; at++) {
      using laptop = await new NodeEnd(home.port).open();
      laptop.ws.send(Uint8Array.of(1));
      expect(await laptop.closed).toBe(4400);
    }
    expect(await knock(home.port)).toBe(429);
    home.clock.pass(limits.failuresPauseMs - 1);
    expect(await knock(home.port)).toBe(429);
    home.clock.pass(1);
    using laptop = await connected(home);
    laptop.say({ t: "ping", n: 1 });
    await laptop.hears("pong");
  });

  test("a device that comes back often and properly is never paused", async () => {
    await using home = await world();
    for (let at = 0; at < 2 * limits.failuresPerSource; at++) {
      using laptop = await connected(home);
      laptop.say({ t: "bye", code: "done", text: "" });
      expect(await laptop.closed).toBe(1000);
    }
  });
});
