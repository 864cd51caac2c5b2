import { limits } from "@kith/shared/protocol/limits";
import { StreamReceiver } from "@kith/shared/streams/receiver";
import { expect, test } from "vitest";
import { Memory, settled } from "./ends.ts";

/** A receiver whose disk does not answer yet. */
function start() {
  const sink = new Memory();
  sink.waiting = [];
  const failed: string[] = [];
  const receiver = new StreamReceiver(
    1,
    { send: () => {} },
    sink,
    { done: () => {}, failed: ({ code }) => failed.push(code) },
    limits.streamBytesMost,
  );
  return { sink, receiver, failed };
}

test("tiny chunks that wait are bounded by number, not by bytes alone", () => {
  const { receiver } = start();
  for (let at = 0; at < limits.waitingChunks; at++) receiver.chunk(at, new Uint8Array(1));
  expect(() => receiver.chunk(limits.waitingChunks, new Uint8Array(1))).toThrow(
    expect.objectContaining({ code: "schema" }),
  );
});

test("what comes while a write is under way shares the next one, in order", async () => {
  const { sink, receiver } = start();
  receiver.chunk(0, Uint8Array.of(1));
  await settled();
  for (let at = 1; at < 5; at++) receiver.chunk(at, Uint8Array.of(at + 1));
  expect(sink.waiting).toHaveLength(1);
  sink.waiting?.shift()?.();
  await settled();
  expect([sink.length, sink.waiting?.length]).toEqual([1, 1]);
  sink.waiting?.shift()?.();
  await settled();
  expect(sink.parts.map((part) => [...part])).toEqual([[1], [2], [3], [4], [5]]);
});

test("a link that ends keeps the content, a call that ends throws it away", async () => {
  const kept = start();
  await kept.receiver.stop(true);
  expect([kept.sink.closed, kept.sink.discarded]).toEqual([1, 0]);
  const gone = start();
  await gone.receiver.stop(false);
  expect([gone.sink.closed, gone.sink.discarded]).toEqual([0, 1]);
});

test("content that is refused is thrown away", async () => {
  const sink = new Memory();
  const receiver = new StreamReceiver(
    1,
    { send: () => {} },
    sink,
    { done: () => {}, failed: () => {} },
    10,
  );
  receiver.chunk(0, new Uint8Array(11));
  await settled();
  expect(sink.discarded).toBe(1);
});
