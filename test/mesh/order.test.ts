/** The two order bugs of docs/protocol.md, "Order of processing on a connection". */
import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { startHandshake } from "@kith/shared/noise/handshake";
import { generateKeyPair } from "@kith/shared/noise/keys";
import { joinControl, pack } from "@kith/shared/protocol/codec";
import type { Frame } from "@kith/shared/protocol/frames";
import { expect, test } from "vitest";
import { NodeEnd, connected, first, hello, initiator, world } from "./world.ts";

/** A binary WebSocket message of a client, masked with zeros. */
const masked = (payload: Uint8Array) =>
  Buffer.concat([Uint8Array.of(0x82, 0x80 | payload.length, 0, 0, 0, 0), payload]);

const control = (...frames: Frame[]) =>
  joinControl(frames.map((frame) => pack(frame)))[0] ?? new Uint8Array(0);

/** A client of its own making: upgrade and first message leave in one segment. */
async function knock(port: number, message: Uint8Array): Promise<Socket> {
  const socket = connect(port, "127.0.0.1").setNoDelay();
  const upgrade = [
    "GET /v1/mesh HTTP/1.1",
    "Host: home",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol: kith.v1",
  ].join("\r\n");
  socket.write(Buffer.concat([Buffer.from(`${upgrade}\r\n\r\n`), masked(message)]));
  return socket;
}

/** What came after the 101, once it is `bytes` long. */
async function answer(socket: Socket, bytes: number): Promise<Buffer> {
  let heard = Buffer.alloc(0);
  for (;;) {
    const [part] = (await once(socket, "data")) as [Buffer];
    heard = Buffer.concat([heard, part]);
    const head = heard.indexOf("\r\n\r\n") + 4;
    if (head < 4 || heard.length < head + bytes) continue;
    expect(heard.subarray(0, 12).toString()).toBe("HTTP/1.1 101");
    return heard.subarray(head);
  }
}

test("message 1 in the same segment as the upgrade is not lost", async () => {
  await using home = await world();
  const handshake = startHandshake(initiator("IK"));
  const socket = await knock(home.port, await first(handshake, "IK"));
  await handshake.read((await answer(socket, 2 + 48)).subarray(2));
  expect(handshake.done).toBe(true);
  socket.destroy();
});

test("a socket whose peer never answers the close is dropped a second later", async () => {
  await using home = await world();
  const socket = await knock(home.port, Uint8Array.of(1));
  expect(await answer(socket, 4)).toEqual(Buffer.from([0x88, 2, 4400 >> 8, 4400 & 255]));
  home.clock.pass(1_000);
  await once(socket, "close");
});

test("a hundred messages in one segment are taken one after the other", async () => {
  await using home = await world();
  using laptop = await connected(home);
  laptop.socket.cork();
  for (let n = 1; n <= 100; n++) laptop.say({ t: "ping", n });
  laptop.socket.uncork();
  for (let n = 1; n <= 100; n++) expect((await laptop.hears("pong")).n).toBe(n);
  expect(home.heard.up[0]?.seen).toBe(100);
});

test("frames right behind hello, in the same segment, keep their order", async () => {
  await using home = await world();
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.socket.cork();
  laptop.say(hello());
  for (let n = 1; n <= 50; n++) laptop.say({ t: "ping", n });
  laptop.socket.uncork();
  await laptop.hears("welcome");
  for (let n = 1; n <= 50; n++) expect((await laptop.hears("pong")).n).toBe(n);
});

test("a pair of message 3 and the first frame in one segment loses neither", async () => {
  await using home = await world({ pairing: { open: () => true } });
  using laptop = await new NodeEnd(home.port).handshake("XX");
  laptop.say({ t: "ping", n: 1 }); // queued behind message 3, which is still being worked on
  expect(await laptop.hears("pong")).toEqual({ t: "pong", n: 1 });
});

test.each([
  ["with a wrong tag", 1],
  ["of another type", 0x20],
])(
  "a bad message %s among good ones closes only that link, after what came before it",
  async (_, how) => {
    const other = await generateKeyPair();
    await using home = await world({ handlers: { standing: () => "paired" } });
    using laptop = await connected(home);
    using phone = await new NodeEnd(home.port).handshake("IK", { keys: other });
    phone.say(hello());
    await phone.hears("welcome");

    laptop.socket.cork();
    laptop.say({ t: "event", seq: 1, name: "good", data: {} });
    const event = { t: "event", seq: 2, name: "bad", data: {} } as const;
    await (how === 1 ? laptop.sealed(0x10, control(event), 1) : laptop.sealed(how, control(event)));
    await laptop.sealed(0x10, control({ ...event, seq: 3, name: "late" }));
    laptop.socket.uncork();
    expect(await laptop.closed).toBe(4400);
    expect(home.heard.frames).toMatchObject([{ name: "good" }]);

    phone.say({ t: "ping", n: 1 });
    await phone.hears("pong");
    expect(home.heard.down).toHaveLength(1);
  },
);
