/** Sender and receiver of one stream, joined in memory. */
import { createHash } from "node:crypto";
import { limits } from "@kith/shared/protocol/limits";
import { portableHash } from "@kith/shared/streams/hash";
import { type Sink, StreamReceiver } from "@kith/shared/streams/receiver";
import { StreamSender } from "@kith/shared/streams/sender";
import { describe, expect, test } from "vitest";
import { MIB, identity, source, Memory, link, settled } from "./ends.ts";

describe("content arrives whole", () => {
  test.for([0, 1, 65_535, 65_536, 65_537, limits.creditFirst, limits.creditFirst + 1, 3 * MIB + 7])(
    "%i bytes, of known and of unknown size",
    async (size) => {
      for (const known of [true, false]) {
        const from = source(size, known);
        const sink = new Memory();
        const sender = new StreamSender(identity, from, portableHash, 64 * MIB);
        const { state } = link(sender, sink, 1);
        await sender.done;
        expect([state.outcome, state.error, sink.length, sink.finished]).toEqual([
          "done",
          undefined,
          size,
          true,
        ]);
        expect(await sender.read).toMatchObject({ size });
        expect([
          state.log.at(0),
          state.log.filter((t) => t === "stream.end").length,
          from.closed,
        ]).toEqual(["stream.open", 1, 1]);
      }
    },
  );
});

describe("credit", () => {
  test("is never exceeded, and more comes only for what was written", async () => {
    const sink = new Memory();
    sink.waiting = [];
    const sender = new StreamSender(identity, source(8 * MIB), portableHash, 64 * MIB);
    const one = link(sender, sink, 1);
    await settled();
    expect([one.state.highest, one.state.credit, one.receiver?.outstanding]).toEqual([
      limits.creditFirst,
      limits.creditFirst,
      limits.creditFirst,
    ]);
    let most = 0;
    while (!sink.finished) {
      for (const write of sink.waiting.splice(0)) write();
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, one.state.highest - sink.length);
    }
    expect(most).toBeLessThanOrEqual(limits.creditPerStream);
    expect([one.state.error, sink.length]).toEqual([undefined, 8 * MIB]);
  });

  test("that is lower or comes again changes nothing", async () => {
    const sink = new Memory();
    sink.waiting = [];
    const sender = new StreamSender(identity, source(MIB), portableHash, 64 * MIB);
    const { state } = link(sender, sink, 1);
    await settled();
    sender.credit(1, undefined);
    sender.credit(limits.creditFirst, undefined);
    await settled();
    expect(state.highest).toBe(limits.creditFirst);
  });

  test("a sender that goes beyond it, or out of order, breaks the link", () => {
    const make = () =>
      new StreamReceiver(
        1,
        { send: () => {} },
        new Memory(),
        { done: () => {}, failed: () => {} },
        64 * MIB,
        1_000,
      );
    make().chunk(0, new Uint8Array(1_000));
    expect(() => make().chunk(0, new Uint8Array(1_001))).toThrow(
      expect.objectContaining({ code: "schema" }),
    );
    expect(() => make().chunk(1, new Uint8Array(1))).toThrow(
      expect.objectContaining({ code: "schema" }),
    );
  });
});

test("64 MiB pass while no more than the credit is held", async () => {
  const from = source(64 * MIB);
  const sink: Sink = {
    length: 0,
    write: () => new Promise((resolve) => setImmediate(resolve)),
    finish: () => Promise.resolve(),
    close: () => Promise.resolve(),
    discard: () => Promise.resolve(),
  };
  const sender = new StreamSender(
    identity,
    {
      ...from,
      read: (offset, most) => Promise.resolve(new Uint8Array(Math.min(most, 64 * MIB - offset))),
    },
    () => createHash("sha256"),
    64 * MIB,
  );
  let sent = 0;
  let peak = 0;
  let receiver: StreamReceiver | undefined;
  const events = { done: () => sender.finished(), failed: (error: Error) => sender.fail(error) };
  sender.attach(
    {
      ...{ roomy: true, drained: () => Promise.resolve() },
      send(frame) {
        if (frame.t === "stream.open")
          receiver = new StreamReceiver(
            1,
            {
              send: (credit) =>
                credit.t === "stream.credit" && sender.credit(credit.upto, credit.from),
            },
            sink,
            events,
            64 * MIB,
          );
        if (frame.t === "stream.end") receiver?.end(frame.size, frame.sha256);
      },
      sendChunk(_, offset, data) {
        sent += data.length;
        receiver?.chunk(offset, data);
        peak = Math.max(peak, receiver?.outstanding ?? 0);
      },
    },
    1,
  );
  await sender.done;
  expect(sent).toBe(64 * MIB);
  expect(peak).toBeLessThanOrEqual(limits.creditPerStream);
});
