/** Sender and receiver of one stream, joined in memory over as many links as it takes. */
import { createHash } from "node:crypto";
import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { portableHash } from "@kith/shared/streams/hash";
import { type Sink, StreamReceiver } from "@kith/shared/streams/receiver";
import { type Source, type StreamLink, StreamSender } from "@kith/shared/streams/sender";
import { describe, expect, test } from "vitest";

const MIB = 1_048_576;
const identity = { stream: "S", call: "C", role: "image", type: "image/jpeg" };

/** Bytes that tell their own offset, made when they are asked for. */
const byte = (at: number) => (at * 2_654_435_761) >>> 24;
const content = (from: number, length: number) => Uint8Array.from({ length }, (_, at) => byte(from + at));

function source(size: number, known = true): Source & { closed: number; reads: number } {
  return {
    ...{ size: known ? size : undefined, closed: 0, reads: 0 },
    read(offset, most) {
      this.reads++;
      return Promise.resolve(content(offset, Math.max(0, Math.min(most, size - offset))));
    },
    close() {
      this.closed++;
      return Promise.resolve();
    },
  };
}

/** Keeps what was written and checks it as a disk would. `hold` lets writes wait. */
class Memory implements Sink {
  readonly parts: Uint8Array[] = [];
  length = 0;
  waiting: (() => void)[] | undefined;
  finished = false;

  async write(data: Uint8Array): Promise<void> {
    if (this.waiting) await new Promise<void>((resolve) => this.waiting?.push(resolve));
    this.parts.push(data.slice());
    this.length += data.length;
  }
  finish(size: number, sha256: Uint8Array): Promise<void> {
    const hash = createHash("sha256");
    for (const part of this.parts) hash.update(part);
    if (size !== this.length || hash.digest("hex") !== hex(sha256)) return Promise.reject(new KithError("hash-mismatch", "it is other content"));
    this.finished = true;
    return Promise.resolve();
  }
}

/** One link: frames and chunks arrive in order, a turn later. `cut` drops everything from then on. */
function link(sender: StreamSender, sink: Memory, ch: number, options: { most?: number; window?: number; spoil?: (data: Uint8Array) => Uint8Array } = {}) {
  const log: string[] = [];
  const state = { cut: false, highest: 0, credit: 0, chunks: 0, roomy: true, error: undefined as unknown, outcome: undefined as string | undefined, log };
  let receiver: StreamReceiver | undefined;
  const later = (run: () => void) => void Promise.resolve().then(() => state.cut || run());
  const back = {
    send(frame: Frame) {
      if (frame.t === "stream.credit") state.credit = Math.max(state.credit, frame.upto);
      log.push(frame.t);
      later(() => {
        if (frame.t === "stream.credit") sender.credit(frame.upto, frame.from);
        if (frame.t === "stream.done") sender.finished();
      });
    },
  };
  const out: StreamLink = {
    get roomy() {
      return state.roomy;
    },
    drained: () => Promise.resolve(),
    send(frame) {
      log.push(frame.t);
      later(() => {
        if (frame.t === "stream.open") {
          const events = { done: () => void (state.outcome = "done"), failed: (error: KithError) => void (state.outcome = error.code) };
          receiver = new StreamReceiver(frame.ch, back, sink, events, options.most ?? 64 * MIB, options.window ?? limits.creditPerStream);
        }
        if (frame.t === "stream.end") receiver?.end(frame.size, frame.sha256);
      });
    },
    sendChunk(_, offset, data) {
      state.chunks++;
      state.highest = Math.max(state.highest, offset + data.length);
      if (offset + data.length > state.credit) state.error = "a chunk beyond the credit";
      if (data.length === 0 || data.length > limits.chunkBytes) state.error = `a chunk of ${data.length} bytes`;
      later(() => {
        try {
          receiver?.chunk(offset, options.spoil?.(data) ?? data);
        } catch (error) {
          state.error = error;
        }
      });
    },
  };
  sender.attach(out, ch);
  return {
    state,
    get receiver() {
      return receiver;
    },
    async cut() {
      state.cut = true;
      sender.detach();
      await receiver?.stop();
    },
  };
}

const settled = async () => {
  for (let at = 0; at < 200; at++) await new Promise((resolve) => setImmediate(resolve));
};

describe("content arrives whole", () => {
  test.for([0, 1, 65_535, 65_536, 65_537, limits.creditFirst, limits.creditFirst + 1, 3 * MIB + 7])("%i bytes, of known and of unknown size", async (size) => {
    for (const known of [true, false]) {
      const from = source(size, known);
      const sink = new Memory();
      const sender = new StreamSender(identity, from, portableHash, 64 * MIB);
      const { state } = link(sender, sink, 1);
      await sender.done;
      expect([state.outcome, state.error, sink.length, sink.finished]).toEqual(["done", undefined, size, true]);
      expect(await sender.read).toMatchObject({ size });
      expect([state.log.at(0), state.log.filter((t) => t === "stream.end").length, from.closed]).toEqual(["stream.open", 1, 1]);
    }
  });
});

describe("credit", () => {
  test("is never exceeded, and more comes only for what was written", async () => {
    const sink = new Memory();
    sink.waiting = [];
    const sender = new StreamSender(identity, source(8 * MIB), portableHash, 64 * MIB);
    const one = link(sender, sink, 1);
    await settled();
    expect([one.state.highest, one.state.credit, one.receiver?.outstanding]).toEqual([limits.creditFirst, limits.creditFirst, limits.creditFirst]);
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
    const make = () => new StreamReceiver(1, { send: () => {} }, new Memory(), { done: () => {}, failed: () => {} }, 64 * MIB, 1_000);
    make().chunk(0, new Uint8Array(1_000));
    expect(() => make().chunk(0, new Uint8Array(1_001))).toThrow(expect.objectContaining({ code: "schema" }));
    expect(() => make().chunk(1, new Uint8Array(1))).toThrow(expect.objectContaining({ code: "schema" }));
  });
});

describe("a broken link", () => {
  const SIZE = 3 * 65_536 + 11;

  test("resumes at any offset that the receiver holds", async () => {
    for (let held = 0; held <= SIZE; held += 16_389) {
      const sink = new Memory();
      await sink.write(content(0, held));
      const sender = new StreamSender(identity, source(SIZE), portableHash, 64 * MIB);
      const { state } = link(sender, sink, 1);
      await sender.done;
      expect([held, state.outcome, state.error, sink.length]).toEqual([held, "done", undefined, SIZE]);
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
      expect([steps, last.state.error, sink.length, sink.finished]).toEqual([steps, undefined, SIZE, true]);
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
    const { state } = link(sender, sink, 1, { spoil: (data) => data.map((one, at) => (at === 9 ? one ^ 1 : one)) });
    await settled();
    expect([state.outcome, sink.finished]).toEqual(["hash-mismatch", false]);
  });

  test("other bytes before a resume are found", async () => {
    const sink = new Memory();
    await sink.write(new Uint8Array(1_000));
    const { state } = link(new StreamSender(identity, source(MIB), portableHash, 64 * MIB), sink, 1);
    await settled();
    expect(state.outcome).toBe("hash-mismatch");
  });

  test.for([
    [1_000, 1_000, "done"],
    [1_001, 1_000, "too-big"],
  ] as const)("%i bytes where %i may be are %s at the receiver", async ([size, most, outcome]) => {
    const sink = new Memory();
    const { state } = link(new StreamSender(identity, source(size), portableHash, 64 * MIB), sink, 1, { most });
    await settled();
    expect(state.outcome).toBe(outcome);
    expect(sink.length).toBeLessThanOrEqual(most);
  });

  test.for([[true], [false]])("a byte too many is not sent, whether its size is known (%s)", async ([known = true]) => {
    const from = source(1_001, known);
    const sender = new StreamSender(identity, from, portableHash, 1_000);
    const { state } = link(sender, new Memory(), 1);
    await expect(sender.done).rejects.toThrow("too-big");
    expect([state.highest, from.closed]).toEqual([0, 1]);
  });

  test("a source that cannot be read ends it", async () => {
    const broken: Source = { ...source(10), read: () => Promise.reject(new Error("unreadable")) };
    const sender = new StreamSender(identity, broken, portableHash, 64 * MIB);
    link(sender, new Memory(), 1);
    await expect(sender.done).rejects.toThrow("unreadable");
  });
});

test("64 MiB pass while no more than the credit is held", async () => {
  const from = source(64 * MIB);
  const sink: Sink = { length: 0, write: () => new Promise((resolve) => setImmediate(resolve)), finish: () => Promise.resolve() };
  const sender = new StreamSender(identity, { ...from, read: (offset, most) => Promise.resolve(new Uint8Array(Math.min(most, 64 * MIB - offset))) }, () => createHash("sha256"), 64 * MIB);
  let sent = 0;
  let peak = 0;
  let receiver: StreamReceiver | undefined;
  const events = { done: () => sender.finished(), failed: (error: Error) => sender.fail(error) };
  sender.attach(
    {
      ...{ roomy: true, drained: () => Promise.resolve() },
      send(frame) {
        if (frame.t === "stream.open") receiver = new StreamReceiver(1, { send: (credit) => credit.t === "stream.credit" && sender.credit(credit.upto, credit.from) }, sink, events, 64 * MIB);
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
