/** A device with a ticket: whom it talks to, and how far it goes with somebody else. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { systemClock } from "@kith/shared/clock";
import { startHandshake } from "@kith/shared/noise/handshake";
import { generateKeyPair } from "@kith/shared/noise/keys";
import { PREFIX_BYTES, prologue, readPrefix } from "@kith/shared/noise/prologue";
import { secure } from "@kith/node-agent/secure";
import { dial } from "@kith/node-agent/socket";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";

const psk = new Uint8Array(32).fill(5);
const own = await generateKeyPair();
const gateway = await generateKeyPair();
const other = await generateKeyPair();

/** Somebody who answers a ticket's handshake with the gateway's key, and notes how many messages came. */
async function answering() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, path: "/v1/mesh" });
  await once(server, "listening");
  const heard: number[] = [];
  server.on("connection", (socket) => {
    const handshake = startHandshake({
      ...{ pattern: "XXpsk3", initiator: false, s: gateway, psks: [psk] },
      prologue: prologue({ pattern: "XXpsk3", role: "node", path: "/v1/mesh" }),
    });
    let turn = Promise.resolve();
    socket.on("message", (message: Buffer) => {
      heard.push(message.length);
      turn = turn.then(async () => {
        if (heard.length > 1) return void (await handshake.read(message));
        expect(readPrefix(message)).toEqual({ pattern: "XXpsk3", role: "node" });
        await handshake.read(message.subarray(PREFIX_BYTES));
        socket.send(await handshake.write());
      });
    });
  });
  const { port } = server.address() as AddressInfo;
  const wire = await dial(`127.0.0.1:${port}`, systemClock, new AbortController().signal);
  return {
    wire,
    heard,
    [Symbol.dispose]: () => {
      wire.terminate();
      server.close();
    },
  };
}

test.for([
  ["whose key it knows", gateway.publicKey],
  ["of a ticket typed by hand, which names none", undefined],
] as const)("with the gateway %s it goes the whole way", async ([, key]) => {
  using there = await answering();
  const bearer = { psk, ...(key && { gateway: key }) };
  const secured = await secure(there.wire, own, undefined, systemClock, bearer);
  expect(secured.gateway).toEqual(gateway.publicKey);
});

test("with somebody else it stops before message 3, against which guesses could be tested", async () => {
  using there = await answering();
  const bearer = { psk, gateway: other.publicKey };
  await expect(secure(there.wire, own, undefined, systemClock, bearer)).rejects.toMatchObject({
    code: "pairing-refused",
  });
  await there.wire.closed;
  expect(there.heard).toEqual([48 + PREFIX_BYTES]);
});
