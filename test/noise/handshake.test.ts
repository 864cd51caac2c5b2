import { open, seal } from "@kith/shared/noise/cipher";
import {
  type Handshake,
  HandshakeError,
  type HandshakeOptions,
  handshakeLengths,
  type Pattern,
  startHandshake,
} from "@kith/shared/noise/handshake";
import { keyId } from "@kith/shared/ids";
import { generateKeyPair } from "@kith/shared/noise/keys";
import { prologue } from "@kith/shared/noise/prologue";
import { describe, expect, test } from "vitest";

const node = await generateKeyPair();
const gateway = await generateKeyPair();
const stranger = await generateKeyPair();
const psk = new Uint8Array(32).fill(7);
const everyPattern = Object.keys(handshakeLengths) as Pattern[];
const frameType = Uint8Array.of(0x10);

type PrologueOptions = Parameters<typeof prologue>[0];
type Changes = Partial<HandshakeOptions>;

/** What N and G both begin from when nobody interferes. */
function opening(pattern: Pattern): PrologueOptions {
  const id = { gateway: keyId(gateway.publicKey) };
  return { pattern, role: "node", path: "/v1/mesh", ...(pattern === "IK" && id) };
}

function startNode(pattern: Pattern, changes: Changes = {}) {
  return startHandshake({
    pattern,
    initiator: true,
    prologue: prologue(opening(pattern)),
    s: node,
    ...(pattern === "IK" && { rs: gateway.publicKey }),
    ...(pattern === "XXpsk3" && { psks: [psk] }),
    ...changes,
  });
}

function startGateway(pattern: Pattern, changes: Changes = {}) {
  return startHandshake({
    pattern,
    initiator: false,
    prologue: prologue(opening(pattern)),
    s: gateway,
    ...(pattern === "XXpsk3" && { psks: [psk] }),
    ...changes,
  });
}

/** Carries messages until both are done or one refuses; returns the messages. */
async function carry(n: Handshake, g: Handshake) {
  const messages: Uint8Array[] = [];
  while (!n.done || !g.done) {
    const [from, to] = messages.length % 2 === 0 ? [n, g] : [g, n];
    messages.push(await from.write());
    await to.read(messages.at(-1) ?? frameType);
  }
  return messages;
}

const refused = (attempt: Promise<unknown>) =>
  expect(attempt).rejects.toBeInstanceOf(HandshakeError);

describe.each(everyPattern)("a handshake of pattern %s", (pattern) => {
  test("gives both ends each other's key, one hash and two keys that fit crosswise", async () => {
    const [n, g] = [startNode(pattern), startGateway(pattern)];
    const messages = await carry(n, g);
    expect(messages.map((message) => message.length)).toEqual(handshakeLengths[pattern]);
    expect([n.remoteStatic, g.remoteStatic]).toEqual([gateway.publicKey, node.publicKey]);
    const [atN, atG] = [await n.split(), await g.split()];
    expect(atN.hash).toEqual(atG.hash);
    for (const [one, other] of [
      [atN, atG],
      [atG, atN],
    ] as const) {
      const sealed = await seal(one.send, 0, frameType, psk);
      expect(await open(other.receive, 0, frameType, sealed)).toEqual(psk);
      // Reflected: the sender's own frame does not open with what it receives with.
      await expect((async () => open(one.receive, 0, frameType, sealed))()).rejects.toThrow("tag");
    }
  });

  test("refuses every other length of every message, at either end", async () => {
    for (const [turn, legal] of handshakeLengths[pattern].entries()) {
      for (const length of [0, 1, legal - 1, legal + 1, legal + 16, 4096, 65_536]) {
        const [n, g] = [startNode(pattern), startGateway(pattern)];
        for (let at = 0; at < turn; at++) {
          const [from, to] = at % 2 === 0 ? [n, g] : [g, n];
          await to.read(await from.write());
        }
        await refused((turn % 2 === 0 ? g : n).read(new Uint8Array(length)));
      }
    }
  });

  test("refuses a payload that is not empty, both to write and to read it", async () => {
    await refused(startNode(pattern).write(Uint8Array.of(1)));
    for (const turn of handshakeLengths[pattern].keys()) {
      const [n, g] = [
        startNode(pattern, { freePayloads: true }),
        startGateway(pattern, { freePayloads: true }),
      ];
      const strict = turn % 2 === 0 ? startGateway(pattern) : startNode(pattern);
      const ends = turn % 2 === 0 ? ([n, strict] as const) : ([strict, g] as const);
      for (let at = 0; at < turn; at++) {
        const [from, to] = at % 2 === 0 ? ends : [ends[1], ends[0]];
        await to.read(await from.write());
      }
      const chatty = turn % 2 === 0 ? n : g;
      await refused(strict.read(await chatty.write(Uint8Array.of(1))));
    }
  });

  test("refuses a message with any one byte changed, at once or at the next message", async () => {
    for (const [turn, length] of handshakeLengths[pattern].entries()) {
      for (let place = 0; place < length; place += 7) {
        const [n, g] = [startNode(pattern), startGateway(pattern)];
        await refused(
          (async () => {
            for (let at = 0; at < handshakeLengths[pattern].length; at++) {
              const [from, to] = at % 2 === 0 ? [n, g] : [g, n];
              const message = await from.write();
              if (at === turn) message[place] = (message[place] ?? 0) ^ 1;
              await to.read(message);
            }
          })(),
        );
      }
    }
  });

  test("refuses a recorded handshake that somebody plays again", async () => {
    const [n, first] = [startNode(pattern), startGateway(pattern)];
    const recorded = await carry(n, first);
    const frame = await seal((await n.split()).send, 0, frameType, psk);

    const again = startGateway(pattern);
    await again.read(recorded[0] ?? frame);
    await again.write();
    if (pattern === "IK") {
      // Message 1 of IK can be replayed; the first frame is what proves that N is there.
      const { receive } = await again.split();
      await expect((async () => open(receive, 0, frameType, frame))()).rejects.toThrow("tag");
    } else await refused(again.read(recorded[2] ?? frame));
  });

  test("refuses its own messages when they are reflected", async () => {
    const n = startNode(pattern);
    await refused(n.read(await n.write()));
    const mirror = startNode(pattern, { freePayloads: true }); // so that it is not the length alone
    await refused(mirror.read(await mirror.write()));
  });

  test.each<[string, Partial<PrologueOptions>]>([
    ["role", { role: "operator" }],
    ["path", { path: "/v1/web" }],
  ])("fails when the two ends do not mean the same %s", async (_, change) => {
    const other = prologue({ ...opening(pattern), ...change });
    await refused(carry(startNode(pattern), startGateway(pattern, { prologue: other })));
  });

  test("fails when any byte of the prefix was changed on the way", async () => {
    for (const place of [12, 13, 14, 15]) {
      const changed = prologue(opening(pattern));
      changed[place] = (changed[place] ?? 0) ^ 1;
      await refused(carry(startNode(pattern), startGateway(pattern, { prologue: changed })));
    }
  });

  test("refuses ephemeral keys that force an all-zero secret", async () => {
    const zero = new Uint8Array(32);
    const one = Uint8Array.of(1, ...new Uint8Array(31));
    for (const publicKey of [zero, one]) {
      const evil = { ...(await generateKeyPair()), publicKey };
      await refused(carry(startNode(pattern, { e: evil }), startGateway(pattern)));
      await refused(carry(startNode(pattern), startGateway(pattern, { e: evil })));
    }
  });

  test("is over for good after one failure", async () => {
    const [n, g] = [startNode(pattern), startGateway(pattern)];
    const message = await n.write();
    await refused(g.read(message.slice(1)));
    await refused(g.read(message));
    await refused(g.write());
    await refused(g.split());
    expect([g.done, g.remoteStatic]).toEqual([false, undefined]);
  });

  test("refuses a step out of turn and two steps at once", async () => {
    await refused(startNode(pattern).read(new Uint8Array(handshakeLengths[pattern][0] ?? 0)));
    await refused(startGateway(pattern).write());
    await refused(startNode(pattern).split());
    const n = startNode(pattern);
    const both = await Promise.allSettled([n.write(), n.write()]);
    expect(both.map((step) => step.status)).toEqual(["rejected", "rejected"]);
  });

  test("gives its keys once", async () => {
    const [n, g] = [startNode(pattern), startGateway(pattern)];
    await carry(n, g);
    await g.split();
    await refused(g.split());
    await refused(n.write());
    await refused(n.split());
    expect(n.done).toBe(false);
  });
});

test("IK refuses a gateway with another key than the pinned one", async () => {
  const pinned = startNode("IK", { rs: stranger.publicKey });
  await refused(carry(pinned, startGateway("IK")));
  await refused(carry(startNode("IK"), startGateway("IK", { s: stranger })));
});

test("IK fails when N means another gateway id", async () => {
  const other = prologue({ ...opening("IK"), gateway: keyId(stranger.publicKey) });
  await refused(carry(startNode("IK", { prologue: other }), startGateway("IK")));
});

test("IK refuses a pinned key that forces an all-zero secret", async () => {
  await refused(startNode("IK", { rs: new Uint8Array(32) }).write());
});

test("IK tells G the claimed key after message 1, before anything is answered", async () => {
  const g = startGateway("IK");
  await g.read(await startNode("IK").write());
  expect([g.done, g.remoteStatic]).toEqual([false, node.publicKey]);
});

test("IK tells G no key when message 1 carries a key but is broken behind it", async () => {
  const [g, message] = [startGateway("IK"), await startNode("IK").write()];
  message[95] = (message[95] ?? 0) ^ 1;
  await refused(g.read(message));
  expect(g.remoteStatic).toBeUndefined();
});

test("XXpsk3 refuses another ticket at message 3, and only there", async () => {
  const [n, g] = [startNode("XXpsk3"), startGateway("XXpsk3", { psks: [new Uint8Array(32)] })];
  await g.read(await n.write());
  await n.read(await g.write());
  await refused(g.read(await n.write()));
});

test("XXpsk3 tells the gateway which of its tickets it was, and both have the same keys", async () => {
  const others = [1, 2].map((byte) => new Uint8Array(32).fill(byte));
  for (const at of [0, 1, 2]) {
    const psks = others.toSpliced(at, 0, psk);
    const [n, g] = [startNode("XXpsk3"), startGateway("XXpsk3", { psks })];
    await g.read(await n.write());
    await n.read(await g.write());
    expect(g.psk).toBeUndefined();
    await g.read(await n.write());
    expect(g.psk).toBe(at);
    expect((await g.split()).hash).toEqual((await n.split()).hash);
  }
});

test("keys that a pattern does not need, or lacks, are a defect of the caller", () => {
  expect(() => startNode("XX", { rs: gateway.publicKey })).toThrow(RangeError);
  expect(() => startGateway("IK", { rs: node.publicKey })).toThrow(RangeError);
  expect(() => startNode("IK", { rs: new Uint8Array(31) })).toThrow(RangeError);
  expect(() => startNode("XX", { rs: new Uint8Array(31) })).toThrow(RangeError);
  expect(() => startNode("XX", { psks: [psk] })).toThrow(RangeError);
  expect(() => startNode("XX", { psks: [new Uint8Array(31)] })).toThrow(RangeError);
  expect(() => startNode("XXpsk3", { psks: [psk, psk] })).toThrow(RangeError);
  expect(() => startGateway("XXpsk3", { psks: [] })).toThrow(RangeError);
  expect(() => startNode("XXpsk3", { psks: [new Uint8Array(31)] })).toThrow(RangeError);
});
