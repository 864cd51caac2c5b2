/** Sealed messages of one link: order is everything, and any fault ends that link only. */
import { type CipherKey, importKey, seal } from "@kith/shared/noise/cipher";
import { Channel } from "@kith/shared/protocol/channel";
import { joinControl, pack } from "@kith/shared/protocol/codec";
import { toGateway } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { afterEach, describe, expect, test } from "vitest";

const [up, down] = (await Promise.all([
  importKey(new Uint8Array(32).fill(1)),
  importKey(new Uint8Array(32).fill(2)),
])) as [CipherKey, CipherKey];
const CONTROL = 0x10;
const CHUNK = 0x11;

/** One end; what it sends is kept, what it hears is told as words. */
function end(send: CipherKey, receive: CipherKey, options: { frameBytes?: number } = {}) {
  const sent: Uint8Array[] = [];
  const heard: string[] = [];
  const queue: (() => void)[] = [];
  const state = { buffered: 0, paused: 0 };
  const transport = {
    send: (bytes: Uint8Array) => void sent.push(bytes),
    get buffered() {
      return state.buffered;
    },
    ...{
      close: () => {},
      terminate: () => {},
      pause: () => void state.paused++,
      resume: () => void state.paused--,
    },
  };
  const events = {
    ...options,
    onFrame: (frame: { t: string; n?: number }) =>
      void heard.push(`${frame.t} ${frame.n ?? ""}`.trim()),
    onChunk: (ch: number, offset: number, data: Uint8Array) =>
      void heard.push(`chunk ${ch} ${offset} ${data.length}`),
    onMalformed: () => void heard.push("malformed"),
    onFault: (code: number, why: string) => void heard.push(`fault ${code} ${why}`),
    onRollover: () => void heard.push("rollover"),
  };
  const channel = new Channel(
    transport,
    { send, receive },
    toGateway,
    events,
    (fn) => void queue.push(fn),
  );
  const turn = () => {
    for (const run of queue.splice(0)) run();
  };
  return { channel, sent, heard, state, turn };
}

/** A node that spoke so many pings, one message each, and the gateway that has not heard them yet. */
function pings(count: number) {
  const [node, gateway] = [end(up, down), end(down, up)];
  for (let n = 1; n <= count; n++) {
    node.channel.send({ t: "ping", n });
    node.turn();
  }
  return { node, gateway, messages: node.sent };
}
/** Sealed as a peer would, whatever is in it. */
const sealed = (plaintext: Uint8Array, counter = 0, type = CONTROL): Uint8Array => {
  const head = Uint8Array.of(type);
  return Uint8Array.from([type, ...(seal(up, counter, head, plaintext) as Uint8Array)]);
};
const chunk = (ch: number, offset: bigint, length: number): Uint8Array => {
  const plaintext = new Uint8Array(12 + length);
  new DataView(plaintext.buffer).setUint32(0, ch);
  new DataView(plaintext.buffer).setBigUint64(4, offset);
  return plaintext;
};
const frames = (...list: unknown[]) => joinControl(list.map((one) => pack(one)))[0] as Uint8Array;

test("frames of one turn share a message and act in order", () => {
  const [node, gateway] = [end(up, down), end(down, up)];
  for (let n = 1; n <= 3; n++) node.channel.send({ t: "ping", n });
  expect(node.sent).toEqual([]);
  node.turn();
  expect(node.sent).toHaveLength(1);
  gateway.channel.receive(node.sent[0]!);
  expect(gateway.heard).toEqual(["ping 1", "ping 2", "ping 3"]);
});

test("the worked message of docs/protocol.md is sealed and opened byte for byte", async () => {
  const key = (await importKey(Uint8Array.from({ length: 32 }, (_, at) => at))) as CipherKey;
  const node = end(key, key);
  node.channel.send({ t: "ping", n: 1 });
  node.turn();
  expect(Buffer.from(node.sent[0]!).toString("hex")).toBe(
    "100ebcb5d5378df71978c1c752b9429047fa77faccd723790ff5734b0acb66a6",
  );
});

test("chunks keep their channel, offset and bytes", () => {
  const [node, gateway] = [end(up, down), end(down, up)];
  node.channel.sendChunk(3, 2 ** 40 + 1, new Uint8Array(limits.chunkBytes));
  expect(node.sent[0]).toHaveLength(limits.frameBytes);
  gateway.channel.receive(node.sent[0]!);
  expect(gateway.heard).toEqual([`chunk 3 ${2 ** 40 + 1} ${limits.chunkBytes}`]);
});

describe("4400 ends the link, and nothing is heard after it", () => {
  test("every bit of a message that flips", () => {
    const { messages } = pings(1);
    const message = messages[0]!;
    for (let bit = 0; bit < message.length * 8; bit++) {
      const gateway = end(down, up);
      gateway.channel.receive(
        message.map((one, at) => (at === bit >> 3 ? one ^ (1 << (bit & 7)) : one)),
      );
      gateway.channel.receive(message);
      expect([bit, gateway.heard.length, gateway.heard[0]?.slice(0, 10)]).toEqual([
        bit,
        1,
        "fault 4400",
      ]);
    }
  });

  test.for<[string, readonly number[], readonly string[]]>([
    ["a message again", [0, 0, 1], ["ping 1", "fault 4400 tag"]],
    ["messages out of order", [1, 0], ["fault 4400 tag"]],
    ["a message that is missing", [0, 2], ["ping 1", "fault 4400 tag"]],
  ])("%s", ([, order, heard]) => {
    const { gateway, messages } = pings(3);
    for (const at of order) gateway.channel.receive(messages[at]!);
    expect(gateway.heard).toEqual(heard);
  });

  test("its own message, thrown back at it", () => {
    const { node, messages } = pings(1);
    node.channel.receive(messages[0]!);
    expect(node.heard).toEqual(["fault 4400 tag"]);
  });

  test.for<[string, Uint8Array, string]>([
    ["another type of message", sealed(frames({ t: "ping", n: 1 }), 0, 0x12), "message type"],
    ["a text of the library", new Uint8Array(18), "message type"],
    ["too short for a tag", Uint8Array.of(CONTROL, ...new Uint8Array(16)), "length"],
    ["nothing", new Uint8Array(), "length"],
    ["a control message too long", new Uint8Array(1 + 65_536 + 16 + 1).fill(CONTROL), "length"],
    ["a chunk too long", new Uint8Array(limits.frameBytes + 1).fill(CHUNK), "length"],
    ["a control message without a frame", sealed(Uint8Array.of(0)), "malformed frame: cut short"],
    ["a chunk without bytes", sealed(chunk(1, 0n, 0), 0, CHUNK), "an empty chunk"],
    ["a chunk beyond 2^53", sealed(chunk(1, 2n ** 53n, 1), 0, CHUNK), "a chunk offset too large"],
    [
      "a chunk said to be control",
      Uint8Array.of(CONTROL, ...sealed(chunk(1, 0n, 1), 0, CHUNK).subarray(1)),
      "tag",
    ],
  ])("%s", ([, message, why]) => {
    const gateway = end(down, up);
    gateway.channel.receive(message);
    gateway.channel.receive(sealed(frames({ t: "ping", n: 1 })));
    expect(gateway.heard).toEqual([`fault 4400 ${why}`]);
  });

  test("a frame larger than this stage allows", () => {
    const gateway = end(down, up, { frameBytes: 4_096 });
    const event = (bytes: number) => ({
      t: "event",
      seq: 1,
      name: "x",
      data: { a: "x".repeat(bytes) },
    });
    gateway.channel.receive(sealed(frames(event(4_000))));
    gateway.channel.receive(sealed(frames(event(4_100)), 1));
    expect(gateway.heard).toEqual(["event", "fault 4400 a frame too large"]);
  });

  test("a throw while a frame acts: later frames of the message do not", () => {
    const gateway = end(down, up);
    const heard: number[] = [];
    gateway.channel.expect(toGateway, {
      ...{ onChunk: () => {}, onMalformed: () => {}, onRollover: () => {} },
      onFault: (code) => void heard.push(code),
      onFrame: (frame) => {
        heard.push((frame as { n: number }).n);
        if (heard.length === 2) throw new Error("not allowed now");
      },
    });
    gateway.channel.receive(
      sealed(frames({ t: "ping", n: 1 }, { t: "ping", n: 2 }, { t: "ping", n: 3 })),
    );
    expect(heard).toEqual([1, 2, 4400]);
  });
});

test("a frame of no known shape is told and passed over; the others of its message act", () => {
  const gateway = end(down, up);
  gateway.channel.receive(
    sealed(
      frames(
        { t: "ping", n: 1 },
        { t: "nothing" },
        { t: "ping", n: 2, more: 1 },
        { t: "ping", n: 3 },
      ),
    ),
  );
  expect(gateway.heard).toEqual(["ping 1", "malformed", "malformed", "ping 3"]);
});

describe("a slow peer", () => {
  test("gets no chunks above 1 MiB of queue, and is given up above 4 MiB", () => {
    const node = end(up, down);
    node.state.buffered = limits.queueSoftBytes;
    expect(node.channel.roomy).toBe(true);
    node.state.buffered++;
    expect(node.channel.roomy).toBe(false);
    node.state.buffered = limits.queueHardBytes;
    node.channel.sendChunk(1, 0, new Uint8Array(1));
    node.state.buffered++;
    node.channel.sendChunk(1, 1, new Uint8Array(1));
    expect([node.sent.length, node.heard]).toEqual([1, ["fault 4429 slow peer"]]);
  });
});

test("closed, it sends and hears nothing", () => {
  const { gateway, node, messages } = pings(1);
  gateway.channel.close();
  gateway.channel.receive(messages[0]!);
  node.channel.send({ t: "ping", n: 2 });
  node.channel.close();
  node.turn();
  node.channel.flush();
  node.channel.sendChunk(1, 0, new Uint8Array(1));
  expect([gateway.heard, node.sent.length]).toEqual([[], 1]);
});

describe("counting frames, with the limits lowered", () => {
  const { rolloverFrames, hardStopFrames } = limits;
  const lower = (change: Partial<Record<keyof typeof limits, number>>) =>
    void Object.assign(limits, change);
  afterEach(() => lower({ rolloverFrames, hardStopFrames }));

  test("both ends notice the same message, once", () => {
    lower({ rolloverFrames: 3, hardStopFrames: 6 });
    const { node, gateway, messages } = pings(4);
    for (const message of messages) gateway.channel.receive(message);
    expect(node.heard).toEqual(["rollover"]);
    expect(gateway.heard).toEqual(["ping 1", "ping 2", "rollover", "ping 3", "ping 4"]);
  });

  test("the last message before the hard stop is the goodbye, whatever else waits", () => {
    lower({ rolloverFrames: 3, hardStopFrames: 6 });
    const { node, gateway, messages } = pings(9);
    expect(messages).toHaveLength(6);
    for (const message of messages) gateway.channel.receive(message);
    expect(gateway.heard).toEqual([
      "ping 1",
      "ping 2",
      "rollover",
      "ping 3",
      "ping 4",
      "ping 5",
      "bye",
    ]);
    expect(node.heard).toEqual(["rollover", "fault 1000 hard stop"]);
  });

  test("a frame after the hard stop ends the link", () => {
    const { gateway, messages } = pings(4);
    lower({ hardStopFrames: 3 });
    for (const message of messages) gateway.channel.receive(message);
    expect(gateway.heard).toEqual([
      "ping 1",
      "ping 2",
      "ping 3",
      "fault 4400 frames after the hard stop",
    ]);
  });
});
