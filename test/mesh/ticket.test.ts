/** Pairing by ticket over real sockets: who proves one, who proves none, and in which order. */
import { once } from "node:events";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { keyId } from "@kith/shared/ids";
import { generateKeyPair } from "@kith/shared/noise/keys";
import type { TicketHandlers } from "@kith/gateway/devices/link";
import { afterAll, describe, expect, test } from "vitest";
import { until } from "../support/until.ts";
import { Pairing } from "./desk.ts";
import { NodeEnd, gateway, hello, node, world } from "./world.ts";

const psk = new Uint8Array(32).fill(3);
const about = { name: "laptop", kind: "laptop", os: "linux", arch: "x64", agent: "test" } as const;
const begin = { t: "pair.begin", how: "ticket", ...about } as const;

interface Redeemed {
  readonly ticket: string;
  readonly device: string;
}

function tickets(redeem?: TicketHandlers["redeem"]): TicketHandlers & { came: Redeemed[] } {
  const came: Redeemed[] = [];
  return {
    came,
    live: () => [
      { id: "other", psk: new Uint8Array(32) },
      { id: "mine", psk },
    ],
    redeem: async (ticket, bearer) => {
      came.push({ ticket, device: keyId(bearer.key) });
      const row = { device: keyId(bearer.key), name: "laptop", ceiling: ["camera.snap"] };
      return (await redeem?.(ticket, bearer)) ?? row;
    },
  };
}

test("whoever has a ticket is let in by one frame, and says hello on the same link", async () => {
  const book = tickets();
  await using home = await world({ tickets: book });
  using laptop = await new NodeEnd(home.port).handshake("XXpsk3", { psk });
  laptop.say(begin);
  expect(await laptop.hears("pair.accepted")).toEqual({
    ...{ t: "pair.accepted", device: node, gateway, name: "laptop", ceiling: ["camera.snap"] },
  });
  laptop.say(hello());
  expect(await laptop.hears("welcome")).toMatchObject({ epoch: 7 });
  expect(book.came).toEqual([{ ticket: "mine", device: node }]);
});

test("without a live ticket there is no message 2", async () => {
  await using home = await world();
  using laptop = new NodeEnd(home.port);
  await expect(laptop.handshake("XXpsk3", { psk })).rejects.toThrow("4401");
});

test("a wrong ticket is a broken handshake and reaches no book", async () => {
  const book = tickets();
  await using home = await world({ tickets: book });
  using laptop = await new NodeEnd(home.port).handshake("XXpsk3", {
    psk: new Uint8Array(32).fill(4),
  });
  expect(await laptop.closed).toBe(4400);
  expect(book.came).toEqual([]);
});

test("a ticket of another key is refused", async () => {
  const used = new KithError("pairing-refused", "used by another device");
  await using home = await world({ tickets: tickets(() => Promise.reject(used)) });
  const keys = await generateKeyPair();
  using thief = await new NodeEnd(home.port).handshake("XXpsk3", { psk, keys });
  thief.say(begin);
  expect(await thief.hears("pair.refused")).toEqual({ t: "pair.refused", why: "pairing-refused" });
  expect(await thief.closed).toBe(4401);
});

test("who proved a ticket cannot ask for a code, and who proved none not for a ticket", async () => {
  const book = tickets();
  await using home = await world({ tickets: book, pairing: { open: () => true } });
  using bearer = new Pairing(await new NodeEnd(home.port).handshake("XXpsk3", { psk }));
  bearer.begin();
  expect(await bearer.end.closed).toBe(4400);
  using stranger = await new NodeEnd(home.port).handshake("XX");
  stranger.say(begin);
  expect(await stranger.closed).toBe(4400);
  expect(book.came).toEqual([]);
});

test.for([
  ["twice", [begin, begin]],
  ["a confirmation of nothing", [{ t: "pair.confirm" }]],
  ["a nonce of nothing", [{ t: "pair.reveal", nonce: new Uint8Array(16) }]],
] as const)("%s ends it", async ([, frames]) => {
  await using home = await world({
    tickets: tickets(() => new Promise<never>(() => {})),
  });
  using laptop = await new NodeEnd(home.port).handshake("XXpsk3", { psk });
  laptop.say(...frames);
  expect(await laptop.closed).toBe(4400);
});

describe("the agent's file", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-agent-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const agent = join(folder, "kith-node.mjs");
  const ask = (port: number) => fetch(`http://127.0.0.1:${port}/agent`);

  test("is there while a ticket lives, and only then", async () => {
    writeFileSync(agent, "the agent");
    await using closed = await world({ agent });
    expect((await ask(closed.port)).status).toBe(404);
    await using home = await world({ agent, tickets: tickets() });
    expect(await (await ask(home.port)).text()).toBe("the agent");
    expect((await fetch(`http://127.0.0.1:${home.port}/agent/..`)).status).toBe(404);
  });

  test("that the build did not make is not there", async () => {
    await using home = await world({ agent: join(folder, "none"), tickets: tickets() });
    expect((await ask(home.port)).status).toBe(404);
  });

  test("asked for by somebody who is gone before the file is open, it ends nothing", async () => {
    writeFileSync(agent, "x".repeat(1_048_576));
    await using home = await world({ agent, tickets: tickets() });
    for (let n = 0; n < 40; n++) {
      const socket = connect(home.port, "127.0.0.1").on("error", () => {});
      await once(socket, "connect");
      socket.write("GET /agent HTTP/1.1\r\nhost: a\r\n\r\n");
      setImmediate(() => socket.resetAndDestroy());
    }
    // Nor do they hold a place.
    await until("a place", async () => {
      const { status, body } = await ask(home.port);
      await body?.cancel();
      return status === 200;
    });
  });

  test("is sent to four at once; whoever is slow is cut off after a minute", async () => {
    writeFileSync(agent, "");
    truncateSync(agent, 64 * 1_048_576); // More than the sockets hold between them.
    await using home = await world({ agent, tickets: tickets() });
    const slow = Array.from({ length: 4 }, () => {
      const socket = connect(home.port, "127.0.0.1").on("error", () => {});
      socket.pause().write("GET /agent HTTP/1.1\r\nhost: a\r\n\r\n");
      return socket;
    });
    for (;;) {
      const { status, body } = await ask(home.port);
      await body?.cancel();
      if (status === 429) break;
    }
    home.clock.pass(60_000);
    for (const socket of slow) {
      const closed = once(socket, "close");
      socket.resume();
      await closed;
    }
    const { status, body } = await ask(home.port);
    await body?.cancel();
    expect(status).toBe(200);
  });
});
