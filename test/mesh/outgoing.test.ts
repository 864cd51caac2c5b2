/** Content for a node on one link: once, under credit, and over with the link or the call. */
import { OutgoingStreams } from "@kith/gateway/mesh/outgoing";
import { KithError } from "@kith/shared/errors";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { expect, test } from "vitest";
import { sha256 } from "../support/kept.ts";
import { until } from "../support/until.ts";

const content = new Uint8Array(300_000).map((_, at) => at % 251);

/** With plain bytes, whichever kind they came as. */
const plain = (frame: Frame): Frame =>
  frame.t === "stream.end" && frame.sha256
    ? { ...frame, sha256: Uint8Array.from(frame.sha256) }
    : frame;

function start() {
  const sent: Frame[] = [];
  const chunks: { ch: number; offset: number; data: Uint8Array }[] = [];
  const logged: string[] = [];
  let [closed, channel] = [0, 0];
  const streams = new OutgoingStreams(
    {
      send: (frame) => void sent.push(plain(frame)),
      sendChunk: (ch, offset, data) => void chunks.push({ ch, offset, data: data.slice() }),
      roomy: true,
      drained: () => Promise.resolve(),
    },
    () => (channel += 2),
    (what) => void logged.push(what),
  );
  const source = {
    size: content.length,
    read: async (offset: number, most: number) => content.subarray(offset, offset + most),
    close: async () => void closed++,
  };
  const give = (call: string, open = async () => source) =>
    streams.give({ call, role: "content", type: "text/plain", size: content.length, open });
  const opened = (call: string) =>
    sent.filter((frame) => frame.t === "stream.open" && frame.call === call);
  return {
    ...{ streams, sent, chunks, logged, give, opened },
    closed: () => closed,
    async open(call: string): Promise<number> {
      give(call);
      await until("the stream", () => opened(call).length > 0);
      const [frame] = opened(call);
      return frame?.t === "stream.open" ? frame.ch : 0;
    },
  };
}

test("it is opened once on an even channel, sent within its credit, and closed when it is stored", async () => {
  const { streams, sent, chunks, open, give, opened, closed } = start();
  const ch = await open("a");
  expect(opened("a")).toMatchObject([
    { ch: 2, stream: "a", role: "content", size: content.length },
  ]);
  // The device says again that the call runs.
  give("a");
  expect([ch, opened("a").length]).toEqual([2, 1]);
  streams.credit(ch, 100_000, 0);
  await until(
    "what was granted",
    () => chunks.reduce((sum, { data }) => sum + data.length, 0) === 100_000,
  );
  streams.credit(ch, content.length, undefined);
  await until("the end", () => sent.some(({ t }) => t === "stream.end"));
  expect(Buffer.compare(Buffer.concat(chunks.map(({ data }) => data)), content)).toBe(0);
  expect(sent.at(-1)).toMatchObject({
    t: "stream.end",
    ch,
    size: content.length,
    sha256: sha256(content),
  });
  expect(streams.has(ch)).toBe(true);
  streams.done(ch);
  expect([streams.has(ch), closed()]).toEqual([false, 1]);
});

test("the device goes on where it stands, and the hash is that of all of it", async () => {
  const { streams, sent, chunks, open } = start();
  const ch = await open("a");
  streams.credit(ch, content.length, 250_000);
  await until("the end", () => sent.some(({ t }) => t === "stream.end"));
  expect(chunks[0]?.offset).toBe(250_000);
  expect(sent.at(-1)).toMatchObject({ sha256: sha256(content) });
});

test.for([
  ["the device will not have it", (streams: OutgoingStreams) => streams.refused("a", "gone")],
  ["its call is over", (streams: OutgoingStreams) => streams.forget("a")],
  ["the link is over", (streams: OutgoingStreams) => streams.stop()],
] as const)("%s: the source is closed and nothing more leaves", async ([, how]) => {
  const { streams, chunks, logged, open, closed } = start();
  const ch = await open("a");
  how(streams);
  streams.credit(ch, content.length, 0);
  await until("the close", () => closed() === 1);
  expect([chunks, streams.has(ch)]).toEqual([[], false]);
  expect(logged).toEqual([]);
});

test("what is no longer held is told to the device, whose call ends with it", async () => {
  const { give, sent, logged } = start();
  give("a", () => Promise.reject(new KithError("gone", "it is gone")));
  await until("the news", () => sent.length > 0);
  expect(sent).toMatchObject([{ t: "error", stream: "a", code: "gone" }]);
  expect(logged).toHaveLength(1);
});

test("so many at once, and the next when one is over", async () => {
  const { streams, give, sent, open } = start();
  const first = await open("first");
  for (let n = 1; n <= limits.streamsPerLink; n++) give(`more ${n}`);
  await until("as many as may be", () => sent.length === limits.streamsPerLink);
  streams.done(first);
  await until("the next", () => sent.length === limits.streamsPerLink + 1);
});
