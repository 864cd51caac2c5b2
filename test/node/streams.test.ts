import { Outgoing } from "@kith/node-agent/outgoing";
import { systemClock, systemRng } from "@kith/shared/clock";
import { createHash } from "node:crypto";
import { open, readdir, utimes, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { folder, node, type NodeWorld, photo, settle, until } from "./world.ts";

const CONTENT = new Uint8Array(2_000_000).map((_, at) => (at * 31 + (at >> 8)) & 255);
const out = { name: "a.bin", size: CONTENT.length, modified_at_ms: 1 };
const read = {
  cap: "files.read",
  effect: "read",
  args: { path: "a.bin" },
  ttl_ms: 600_000,
  max_bytes: 4 * 1_024 ** 3,
} as const;

/** files.read hands over an open file. */
async function sharesFile(world: NodeWorld, size = CONTENT.length) {
  const path = world.home.path("a.bin");
  await writeFile(path, CONTENT);
  world.files.current = async (_, { stream }) => {
    const file = await open(path, "r");
    stream("content", "application/octet-stream", { file, size });
    return out;
  };
}

/** Files are removed beside everything else; ends with the test's own patience. */
async function emptySpool(world: NodeWorld) {
  while ((await readdir(world.home.path("spool"))).length > 0) await settle(1);
}

const bytesOn = (frames: readonly { t: string }[], ch: number) =>
  frames.filter(
    (frame): frame is { t: "chunk"; ch: number; offset: number; data: Uint8Array } =>
      frame.t === "chunk" && (frame as { ch?: number }).ch === ch,
  );

test("a file is sent while its call runs, and the result follows with the hash", async () => {
  await using world = await node();
  await sharesFile(world);
  const peer = await world.connect();
  peer.send(world.invoke(read));
  const open = await peer.next("stream.open");
  expect(open).toMatchObject({ role: "content", size: CONTENT.length });
  expect(peer.count("result")).toBe(0);
  const { bytes } = await peer.content(open);
  expect(Buffer.compare(bytes, CONTENT)).toBe(0);
  const result = peer.all.find((frame) => frame.t === "result") ?? (await peer.next("result"));
  expect(result).toMatchObject({
    out,
    streams: [
      {
        size: CONTENT.length,
        sha256: new Uint8Array(createHash("sha256").update(CONTENT).digest()),
      },
    ],
  });
});

test("no byte leaves beyond the credit", async () => {
  await using world = await node();
  await sharesFile(world);
  const peer = await world.connect();
  peer.send(world.invoke(read));
  const { ch } = await peer.next("stream.open");
  await settle();
  expect(peer.count("chunk")).toBe(0);
  peer.send({ t: "stream.credit", ch, upto: 100_000, from: 0 });
  const total = () => bytesOn(peer.all, ch).reduce((sum, { data }) => sum + data.length, 0);
  await until(() => total() >= 100_000);
  peer.send({ t: "stream.credit", ch, upto: 50_000 });
  await settle();
  expect(total()).toBe(100_000);
});

test("a stream goes on at the named offset on the next link, on a new channel, with the same hash", async () => {
  await using world = await node();
  await sharesFile(world);
  const first = await world.connect();
  first.send(world.invoke(read));
  const open = await first.next("stream.open");
  first.send({ t: "stream.credit", ch: open.ch, upto: 700_000, from: 0 });
  await until(
    () => bytesOn(first.all, open.ch).reduce((sum, { data }) => sum + data.length, 0) >= 700_000,
  );
  world.cut();

  const second = await world.connect();
  second.send({ t: "ledger.query", q: 1, calls: [] });
  const again = await second.next("stream.open");
  expect(again).toMatchObject({ stream: open.stream, call: open.call });
  const { end } = await second.content(again, 600_000);
  const chunks = bytesOn(second.all, again.ch);
  expect(chunks[0]?.offset).toBe(600_000);
  expect(
    Buffer.compare(Buffer.concat(chunks.map(({ data }) => data)), CONTENT.subarray(600_000)),
  ).toBe(0);
  expect(end).toMatchObject({
    size: CONTENT.length,
    sha256: new Uint8Array(createHash("sha256").update(CONTENT).digest()),
  });
});

test("streams of earlier calls wait for the ledgers to be compared, or for one second", async () => {
  await using world = await node();
  const first = await world.connect();
  first.send(world.invoke());
  await first.next("result");
  world.cut();
  const second = await world.connect();
  await settle();
  expect(second.count("stream.open")).toBe(0);
  world.clock.pass(1_000);
  expect(await second.next("stream.open")).toMatchObject({ ch: 1 });
});

test("a photo outlives the process until the gateway has it, and no longer", async () => {
  await using world = await node();
  const first = await world.connect();
  first.send(world.invoke());
  await first.next("result");
  await world.crash();
  expect(await readdir(world.home.path("spool"))).toHaveLength(1);
  const second = await world.connect();
  second.send({ t: "ledger.query", q: 1, calls: [] });
  const { bytes } = await second.content(await second.next("stream.open"));
  expect(Buffer.compare(bytes, photo)).toBe(0);
  await emptySpool(world);
});

test("a photo that nobody fetched in a quarter of an hour is not taken up again", async () => {
  await using world = await node();
  const peer = await world.connect();
  peer.send(world.invoke());
  const { streams } = await peer.next("result");
  // The world's clock is not the disk's.
  const written = world.clock.now() / 1_000 - 15 * 60;
  await utimes(world.home.path("spool", streams[0]!.stream), written, written);
  await world.crash();
  expect(await readdir(world.home.path("spool"))).toEqual([]);
});

test("a call that ends before the ledgers were compared sends its content afterwards", async () => {
  await using world = await node();
  let finish = () => {};
  const { current } = world.snap;
  world.snap.current = (args, tools) =>
    new Promise((resolve) => (finish = () => resolve(current(args, tools))));
  const first = await world.connect();
  first.send(world.invoke());
  await first.next("accept");
  world.cut();
  const second = await world.connect();
  finish();
  await second.next("result");
  await settle();
  expect(second.count("stream.open")).toBe(0);
  second.send({ t: "ledger.query", q: 1, calls: [] });
  await second.next("stream.open");
});

test("what a crash left in the spool without a result is swept away", async () => {
  await using world = await node();
  await writeFile(world.home.path("spool", "01JCQ0000000000000000000XX"), photo);
  await world.crash();
  expect(await readdir(world.home.path("spool"))).toEqual([]);
});

test("content that nobody fetches goes after a quarter of an hour", async () => {
  await using world = await node();
  const peer = await world.connect();
  peer.send(world.invoke());
  await peer.next("result");
  world.cut();
  world.clock.pass(15 * 60_000 - 30_000);
  await settle();
  expect(world.outgoing.open).toBe(1);
  world.clock.pass(60_000);
  expect(world.outgoing.open).toBe(0);
  await emptySpool(world);
});

test("a file call whose content the gateway refuses fails with its code", async () => {
  await using world = await node();
  await sharesFile(world);
  const peer = await world.connect();
  const invoke = world.invoke(read);
  peer.send(invoke);
  const { stream } = await peer.next("stream.open");
  peer.send({ t: "error", stream, code: "too-big", text: "no room" });
  expect(await peer.next("error")).toMatchObject({
    call: invoke.call,
    code: "too-big",
    effect: "none",
  });
  expect(world.outgoing.open).toBe(0);
});

test("a file that grew while it was sent ends where it was said to end", async () => {
  await using world = await node();
  await sharesFile(world, 1_000_000);
  const peer = await world.connect();
  peer.send(world.invoke(read));
  const { bytes, end } = await peer.content(await peer.next("stream.open"));
  expect(end.size).toBe(1_000_000);
  expect(Buffer.compare(bytes, CONTENT.subarray(0, 1_000_000))).toBe(0);
});

test("at the deadline a file call ends although its content was still under way", async () => {
  await using world = await node();
  await sharesFile(world);
  const peer = await world.connect();
  peer.send(world.invoke({ ...read, ttl_ms: 8_000 }));
  await peer.next("stream.open");
  world.clock.pass(8_000);
  expect(await peer.next("error")).toMatchObject({ code: "timeout", effect: "none" });
  await until(() => world.outgoing.open === 0);
});

test("content for a call that wants none is refused", async () => {
  await using world = await node();
  const peer = await world.connect();
  peer.send({
    t: "stream.open",
    stream: "01JCQ0000000000000000000XX",
    ch: 2,
    call: "01JCQ0000000000000000000XY",
    role: "x",
    type: "text/plain",
    live: false,
  });
  expect(await peer.next("error")).toMatchObject({
    stream: "01JCQ0000000000000000000XX",
    code: "gone",
  });
});

test("content that is being stored when the agent stops leaves no file open", async () => {
  await using place = await folder();
  const outgoing = new Outgoing(place.path, systemClock, systemRng);
  await outgoing.recover([]);
  const spooled = outgoing.spool("C".repeat(26), "image", "image/jpeg", photo);
  outgoing.stop();
  await expect(spooled).rejects.toMatchObject({ code: "interrupted" });
  expect(outgoing.open).toBe(0);
});
