import { systemRng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { portableHash } from "@kith/shared/streams/hash";
import { StreamSender } from "@kith/shared/streams/sender";
import { IncomingStreams } from "@kith/gateway/mesh/incoming";
import type { LinkHandlers } from "@kith/gateway/devices/link";
import { expect, test } from "vitest";
import { Kept, sha256 } from "../support/kept.ts";
import { type NodeEnd, type World, connected, fakeClock, world } from "./world.ts";

const MIB = 1_048_576;
const id = () => newId(fakeClock(), systemRng);
const call = id();
const OPENED = id();

/** Every stream goes into a sink of its own, made by `make`. */
async function start({
  make = () => new Kept(),
  most = 25 * MIB,
  handlers = {},
}: { make?: () => Kept; most?: number; handlers?: Partial<LinkHandlers> } = {}) {
  const sinks = new Map<string, Kept>();
  const sink: LinkHandlers["sink"] = async (_, { stream }) => {
    const kept = sinks.get(stream) ?? make();
    sinks.set(stream, kept);
    return { sink: kept, most };
  };
  return { home: await world({ handlers: { sink, ...handlers } }), sinks };
}

const open = (
  ch: number,
  changes: Partial<Extract<Frame, { t: "stream.open" }>> = {},
): Extract<Frame, { t: "stream.open" }> => ({
  ...{ t: "stream.open", stream: id(), ch, call, type: "image/jpeg", live: false },
  role: `image ${ch}`,
  ...changes,
});

/** Sends content as a node does, under credit, and resolves when it is durable at the gateway. */
async function send(
  end: NodeEnd,
  content: Uint8Array,
  { ch = 1, stream = id() } = {},
): Promise<string> {
  const source = {
    size: content.length,
    read: async (offset: number, most: number) => content.subarray(offset, offset + most),
    close: async () => {},
  };
  const sender = new StreamSender(
    { stream, call, role: "image", type: "image/jpeg" },
    source,
    portableHash,
    25 * MIB,
  );
  const link = {
    send: (frame: Frame) => end.channel.send(frame),
    sendChunk: (channel: number, offset: number, data: Uint8Array) =>
      end.channel.sendChunk(channel, offset, data),
    get roomy() {
      return end.channel.roomy;
    },
    drained: () => new Promise<void>((resolve) => setImmediate(resolve)),
  };
  end.taker = (frame) => {
    if (frame.t !== "stream.credit" || frame.ch !== ch) return false;
    sender.credit(frame.upto, frame.from);
    return true;
  };
  sender.attach(link, ch);
  await end.hears("stream.done");
  sender.finished();
  return stream;
}

const content = (bytes: number) => {
  const made = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) made[at] = (at * 31 + (at >> 8)) & 255;
  return made;
};

const errorOf = async (end: NodeEnd) => end.hears("error");

test("5 MiB arrive in order and are durable before the node hears it", async () => {
  const { home, sinks } = await start();
  await using _ = home;
  using laptop = await connected(home);
  const photo = content(5 * MIB);
  const stream = await send(laptop, photo);
  expect(sinks.get(stream)?.finished).toBe(true);
  expect(Buffer.compare(sinks.get(stream)?.bytes ?? Buffer.alloc(0), photo)).toBe(0);
  expect(home.heard.streams).toEqual([{ stream, failed: undefined }]);
});

test("a stream without a byte is one, too", async () => {
  const { home, sinks } = await start();
  await using _ = home;
  using laptop = await connected(home);
  const stream = await send(laptop, new Uint8Array(0));
  expect(sinks.get(stream)).toMatchObject({ finished: true, length: 0 });
});

test("the first credit says where to start; on a second link that is where the first one ended", async () => {
  const { home, sinks } = await start();
  await using _ = home;
  const photo = content(2 * MIB);
  const stream = id();
  const before = await connected(home);
  before.say(open(1, { stream }));
  expect(await before.hears("stream.credit")).toMatchObject({
    ch: 1,
    from: 0,
    upto: limits.creditFirst,
  });
  before.channel.sendChunk(1, 0, photo.subarray(0, 200_000));
  before.say({ t: "ping", n: 1 });
  await before.hears("pong");
  before.ws.terminate();
  await home.until(() => home.heard.down[0]);

  using laptop = await connected(home);
  await send(laptop, photo, { stream });
  expect(sinks.get(stream)).toMatchObject({ finished: true, length: photo.length });
  expect(Buffer.compare(sinks.get(stream)?.bytes ?? Buffer.alloc(0), photo)).toBe(0);
  expect(home.heard.streams).toEqual([{ stream, failed: undefined }]);
});

test("a resume starts from what the sink holds already", async () => {
  const photo = content(700_000);
  const { home, sinks } = await start({ make: () => new Kept(photo.subarray(0, 300_000)) });
  await using _ = home;
  using laptop = await connected(home);
  const stream = id();
  laptop.say(open(1, { stream }));
  const credit = await laptop.hears("stream.credit");
  expect(credit).toMatchObject({ from: 300_000, upto: 300_000 + limits.creditFirst });
  laptop.channel.sendChunk(1, 300_000, photo.subarray(300_000, 500_000));
  laptop.channel.sendChunk(1, 500_000, photo.subarray(500_000));
  laptop.say({ t: "stream.end", ch: 1, size: photo.length, sha256: sha256(photo) });
  expect(await laptop.hears("stream.done")).toMatchObject({ ch: 1, size: photo.length });
  expect(sinks.get(stream)?.finished).toBe(true);
});

test("a resume waits until the link before has written its last", async () => {
  const slow = Promise.withResolvers<void>();
  const { home, sinks } = await start();
  await using _ = home;
  const photo = content(100_000);
  const stream = id();
  const before = await connected(home);
  before.say(open(1, { stream }));
  await before.hears("stream.credit");
  const sink = sinks.get(stream);
  if (sink) sink.slow = slow.promise;
  before.channel.sendChunk(1, 0, photo.subarray(0, 60_000));
  before.say({ t: "ping", n: 1 });
  await before.hears("pong");
  before.ws.terminate();
  await home.until(() => home.heard.down[0]);

  using laptop = await connected(home);
  laptop.say(open(1, { stream }), { t: "ping", n: 1 });
  await laptop.hears("pong");
  expect(laptop.frames).toEqual([]);
  slow.resolve();
  expect(await laptop.hears("stream.credit")).toMatchObject({ from: 60_000 });
});

test("content with another hash is refused, and its call hears of it", async () => {
  const { home } = await start();
  await using _ = home;
  using laptop = await connected(home);
  const opening = open(1);
  laptop.say(opening);
  await laptop.hears("stream.credit");
  laptop.channel.sendChunk(1, 0, content(1_000));
  laptop.say({ t: "stream.end", ch: 1, size: 1_000, sha256: new Uint8Array(32) });
  expect(await errorOf(laptop)).toMatchObject({ stream: opening.stream, code: "hash-mismatch" });
  expect(home.heard.streams).toEqual([{ stream: opening.stream, failed: "hash-mismatch" }]);
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
});

test.each<[string, (end: NodeEnd) => void]>([
  [
    "a chunk one byte beyond the credit",
    (end) => {
      end.channel.sendChunk(1, 0, content(limits.chunkBytes));
      end.channel.sendChunk(1, limits.chunkBytes, content(limits.chunkBytes));
      end.channel.sendChunk(1, 2 * limits.chunkBytes, content(1));
    },
  ],
  ["a chunk at another offset", (end) => end.channel.sendChunk(1, 1, content(10))],
  [
    "a chunk for a channel that was never opened",
    (end) => end.channel.sendChunk(3, 0, content(10)),
  ],
  ["a chunk without bytes", (end) => end.channel.sendChunk(1, 0, content(0))],
  ["a channel opened twice", (end) => void end.say(open(1))],
  ["a stream opened again while it is open", (end) => void end.say(open(3, { stream: OPENED }))],
  ["a channel of the gateway's", (end) => void end.say(open(2))],
])("%s closes the link with 4400", async (_, wrong) => {
  // A sink that never takes anything, so that no further credit is granted.
  const { home } = await start({
    make: () => Object.assign(new Kept(), { slow: new Promise<void>(() => {}) }),
  });
  await using _home = home;
  using laptop = await connected(home);
  laptop.say(open(1, { stream: OPENED }));
  await laptop.hears("stream.credit");
  wrong(laptop);
  expect(await laptop.closed).toBe(4400);
  expect(await home.until(() => home.heard.down[0])).toBeDefined();
  expect(home.heard.streams).toEqual([]);
});

test("chunks exactly up to the credit are taken", async () => {
  const { home } = await start({
    make: () => Object.assign(new Kept(), { slow: new Promise<void>(() => {}) }),
  });
  await using _ = home;
  using laptop = await connected(home);
  laptop.say(open(1));
  await laptop.hears("stream.credit");
  laptop.channel.sendChunk(1, 0, content(limits.chunkBytes)); // 256 KiB, the largest there is
  laptop.channel.sendChunk(1, limits.chunkBytes, content(limits.chunkBytes));
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
});

test("a chunk or an end before the first credit closes the link", async () => {
  for (const early of [
    (end: NodeEnd) => end.channel.sendChunk(1, 0, content(1)),
    (end: NodeEnd) => void end.say({ t: "stream.end", ch: 1, size: 0, sha256: sha256(content(0)) }),
  ]) {
    const { home } = await start({ handlers: { sink: () => new Promise(() => {}) } });
    await using _ = home;
    using laptop = await connected(home);
    laptop.say(open(1));
    early(laptop);
    expect(await laptop.closed).toBe(4400);
  }
});

test("bytes up to the most are taken, one more is refused at once, and what was under way is dropped", async () => {
  const { home, sinks } = await start({ most: 1_000 });
  await using _ = home;
  using laptop = await connected(home);
  const exact = await send(laptop, content(1_000), { ch: 1 });
  expect(sinks.get(exact)?.finished).toBe(true);

  const opening = open(3);
  laptop.say(opening);
  await laptop.hears("stream.credit");
  laptop.channel.sendChunk(3, 0, content(1_000));
  laptop.channel.sendChunk(3, 1_000, content(1));
  laptop.channel.sendChunk(3, 1_001, content(5_000)); // sent before the node could know
  laptop.say({ t: "stream.end", ch: 3, size: 6_001, sha256: new Uint8Array(32) });
  expect(await errorOf(laptop)).toMatchObject({ stream: opening.stream, code: "too-big" });
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
  expect(home.heard.streams).toEqual([
    { stream: exact, failed: undefined },
    { stream: opening.stream, failed: "too-big" },
  ]);

  laptop.say(open(5, { size: 1_001 }));
  expect(await errorOf(laptop)).toMatchObject({ code: "too-big" });
});

test("after its call was forgotten a stream is dropped, but not beyond the credit it had", async () => {
  const { home, sinks } = await start();
  await using _ = home;
  using laptop = await connected(home);
  const opening = open(1);
  laptop.say(opening);
  await laptop.hears("stream.credit");
  home.heard.up[0]?.forget(call);
  expect(await errorOf(laptop)).toMatchObject({ stream: opening.stream, code: "cancelled" });
  for (let at = 0; at < 4; at++)
    laptop.channel.sendChunk(1, at * limits.chunkBytes, content(limits.chunkBytes));
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
  expect([sinks.get(opening.stream)?.length, home.heard.streams]).toEqual([0, []]);
  laptop.channel.sendChunk(1, 4 * limits.chunkBytes, content(1));
  expect(await laptop.closed).toBe(4400);
});

test("a stream that nobody wants is refused with the reason and gets no credit", async () => {
  const refuse = new KithError("gone", "no such call is open");
  const { home } = await start({ handlers: { sink: async () => ({ refuse }) } });
  await using _ = home;
  using laptop = await connected(home);
  laptop.say(open(1));
  expect(await errorOf(laptop)).toMatchObject({ code: "gone", text: "no such call is open" });
  laptop.channel.sendChunk(1, 0, content(1));
  expect(await laptop.closed).toBe(4400);
});

test("a sink that breaks is told as internal, without its own words", async () => {
  const { home } = await start({
    handlers: { sink: () => Promise.reject(new Error("/secret/path")) },
  });
  await using _ = home;
  using laptop = await connected(home);
  laptop.say(open(1));
  expect(await errorOf(laptop)).toMatchObject({
    code: "internal",
    text: "the content cannot be stored",
  });
  expect(home.heard.problems).toMatchObject([{ message: "/secret/path" }]);
});

test("a full disk ends the stream for the node as internal, for its call as what it is", async () => {
  class Full extends Kept {
    override async write() {
      throw new KithError("disk-full", "no room in /home/owner");
    }
  }
  const { home } = await start({ make: () => new Full() });
  await using _ = home;
  using laptop = await connected(home);
  const opening = open(1);
  laptop.say(opening);
  await laptop.hears("stream.credit");
  laptop.channel.sendChunk(1, 0, content(10));
  expect(await errorOf(laptop)).toMatchObject({
    code: "internal",
    text: "the content cannot be stored",
  });
  expect(home.heard.streams).toEqual([{ stream: opening.stream, failed: "disk-full" }]);
});

test("a link that has used 65,536 channels needs a new handshake", () => {
  let exhausted = 0;
  const streams = new IncomingStreams({
    send() {},
    quiet: async () => {},
    stopping() {},
    sink: async () => ({ refuse: new KithError("gone", "") }),
    settled() {},
    exhausted: () => exhausted++,
    log() {},
  });
  for (let at = 0; at < 65_535; at++) streams.open(open(2 * at + 1, { stream: `${at}` }));
  expect(exhausted).toBe(0);
  streams.open(open(131_071));
  expect(exhausted).toBe(1);
});

test("content that the node no longer holds fails its stream", async () => {
  const { home } = await start();
  await using _ = home;
  using laptop = await connected(home);
  const opening = open(1);
  laptop.say(opening);
  await laptop.hears("stream.credit");
  laptop.say({ t: "error", stream: opening.stream, code: "gone", text: "", retry: "no" });
  await home.until(() => home.heard.streams[0]);
  expect(home.heard).toMatchObject({
    streams: [{ stream: opening.stream, failed: "gone" }],
    frames: [],
  });
});

/** Credit that is out, from all credit frames heard. */
const granted = (end: NodeEnd) =>
  end.frames.reduce(
    (sum, frame) => (frame.t === "stream.credit" ? sum + frame.upto - (frame.from ?? 0) : sum),
    0,
  );

async function openMany(home: World, laptop: NodeEnd): Promise<void> {
  laptop.say(...Array.from({ length: limits.streamsPerLink }, (_, at) => open(2 * at + 1)));
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
  expect(home.heard.down).toEqual([]);
}

test("one content of a call comes once at a time", async () => {
  const { home } = await start();
  await using _ = home;
  using laptop = await connected(home);
  laptop.say(open(1, { role: "image" }));
  await laptop.hears("stream.credit");
  laptop.say(open(3, { role: "image" }));
  expect(await errorOf(laptop)).toMatchObject({ code: "gone" });
});

test("sixteen streams are open at once, one more is refused until one is done", async () => {
  const { home } = await start();
  await using _ = home;
  using laptop = await connected(home);
  await openMany(home, laptop);
  expect(laptop.frames.filter(({ t }) => t === "stream.credit")).toHaveLength(
    limits.streamsPerLink,
  );
  laptop.say(open(101));
  expect(await errorOf(laptop)).toMatchObject({ code: "rate", retry: "later" });
  laptop.say({ t: "stream.end", ch: 1, size: 0, sha256: sha256(content(0)) });
  await laptop.hears("stream.done");
  laptop.frames.length = 0;
  laptop.say(open(103));
  expect(await laptop.hears("stream.credit")).toMatchObject({ ch: 103 });
});

test("all streams of a link together have at most 4 MiB of credit, and each has some", async () => {
  const { home, sinks } = await start();
  await using _ = home;
  using laptop = await connected(home);
  await openMany(home, laptop);
  expect(granted(laptop)).toBeLessThanOrEqual(limits.creditPerLink);
  const credits = laptop.frames.flatMap((frame) => (frame.t === "stream.credit" ? [frame] : []));
  expect(Math.min(...credits.map(({ upto }) => upto))).toBe(131_072);
  expect(Math.max(...credits.map(({ upto }) => upto))).toBe(limits.creditFirst);
  laptop.frames.length = 0;
  // Whatever is written is granted again, never more than a window ahead.
  for (const { ch, upto } of credits)
    laptop.channel.sendChunk(ch, 0, content(Math.min(upto, limits.chunkBytes)));
  laptop.say({ t: "ping", n: 2 });
  await laptop.hears("pong");
  laptop.say({ t: "ping", n: 3 }); // the credits left at the end of the turn in which the sinks had written
  await laptop.hears("pong");
  const written = [...sinks.values()].reduce((sum, sink) => sum + sink.length, 0);
  const again = new Map(credits.map(({ ch, upto }) => [ch, upto]));
  for (const frame of laptop.frames)
    if (frame.t === "stream.credit") again.set(frame.ch, frame.upto);
  expect([...again.values()].reduce((sum, upto) => sum + upto, 0) - written).toBeLessThanOrEqual(
    limits.creditPerLink,
  );
});

test("an open stream makes the link busy, so silence is found in 10 s", async () => {
  const { home } = await start();
  await using _ = home;
  using laptop = await connected(home);
  laptop.say(open(1));
  await laptop.hears("stream.credit");
  home.clock.pass(10_000);
  expect(await laptop.closed).toBe(4408);
});
