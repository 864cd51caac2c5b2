import { systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { generateKeyPair } from "@kith/shared/noise/keys";
import { pack } from "@kith/shared/protocol/codec";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { Spending } from "@kith/gateway/mesh/spending";
import { describe, expect, test } from "vitest";
import { NodeEnd, type World, connected, fakeClock, hello, world } from "./world.ts";

const id = () => newId(fakeClock(), systemRng);

/** As many frames of one kind, in as few messages as hold them. */
const many = (count: number, frame: (at: number) => Frame): Frame[] =>
  Array.from({ length: count }, (_, at) => frame(at));

const event = (seq: number): Frame => ({ t: "event", seq, name: "battery", data: {} });

/** An event whose data pack to exactly `bytes`. */
function eventOf(seq: number, bytes: number): Extract<Frame, { t: "event" }> {
  const overhead = pack({ pad: "x".repeat(1_000) }).length - 1_000;
  return { t: "event", seq, name: "battery", data: { pad: "x".repeat(bytes - overhead) } };
}

/** An open call of the first link. */
function invoke(home: World, call: string): void {
  home.heard.up[0]?.send({
    ...{
      t: "invoke",
      call,
      n: 1,
      epoch: 7,
      cap: "camera.snap",
      v: 1,
      args: {},
      effect: "idempotent",
      ttl_ms: 15_000,
    },
    ...{ seen: 0, grant: id(), why: { origin: "owner", text: "" }, max_bytes: 1 },
  });
}

describe("frames that answer nothing", () => {
  test("400 at once and 200 a second are taken, one more closes with 4429", async () => {
    await using home = await world();
    using laptop = await connected(home);
    laptop.say(...many(limits.unaskedBurst, event));
    await home.until(() => home.heard.frames.length === limits.unaskedBurst);
    home.clock.pass(1_000);
    laptop.say(...many(limits.unaskedPerSecond, (at) => event(400 + at)));
    await home.until(() => home.heard.frames.length === 600);
    laptop.say(event(600));
    expect(await laptop.hears("bye")).toMatchObject({ code: "rate", retry_ms: 10_000 });
    expect(await laptop.closed).toBe(4429);
    expect(home.heard.frames).toHaveLength(600);
  });

  test.each<[string, (at: number) => Frame]>([
    ["pings", (at) => ({ t: "ping", n: at + 1 })],
    ["pongs", (at) => ({ t: "pong", n: at + 1 })],
    [
      "results of calls that nobody made",
      () => ({ t: "result", call: id(), out: {}, streams: [], ran_ms: 1 }),
    ],
    ["progress of calls that nobody made", (at) => ({ t: "progress", call: id(), n: at })],
    [
      "answers to questions that nobody asked",
      (at) => ({ t: "ledger.answer", q: at, ledger: id(), floor: 0, items: [] }),
    ],
    [
      "ends of streams that nobody opened",
      (at) => ({ t: "stream.end", ch: 2 * at + 1, size: 0, sha256: new Uint8Array(32) }),
    ],
  ])("%s count, too", async (_, frame) => {
    await using home = await world();
    using laptop = await connected(home);
    laptop.say(...many(limits.unaskedBurst + 1, frame));
    expect(await laptop.closed).toBe(4429);
  });

  test("answers to what was asked do not count", async () => {
    await using home = await world();
    using laptop = await connected(home);
    const calls = Array.from({ length: 500 }, id);
    for (const call of calls) invoke(home, call);
    laptop.say(
      ...calls.map((call): Frame => ({ t: "result", call, out: {}, streams: [], ran_ms: 1 })),
    );
    await home.until(() => home.heard.frames.length === 500);
    // After a broken link the ledger is asked, and old results follow its answer.
    for (let q = 1; q <= 7; q++) {
      const asked = calls.slice(64 * (q - 1), 64 * q).map((call) => ({ call, n: 1 }));
      home.heard.up[0]?.send({ t: "ledger.query", q, calls: asked });
      laptop.say({ t: "ledger.answer", q, ledger: id(), floor: 0, items: [] });
      laptop.say(
        ...asked.map(({ call }): Frame => ({
          t: "error",
          call,
          code: "driver",
          effect: "none",
          text: "",
          retry: "no",
        })),
      );
    }
    await home.until(() => home.heard.frames.length === 500 + 7 * 65);
    expect(home.heard.down).toEqual([]);
  });
});

describe("progress of an open call", () => {
  test("beyond 40 at once and 20 a second is dropped, and its result still comes", async () => {
    await using home = await world();
    using laptop = await connected(home);
    const call = id();
    invoke(home, call);
    laptop.say(...many(limits.progressBurst + 100, (n) => ({ t: "progress", call, n })), event(1));
    await home.until(() => home.heard.frames.at(-1)?.t === "event");
    expect(home.heard.frames).toHaveLength(limits.progressBurst + 1);
    home.clock.pass(1_000);
    laptop.say(...many(limits.progressPerSecond + 1, (n) => ({ t: "progress", call, n: 200 + n })));
    laptop.say({ t: "result", call, out: {}, streams: [], ran_ms: 1 });
    await home.until(() => home.heard.frames.at(-1)?.t === "result");
    expect(home.heard.frames).toHaveLength(limits.progressBurst + limits.progressPerSecond + 2);
  });

  test("of which 200 had to be dropped within 10 s closes the link", async () => {
    await using home = await world();
    using laptop = await connected(home);
    const call = id();
    invoke(home, call);
    laptop.say(...many(limits.progressBurst + 199, (n) => ({ t: "progress", call, n })), {
      t: "ping",
      n: 1,
    });
    await laptop.hears("pong");
    laptop.say({ t: "progress", call, n: 999 });
    expect(await laptop.closed).toBe(4429);
  });
});

describe("malformed frames", () => {
  const bad = [
    { t: "no.such.frame" },
    { t: "ping", n: 1, extra: true },
    { t: "ping", n: -1 },
    { t: "event", seq: 1, name: "\u202e", data: {} },
    { t: "bye", code: "because", text: "" },
  ];

  test("are each answered, and the fifth within a minute closes only that link", async () => {
    await using home = await world({ handlers: { standing: () => "paired" } });
    using laptop = await connected(home);
    using phone = await new NodeEnd(home.port).handshake("IK", { keys: await generateKeyPair() });
    phone.say(hello());
    await phone.hears("welcome");
    for (const [at, frame] of bad.entries()) {
      laptop.mumble(frame);
      expect(await laptop.hears("error")).toMatchObject({ code: "schema" });
      if (at < bad.length - 1) expect(home.heard.down).toEqual([]);
    }
    expect(await laptop.hears("bye")).toMatchObject({ code: "protocol" });
    expect(await laptop.closed).toBe(4400);
    phone.say({ t: "ping", n: 1 });
    await phone.hears("pong");
  });

  test("that are a minute apart are forgiven", async () => {
    await using home = await world();
    using laptop = await connected(home);
    for (let round = 0; round < 3; round++) {
      for (const frame of bad.slice(1)) laptop.mumble(frame);
      for (const _ of bad.slice(1)) await laptop.hears("error");
      for (let passed = 0; passed < 60_000; passed += 30_000) {
        home.clock.pass(30_000);
        laptop.say({ t: "ping", n: 1 });
        await laptop.hears("pong");
      }
    }
    expect(home.heard.down).toEqual([]);
  });

  test("bytes that are no frames at all never get further than the link", async () => {
    await using home = await world();
    for (const plaintext of [
      [],
      [0, 0, 0, 0],
      [0, 0, 0, 9, 1],
      [0, 0, 0, 1],
      [255, 255, 255, 255, 1],
    ]) {
      using laptop = await connected(home);
      await laptop.sealed(0x10, Uint8Array.from(plaintext));
      expect(await laptop.closed).toBe(4400);
    }
    expect([home.heard.frames, home.heard.problems]).toEqual([[], []]);
  });

  test("an extension, a forbidden key and a key twice are malformed, not objects", async () => {
    await using home = await world();
    for (const body of [
      "d6ff00000000",
      "81a95f5f70726f746f5f5f80",
      "82a174a470696e67a174a470696e67",
      "c1",
    ]) {
      using laptop = await connected(home);
      const bytes = Buffer.from(body, "hex");
      await laptop.sealed(0x10, Buffer.concat([Uint8Array.of(0, 0, 0, bytes.length), bytes]));
      expect(await laptop.hears("error")).toMatchObject({ code: "schema" });
    }
  });
});

describe("sizes", () => {
  test("a control message of 64 KiB is taken, one byte more closes the link", async () => {
    await using home = await world();
    using laptop = await connected(home);
    const eighth = (seq: number) => {
      const frame = eventOf(seq, 8_000);
      const missing = limits.controlBytes / 8 - 4 - pack(frame).length;
      return eventOf(seq, 8_000 + missing);
    };
    laptop.say(...many(8, eighth));
    await home.until(() => home.heard.frames.length === 8);
    const bytes = new Uint8Array(limits.controlBytes + 1);
    await laptop.sealed(0x10, bytes);
    expect(await laptop.closed).toBe(4400);
    expect(home.heard.frames).toHaveLength(8);
  });

  test("event data of 8 KiB are taken, one byte more is malformed", async () => {
    await using home = await world();
    using laptop = await connected(home);
    laptop.say(eventOf(1, limits.eventBytes));
    await home.until(() => home.heard.frames.length === 1);
    laptop.say(eventOf(2, limits.eventBytes + 1));
    expect(await laptop.hears("error")).toMatchObject({
      code: "schema",
      text: "an event too large",
    });
    expect(home.heard.frames).toHaveLength(1);
  });

  test("a result of 48 KiB is taken, one byte more ends its call as broken", async () => {
    await using home = await world();
    using laptop = await connected(home);
    const result = (bytes: number): Frame => ({
      t: "result",
      call: id(),
      out: eventOf(1, bytes).data,
      streams: [],
      ran_ms: 1,
    });
    laptop.say(result(limits.outBytes));
    await home.until(() => home.heard.frames.length === 1);
    laptop.say(result(limits.outBytes + 1));
    await home.until(() => home.heard.frames.length === 2);
    expect(home.heard.frames[1]).toMatchObject({ t: "error", code: "bad-result" });
  });

  test("a WebSocket message above the largest frame closes with 1009", async () => {
    await using home = await world();
    using laptop = await connected(home);
    laptop.ws.send(new Uint8Array(limits.frameBytes + 1));
    expect(await laptop.closed).toBe(1009);
    expect(await home.until(() => home.heard.down[0])).toMatchObject({
      why: "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
    });
  });

  test("64 fragments make a message, one more closes the link", async () => {
    await using home = await world();
    using laptop = await connected(home);
    const send = (fragments: number) => {
      for (let at = 0; at < fragments; at++)
        laptop.ws.send(new Uint8Array(1), { fin: false, binary: true });
    };
    send(64);
    laptop.ws.ping();
    await new Promise((resolve) => laptop.ws.once("pong", resolve));
    send(1);
    expect(await laptop.closed).toBe(1008);
  });

  test("16 MiB of control messages a second are taken, then reading rests once, then the link ends", () => {
    const clock = fakeClock();
    const spending = new Spending(clock);
    const message = new Uint8Array(65_536).fill(0x10);
    for (let at = 0; at < 256; at++) expect(spending.bytes(message)).toBe("take");
    expect(spending.bytes(new Uint8Array(262_173).fill(0x11))).toBe("take"); // chunks have their credit
    expect(spending.bytes(Uint8Array.of(0x10))).toBe("hold");
    clock.pass(1_000);
    for (let at = 0; at < 256; at++) expect(spending.bytes(message)).toBe("take");
    expect(spending.bytes(Uint8Array.of(0x10))).toBe("stop");
  });
});

describe("WebSocket messages that are none of ours", () => {
  test("a text closes with 4400", async () => {
    await using home = await world();
    using laptop = await connected(home);
    laptop.ws.send("hello");
    expect(await laptop.closed).toBe(4400);
  });

  test("ten pings in 10 s are answered, the eleventh closes with 4429", async () => {
    await using home = await world();
    using laptop = await connected(home);
    let pongs = 0;
    laptop.ws.on("pong", () => pongs++);
    for (let at = 0; at < limits.websocketPingsPer10s; at++) laptop.ws.ping();
    laptop.say({ t: "ping", n: 1 });
    await laptop.hears("pong");
    expect(pongs).toBe(10);
    home.clock.pass(9_999);
    laptop.ws.ping();
    expect(await laptop.closed).toBe(4429);
  });
});
