import { systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { generateKeyPair } from "@kith/shared/noise/keys";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits, times } from "@kith/shared/protocol/limits";
import type { ByeCode } from "@kith/shared/protocol/session";
import { expect, test } from "vitest";
import { NodeEnd, connected, fakeClock, hello, lowered, node, world } from "./world.ts";

const id = () => newId(fakeClock(), systemRng);

test("a paired node gets from IK to welcome with the epoch that was committed", async () => {
  await using home = await world();
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.say(hello({ last_epoch: 3 }));
  expect(await laptop.hears("welcome")).toMatchObject({
    epoch: 7,
    minor: 0,
    features: [],
    gateway: "home",
    ping_ms: 20_000,
  });
  expect(home.heard.up).toMatchObject([{ device: node, epoch: 7, seen: 0, source: "127.0.0.1" }]);
  expect(home.heard.hellos[0]?.last_epoch).toBe(3);
});

test("welcome does not leave before the epoch is on disk", async () => {
  const stored = Promise.withResolvers<{ epoch: number; wantCaps: boolean }>();
  await using home = await world({ handlers: { hello: () => stored.promise } });
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.say(hello(), { t: "ping", n: 1 });
  await laptop.hears("pong");
  expect([laptop.frames, home.heard.up]).toEqual([[], []]);
  stored.resolve({ epoch: 41, wantCaps: true });
  expect(await laptop.hears("welcome")).toMatchObject({ epoch: 41, want_caps: true });
});

test("frames and pings go both ways once it is up", async () => {
  await using home = await world();
  using laptop = await connected(home);
  laptop.say({ t: "ping", n: 1 }, { t: "ping", n: 2 });
  expect(await laptop.hears("pong")).toEqual({ t: "pong", n: 1 });
  await laptop.hears("pong");
  expect(home.heard.up[0]?.seen).toBe(2);
  const call = id();
  home.heard.up[0]?.send({ t: "cancel", call, why: "owner" });
  expect(await laptop.hears("cancel")).toMatchObject({ call });
  laptop.say({ t: "event", seq: 1, name: "battery", data: { pct: 80 } });
  expect(await home.until(() => home.heard.frames[0])).toMatchObject({ name: "battery" });
});

test("frames that are sent in one turn share one message, in their order", async () => {
  await using home = await world();
  using laptop = await connected(home);
  let messages = 0;
  laptop.ws.on("message", () => messages++);
  const calls = Array.from({ length: 5 }, id);
  for (const call of calls) home.heard.up[0]?.send({ t: "cancel", call, why: "owner" });
  for (const call of calls) expect((await laptop.hears("cancel")).call).toBe(call);
  expect(messages).toBe(1);
});

test("an event that is older than the last one is dropped", async () => {
  await using home = await world();
  using laptop = await connected(home);
  for (const seq of [2, 1, 2, 3]) laptop.say({ t: "event", seq, name: "battery", data: {} });
  await home.until(() => home.heard.frames.length === 2);
  expect(home.heard.frames).toMatchObject([{ seq: 2 }, { seq: 3 }]);
});

test.each<[string, Frame | object]>([
  ["a second hello", hello()],
  ["invoke, which is for operators", { t: "invoke", call: id(), cap: "op.devices.list" }],
  ["a pairing frame", { t: "pair.confirm" }],
])("%s closes a paired link with 4400", async (_, frame) => {
  await using home = await world();
  using laptop = await connected(home);
  laptop.mumble(frame);
  expect(await laptop.closed).toBe(4400);
  expect(await home.until(() => home.heard.down[0])).toMatchObject({ link: { epoch: 7 } });
});

test.each<[string, object]>([
  ["a ping before hello", { t: "ping", n: 1 }],
  ["an epoch that no link count reaches", hello({ last_epoch: 2 ** 52 + 1 })],
])("%s closes the link with 4400 before anybody is asked", async (_, frame) => {
  await using home = await world();
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.mumble(frame);
  expect(await laptop.closed).toBe(4400);
  expect(home.heard).toMatchObject({ hellos: [], up: [], down: [] });
});

test("an event before welcome closes the link", async () => {
  await using home = await world({ handlers: { hello: () => new Promise(() => {}) } });
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.say(hello(), { t: "event", seq: 1, name: "battery", data: {} });
  expect(await laptop.closed).toBe(4400);
});

test("a hello that is refused hears why, and its link goes down without an epoch", async () => {
  await using home = await world({ handlers: { hello: async () => ({ refuse: "duplicate" }) } });
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.say(hello());
  expect(await laptop.hears("bye")).toMatchObject({ code: "duplicate" });
  expect(await laptop.closed).toBe(4409);
  expect(home.heard).toMatchObject({ up: [], down: [{ link: { epoch: 0 }, why: "duplicate" }] });
});

test("a hello that was overtaken by one of a newer link does not take its place", async () => {
  await using home = await world();
  using late = await new NodeEnd(home.port).handshake("IK");
  home.clock.pass(1);
  using laptop = await connected(home);
  late.say(hello());
  expect(await late.hears("bye")).toMatchObject({ code: "superseded" });
  expect(await late.closed).toBe(4409);
  expect([home.heard.hellos.length, home.heard.down]).toEqual([1, []]);
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
});

test("a hello that fails at the gateway is told to try later", async () => {
  await using home = await world({ handlers: { hello: () => Promise.reject(new Error("disk")) } });
  using laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.say(hello());
  expect(await laptop.closed).toBe(4503);
  expect(home.heard.problems).toMatchObject([{ message: "disk" }]);
});

test("a node that goes while its epoch is being stored goes down with that epoch, and never up", async () => {
  const stored = Promise.withResolvers<{ epoch: number; wantCaps: boolean }>();
  await using home = await world({ handlers: { hello: () => stored.promise } });
  const laptop = await new NodeEnd(home.port).handshake("IK");
  laptop.say(hello(), { t: "bye", code: "slept", text: "" });
  expect(await laptop.closed).toBe(1000);
  expect(home.heard.down).toEqual([]);
  stored.resolve({ epoch: 9, wantCaps: false });
  expect(await home.until(() => home.heard.down[0])).toMatchObject({ link: { epoch: 9 } });
  expect(home.heard.up).toEqual([]);
});

test.each<[ByeCode, number]>([
  ["done", 1000],
  ["shutdown", 1000],
  ["rollover", 1000],
  ["protocol", 4400],
  ["revoked", 4403],
  ["superseded", 4409],
  ["fenced", 4409],
  ["version", 4426],
  ["rate", 4429],
  ["starting", 4503],
])(
  "the gateway's bye %s closes with %i, and nothing comes or goes after it",
  async (code, close) => {
    await using home = await world();
    using laptop = await connected(home);
    const link = home.heard.up[0];
    link?.end(code, "because \u202e", 7_000);
    link?.send({ t: "cancel", call: id(), why: "owner" });
    link?.end("done", "again");
    laptop.say({ t: "event", seq: 1, name: "late", data: {} });
    expect(await laptop.hears("bye")).toEqual({
      t: "bye",
      code,
      text: "because ",
      retry_ms: 7_000,
    });
    expect(await laptop.closed).toBe(close);
    expect(laptop.frames).toEqual([]);
    expect(home.heard).toMatchObject({ down: [{ link, why: code }], frames: [] });
  },
);

test("a socket that just goes is down once", async () => {
  await using home = await world();
  const laptop = await connected(home);
  laptop.ws.terminate();
  await home.until(() => home.heard.down[0]);
  home.heard.up[0]?.end("done", "");
  expect(home.heard.down).toHaveLength(1);
});

test("45 s without a frame are the end, any frame is life", async () => {
  await using home = await world();
  using laptop = await connected(home);
  home.clock.pass(times.idleDeadMs - 1);
  laptop.say({ t: "ping", n: 1 });
  await laptop.hears("pong");
  home.clock.pass(times.idleDeadMs - 1);
  expect(home.heard.down).toEqual([]);
  home.clock.pass(1);
  expect(await laptop.closed).toBe(4408);
  expect(home.heard.down).toMatchObject([{ why: "silent" }]);
});

test("with a call open the gateway pings, and 10 s of silence are the end", async () => {
  let busy = false;
  await using home = await world({ handlers: { busy: () => busy } });
  using laptop = await connected(home);
  busy = true;
  home.heard.up[0]?.poke();
  home.clock.pass(times.busyPingMs);
  const { n } = await laptop.hears("ping");
  laptop.say({ t: "pong", n }, { t: "ping", n: 1 });
  await laptop.hears("pong");
  home.clock.pass(times.busyDeadMs - 1);
  expect(home.heard.down).toEqual([]);
  home.clock.pass(1);
  expect(await laptop.closed).toBe(4408);
});

test("a day-old link rolls over at the first ping that finds it quiet", async () => {
  let busy = false;
  await using home = await world({ handlers: { busy: () => busy } });
  using laptop = await connected(home);
  let n = 0;
  const beat = async () => {
    laptop.say({ t: "ping", n: ++n });
    await laptop.hears("pong");
  };
  const BEAT_MS = 40_000; // longer than a node waits, shorter than it takes to be silent
  for (let passed = 0; passed < limits.rolloverMs; passed += BEAT_MS) {
    await beat();
    home.clock.pass(BEAT_MS);
  }
  busy = true;
  await beat();
  busy = false;
  laptop.say({ t: "ping", n: ++n });
  expect(await laptop.hears("bye")).toMatchObject({ code: "rollover" });
  expect(await laptop.closed).toBe(1000);
});

test("after so many frames a link rolls over as soon as it is quiet", async () => {
  using _ = lowered({ rolloverFrames: 20 });
  let busy = true;
  await using home = await world({ handlers: { busy: () => busy } });
  using laptop = await connected(home);
  for (let n = 1; n <= 25; n++) {
    laptop.say({ t: "ping", n });
    await laptop.hears("pong");
  }
  busy = false;
  laptop.say({ t: "ping", n: 26 });
  expect(await laptop.hears("bye")).toMatchObject({ code: "rollover" });
  expect(await laptop.closed).toBe(1000);
});

test("at the hard stop the last frame is bye, whatever is open", async () => {
  using _ = lowered({ rolloverFrames: 20, hardStopFrames: 40 });
  await using home = await world({ handlers: { busy: () => true } });
  using laptop = await connected(home);
  let messages = 1; // welcome
  laptop.ws.on("message", () => messages++);
  while (messages < 39) {
    home.heard.up[0]?.send({ t: "cancel", call: id(), why: "owner" });
    await laptop.hears("cancel");
  }
  home.heard.up[0]?.send({ t: "cancel", call: id(), why: "owner" });
  expect(await laptop.hears("bye")).toMatchObject({ code: "rollover" });
  expect(await laptop.closed).toBe(1000);
  expect(messages).toBe(40);
  expect(home.heard.down).toMatchObject([{ why: "hard stop" }]);
});

test("a send queue above 4 MiB closes with 4429", async () => {
  await using home = await world();
  using laptop = await connected(home);
  const large = { pad: "x".repeat(60_000) };
  laptop.socket.pause(); // the kernel takes some megabytes before anything waits here
  for (let seq = 0; seq < 400; seq++)
    home.heard.up[0]?.send({ t: "event", seq, name: "flood", data: large });
  expect(await home.until(() => home.heard.down[0])).toMatchObject({ why: "slow peer" });
  laptop.socket.resume();
  expect(await laptop.closed).toBe(4429);
});

test("the gateway says bye to all when it stops, and its port is free", async () => {
  const home = await world();
  const laptop = await connected(home);
  const stranger = await new NodeEnd(home.port).open();
  const closing = home.mesh.close();
  expect(await laptop.hears("bye")).toMatchObject({ code: "shutdown" });
  expect([await laptop.closed, await stranger.closed]).toEqual([1000, 1000]);
  await closing;
  expect(home.heard.down).toMatchObject([{ why: "shutdown" }]);
  await expect(new NodeEnd(home.port).closed).resolves.toBe(1006);
});

test("a handler that throws ends that link and no other", async () => {
  const other = await generateKeyPair();
  await using home = await world({
    handlers: {
      standing: () => "paired",
      frame: (link) => {
        if (link.device === node) throw new Error("a defect");
      },
    },
  });
  using laptop = await connected(home);
  using phone = await new NodeEnd(home.port).handshake("IK", { keys: other });
  phone.say(hello());
  await phone.hears("welcome");
  laptop.say({ t: "event", seq: 1, name: "battery", data: {} });
  expect(await laptop.closed).toBe(4503);
  phone.say({ t: "event", seq: 1, name: "battery", data: {} }, { t: "ping", n: 1 });
  await phone.hears("pong");
  expect(home.heard.problems).toMatchObject([{ message: "a defect" }]);
});
