/** A stream over as many links as it takes, and content that may not stay. */
import { portableHash } from "@kith/shared/streams/hash";
import { type Source, StreamSender } from "@kith/shared/streams/sender";
import { describe, expect, test } from "vitest";
import { MIB, identity, content, source, Memory, link, settled } from "./ends.ts";

describe("a broken link", () => {
  const SIZE = 3 * 65_536 + 11;

  test("resumes at any offset that the receiver holds", async () => {
    for (let held = 0; held <= SIZE; held += 16_389) {
      const sink = new Memory();
      await sink.write([content(0, held)]);
      const sender = new StreamSender(identity, source(SIZE), portableHash, 64 * MIB);
      const { state } = link(sender, sink, 1);
      await sender.done;
      expect([held, state.outcome, state.error, sink.length]).toEqual([
        held,
        "done",
        undefined,
        SIZE,
      ]);
    }
  });

  test("may be cut again and again, at every step of the way", async () => {
    for (let steps = 0; steps < 40; steps++) {
      const from = source(SIZE, steps % 2 === 0);
      const sink = new Memory();
      const sender = new StreamSender(identity, from, portableHash, 64 * MIB);
      for (let ch = 1; ch < 8; ch += 2) {
        const one = link(sender, sink, ch);
        for (let at = 0; at < steps; at++) await Promise.resolve();
        await one.cut();
      }
      const last = link(sender, sink, 9);
      await sender.done;
      expect([steps, last.state.error, sink.length, sink.finished]).toEqual([
        steps,
        undefined,
        SIZE,
        true,
      ]);
    }
  });

  test("at the very end says the end again", async () => {
    const sink = new Memory();
    const sender = new StreamSender(identity, source(SIZE), portableHash, 64 * MIB);
    const one = link(sender, sink, 1);
    while (!one.state.log.includes("stream.end")) await Promise.resolve();
    await one.cut();
    const two = link(sender, sink, 3);
    await sender.done;
    expect([two.state.outcome, sink.length]).toEqual(["done", SIZE]);
  });
});

describe("content that may not stay", () => {
  test("a bit that flips on the way is found", async () => {
    const sink = new Memory();
    const sender = new StreamSender(identity, source(MIB), portableHash, 64 * MIB);
    const { state } = link(sender, sink, 1, {
      spoil: (data) => data.map((one, at) => (at === 9 ? one ^ 1 : one)),
    });
    await settled();
    expect([state.outcome, sink.finished]).toEqual(["hash-mismatch", false]);
  });

  test("other bytes before a resume are found", async () => {
    const sink = new Memory();
    await sink.write([new Uint8Array(1_000)]);
    const { state } = link(
      new StreamSender(identity, source(MIB), portableHash, 64 * MIB),
      sink,
      1,
    );
    await settled();
    expect(state.outcome).toBe("hash-mismatch");
  });

  test.for([
    [1_000, 1_000, "done"],
    [1_001, 1_000, "too-big"],
  ] as const)("%i bytes where %i may be are %s at the receiver", async ([size, most, outcome]) => {
    const sink = new Memory();
    const { state } = link(
      new StreamSender(identity, source(size), portableHash, 64 * MIB),
      sink,
      1,
      { most },
    );
    await settled();
    expect(state.outcome).toBe(outcome);
    expect(sink.length).toBeLessThanOrEqual(most);
  });

  test.for([[true], [false]])(
    "a byte too many is not sent, whether its size is known (%s)",
    async ([known = true]) => {
      const from = source(1_001, known);
      const sender = new StreamSender(identity, from, portableHash, 1_000);
      const { state } = link(sender, new Memory(), 1);
      await expect(sender.done).rejects.toThrow("too-big");
      expect([state.highest, from.closed]).toEqual([0, 1]);
    },
  );

  test("a source that cannot be read ends it", async () => {
    const broken: Source = { ...source(10), read: () => Promise.reject(new Error("unreadable")) };
    const sender = new StreamSender(identity, broken, portableHash, 64 * MIB);
    link(sender, new Memory(), 1);
    await expect(sender.done).rejects.toThrow("unreadable");
  });
});
