import type { Shown, Terminal } from "@kith/node-agent/drivers/driver";
import { KithError } from "@kith/shared/errors";
import { limits } from "@kith/shared/protocol/limits";
import type { Frame } from "@kith/shared/protocol/frames";
import { describe, expect, test } from "vitest";
import type { Of, Peer } from "./gateway.ts";
import { id, node, type NodeWorld, settle, until } from "./world.ts";

const out = { end: "exit", exit_code: 0, ms: 1, output_bytes: 0 };
const open = {
  cap: "shell.open",
  effect: "once",
  args: { columns: 80, rows: 24 },
  ttl_ms: 28_800_000,
} as const;

/** A driver whose terminal is this test; `exit` ends its shell. */
function fake(world: NodeWorld) {
  const said: string[] = [];
  const { promise: over, resolve: exit } = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<Shown>();
  let slow: Promise<void> = Promise.resolve();
  const terminal: Terminal = {
    write: (bytes) => (said.push(`typed ${Buffer.from(bytes).toString()}`), slow),
    resize: (columns, rows) => void said.push(`size ${columns}x${rows}`),
    pause: () => void said.push("pause"),
    resume: () => void said.push("resume"),
  };
  world.shell.current = async (_, tools) => {
    const shown = tools.terminal(terminal);
    begun.resolve(shown);
    const stopped = new Promise<void>((_resolve, reject) =>
      tools.signal.addEventListener("abort", () => reject(tools.signal.reason as KithError)),
    );
    await Promise.race([over, stopped]);
    return { ...out, output_bytes: await shown.finish() };
  };
  return {
    said,
    exit,
    shown: begun.promise,
    typeSlowly: (until: Promise<void>) => void (slow = until),
  };
}

const typing = (call: string, ch = 2, change: object = {}): Frame =>
  ({
    ...{ t: "stream.open", stream: id(`ST${ch}`), ch, call, role: "tty-in", live: true },
    type: "application/octet-stream",
    ...change,
  }) as Frame;

const size = (call: string, seq: number, columns: unknown, rows: unknown): Frame =>
  ({ t: "event", seq, name: "tty.size", data: { call, columns, rows } }) as Frame;

const shownOn = (peer: Peer, ch: number) =>
  Buffer.concat(
    peer.all.flatMap((frame) => (frame.t === "chunk" && frame.ch === ch ? [frame.data] : [])),
  ).toString();

/** A shell that runs, and its call. */
async function start() {
  const world = await node();
  const terminal = fake(world);
  const peer = await world.connect();
  const invoke = world.invoke(open);
  const { call } = invoke;
  peer.send(invoke);
  const shown = await terminal.shown;
  return { world, terminal, peer, call, shown };
}

async function watch(peer: Peer, call: string, ch = 2, from?: number) {
  peer.send(typing(call, ch));
  const shown = await peer.next("stream.open");
  peer.send({
    ...{ t: "stream.credit", ch: shown.ch, upto: (from ?? 0) + limits.creditLive },
    from: from ?? 0,
  });
  return shown;
}

test("output goes to whoever watches, what they type to the terminal, and both sizes", async () => {
  const { world, terminal, peer, call, shown } = await start();
  await using _ = world;
  shown.write(Buffer.from("$ "));
  peer.send(size(call, 1, 100, 30));
  const stream = await watch(peer, call);
  expect(stream).toMatchObject({ role: "tty-out", live: true, call, size: 2 });
  expect(stream.ch % 2).toBe(1);
  await until(() => shownOn(peer, stream.ch) === "$ ");
  peer.chunk(2, 0, Buffer.from("ls\r"));
  await until(() => terminal.said.includes("typed ls\r"));
  expect(terminal.said).toEqual(["size 100x30", "typed ls\r"]);
  peer.send(size(call, 2, 132, 50), size(call, 2, 10, 10), size(call, 1, 20, 20));
  await until(() => terminal.said.includes("size 132x50"));
  await settle();
  expect(terminal.said).toHaveLength(3);
});

test("the last output comes before the result, and the stream ends", async () => {
  const { world, terminal, peer, call, shown } = await start();
  await using _ = world;
  const { ch } = await watch(peer, call);
  shown.write(Buffer.from("logout\r\n"));
  terminal.exit();
  const result = await peer.next("result");
  expect(result.out).toMatchObject({ output_bytes: 8 });
  const order = peer.all.flatMap(({ t }) => (/^(chunk|stream.end|result)$/.test(t) ? [t] : []));
  expect(order).toEqual(["chunk", "stream.end", "result"]);
  expect(shownOn(peer, ch)).toBe("logout\r\n");
});

test("whoever does not fetch the last output holds the end up for two seconds at most", async () => {
  const { world, terminal, peer, call, shown } = await start();
  await using _ = world;
  peer.send(typing(call));
  await peer.next("stream.open");
  shown.write(Buffer.from("logout\r\n"));
  terminal.exit();
  await settle();
  expect(peer.count("result")).toBe(0);
  await world.live(2_000);
  await peer.next("result");
});

test("a link that is lost ends no shell: the next watcher goes on at the byte that they name", async () => {
  const { world, terminal, peer, call, shown } = await start();
  await using _ = world;
  const first = await watch(peer, call);
  shown.write(Buffer.from("one two "));
  await until(() => shownOn(peer, first.ch) === "one two ");
  world.cut();
  shown.write(Buffer.from("three"));
  const second = await world.connect();
  const again = await watch(second, call, 2, 4);
  expect(again.size).toBe(13);
  await until(() => shownOn(second, again.ch) === "two three");
  expect(terminal.said).toEqual([]);
});

test("who watches before there is a terminal waits for it, and hears when there is none", async () => {
  await using world = await node();
  const gate = Promise.withResolvers<void>();
  const terminal = fake(world);
  const { current } = world.shell;
  world.shell.current = async (...given) => (await gate.promise, current(...given));
  const peer = await world.connect();
  const invoke = world.invoke(open);
  peer.send(invoke, size(invoke.call, 1, 90, 20), typing(invoke.call));
  await peer.next("stream.credit");
  expect(peer.count("stream.open")).toBe(0);
  gate.resolve();
  await peer.next("stream.open");
  expect(terminal.said).toEqual(["size 90x20"]);

  world.shell.current = () => Promise.reject(new KithError("not-ready", "no part for terminals"));
  const other = world.invoke(open);
  peer.send(other, typing(other.call, 4));
  const errors = () => peer.all.filter((frame) => frame.t === "error");
  await until(() => errors().length === 2);
  expect(errors()).toContainEqual(expect.objectContaining({ stream: id("ST4"), code: "gone" }));
});

test("a second watcher takes over: the first stream ends, and what it still types is dropped", async () => {
  const { world, terminal, peer, call, shown } = await start();
  await using _ = world;
  const first = await watch(peer, call);
  const second = await watch(peer, call, 4);
  expect(peer.all).toContainEqual({ t: "stream.end", ch: first.ch, size: 0 });
  peer.chunk(2, 0, Buffer.from("late"));
  peer.send({ t: "stream.end", ch: 2, size: 4 });
  shown.write(Buffer.from("hi"));
  await until(() => shownOn(peer, second.ch) === "hi");
  expect(shownOn(peer, first.ch)).toBe("");
  expect(terminal.said).toEqual([]);
});

describe("credit:", () => {
  test("no byte leaves beyond it, and a terminal whose watcher is behind waits", async () => {
    const { world, terminal, peer, call, shown } = await start();
    await using _ = world;
    const { ch } = await watch(peer, call);
    for (let at = 0; at < 8; at++) shown.write(Buffer.alloc(32_768, "x"));
    await settle();
    expect(shownOn(peer, ch)).toHaveLength(limits.creditLive);
    expect(terminal.said).toEqual(["pause"]);
    peer.send({ t: "stream.credit", ch, upto: 2 * limits.creditLive });
    await until(() => shownOn(peer, ch).length === 2 * limits.creditLive);
    expect(terminal.said).toEqual(["pause", "resume"]);
  });

  test("a terminal that nobody watches never waits, and of its output the latest is kept", async () => {
    const { world, terminal, peer, call, shown } = await start();
    await using _ = world;
    for (let at = 0; at < 100; at++) shown.write(Buffer.alloc(32_768, String(at % 10)));
    expect(terminal.said).toEqual([]);
    peer.send(typing(call));
    const { ch, size: written = 0 } = await peer.next("stream.open");
    expect(written).toBe(100 * 32_768);
    // All that may be asked for is there, also when more comes before the first credit.
    expect(terminal.said).toEqual(["pause"]);
    shown.write(Buffer.alloc(65_536, "z"));
    const from = written - limits.terminalKept;
    peer.send({ t: "stream.credit", ch, upto: from + 10, from });
    await until(() => shownOn(peer, ch) === "2222222222");
  });

  test("a watcher that goes lets the terminal go on", async () => {
    const { world, terminal, peer, call, shown } = await start();
    await using _ = world;
    await watch(peer, call);
    for (let at = 0; at < 9; at++) shown.write(Buffer.alloc(32_768));
    await until(() => terminal.said.includes("pause"));
    peer.send({ t: "stream.end", ch: 2, size: 0 });
    await until(() => terminal.said.includes("resume"));
    await until(() => peer.count("stream.end") === 1);
  });

  test("to type more is permitted when a terminal has taken what was typed", async () => {
    const { world, terminal, peer, call } = await start();
    await using _ = world;
    const gate = Promise.withResolvers<void>();
    terminal.typeSlowly(gate.promise);
    await watch(peer, call);
    const credits = () =>
      peer.all.filter((frame): frame is Of<"stream.credit"> => frame.t === "stream.credit");
    peer.chunk(2, 0, Buffer.alloc(limits.creditLive));
    await settle();
    expect(credits()).toHaveLength(1);
    gate.resolve();
    await until(() => credits().length === 2);
    expect(credits()[1]).toMatchObject({ ch: 2, upto: 2 * limits.creditLive });
  });
});

describe("refused with gone:", () => {
  test.for<[string, (world: NodeWorld, call: string) => Frame]>([
    ["a call that is not known", () => typing(id("NOBODY"))],
    ["another role", (_, call) => typing(call, 2, { role: "tty-out" })],
    ["another type", (_, call) => typing(call, 2, { type: "text/plain" })],
  ])("%s", async ([, frame]) => {
    const { world, peer, call } = await start();
    await using _ = world;
    peer.send(frame(world, call));
    expect(await peer.next("error")).toMatchObject({ stream: id("ST2"), code: "gone" });
  });

  test("a call of a capability that is no terminal", async () => {
    await using world = await node();
    world.info.current = () => new Promise(() => {});
    const peer = await world.connect();
    const invoke = world.invoke({ cap: "device.info", effect: "read", ttl_ms: 5_000 });
    peer.send(invoke, typing(invoke.call));
    expect(await peer.next("error")).toMatchObject({ stream: id("ST2"), code: "gone" });
    peer.send({ t: "cancel", call: invoke.call, why: "owner" });
    await world.live(2_000);
  });
});

describe("breaks the rules and ends the link with 4400:", () => {
  test.for<[string, (peer: Peer, call: string) => void]>([
    ["an odd channel", (peer, call) => peer.send(typing(call, 3))],
    ["a channel twice", (peer, call) => peer.send(typing(call, 4), typing(call, 4))],
    ["typing beyond the credit", (peer) => peer.chunk(2, 0, Buffer.alloc(limits.creditLive + 1))],
    ["typing at another offset", (peer) => peer.chunk(2, 1, Buffer.from("a"))],
    ["typing on a channel that nobody opened", (peer) => peer.chunk(6, 0, Buffer.from("a"))],
    [
      "an end of a channel that nobody opened",
      (peer) => peer.send({ t: "stream.end", ch: 6, size: 0 }),
    ],
  ])("%s", async ([, act]) => {
    const { world, peer, call } = await start();
    await using _ = world;
    await watch(peer, call);
    act(peer, call);
    expect(await peer.closed).toBe(4400);
    expect(world.server.open).toBe(1);
  });
});

test("a size out of range changes nothing and counts as a broken frame", async () => {
  const { world, terminal, peer, call } = await start();
  await using _ = world;
  peer.send(size(call, 1, 0, 24), size(call, 2, 1_001, 24), size(call, 3, 80, "24"));
  for (let n = 0; n < 3; n++) expect(await peer.next("error")).toMatchObject({ code: "schema" });
  peer.send(size(call, 4, 1, 1_000));
  await until(() => terminal.said.length > 0);
  expect(terminal.said).toEqual(["size 1x1000"]);
});

test("a shell may be asked for eight hours, and not for a second more", async () => {
  const { world, peer } = await start();
  await using _ = world;
  peer.send(world.invoke({ ...open, ttl_ms: 28_800_001 }));
  expect(await peer.next("error")).toMatchObject({ code: "schema" });
});

test("its time is over after what it was given, whoever watches", async () => {
  await using world = await node();
  fake(world);
  const peer = await world.connect();
  const invoke = world.invoke({ ...open, ttl_ms: 900_000 });
  peer.send(invoke);
  await watch(peer, invoke.call);
  await world.live(899_000);
  expect(world.server.open).toBe(1);
  await world.live(3_000);
  expect(await peer.next("error")).toMatchObject({ code: "timeout" });
});
