import { limits } from "@kith/shared/protocol/limits";
import { afterEach, describe, expect, test } from "vitest";
import { welcomeFrame } from "./gateway.ts";
import { id, info, node, settle, until } from "./world.ts";

const usual = { ...limits };
afterEach(() => void Object.assign(limits, usual));

describe("a welcome", () => {
  test("is followed by nothing before its epoch is on disk", async () => {
    await using world = await node();
    const peer = world.dial();
    await peer.next("hello");
    // In one message with the call: both are here before the disk can have answered.
    peer.send(welcomeFrame(7), world.invoke({ epoch: 7 }));
    let epochAtRun = 0;
    const { current } = world.snap;
    world.snap.current = (args, tools) => ((epochAtRun = world.home.epoch), current(args, tools));
    await peer.next("result");
    expect(epochAtRun).toBe(7);
  });

  test.each([0, 6, 7])("with epoch %i after 7 is refused with fenced", async (epoch) => {
    await using world = await node();
    await world.home.raiseEpoch(7);
    const peer = world.dial();
    expect(await peer.next("hello")).toMatchObject({ last_epoch: 7 });
    peer.send(welcomeFrame(epoch));
    expect(await peer.next("bye")).toMatchObject({ code: "fenced" });
    expect(await peer.closed).toBe(4409);
    expect(world.home.epoch).toBe(7);
  });

  test("that comes twice ends the link", async () => {
    await using world = await node();
    const peer = await world.connect();
    peer.send(welcomeFrame(9));
    expect(await peer.closed).toBe(4400);
    expect(await world.link.ended).toMatchObject({ how: "protocol" });
  });

  test("that never comes ends the link after ten seconds", async () => {
    await using world = await node();
    world.dial();
    world.clock.pass(10_000);
    expect(await world.link.ended).toMatchObject({ how: "silent" });
  });
});

describe("breaks the rules and ends the link with 4400:", () => {
  test("a call before welcome", async () => {
    await using world = await node();
    const peer = world.dial();
    peer.send(world.invoke());
    expect(await peer.closed).toBe(4400);
    expect(world.snap.runs).toBe(0);
  });

  test("a chunk that nobody gave credit for", async () => {
    await using world = await node();
    const peer = await world.connect();
    peer.chunk(2, 0, new Uint8Array(10));
    expect(await peer.closed).toBe(4400);
  });

  test("five frames of no known shape within a minute; four are answered", async () => {
    await using world = await node();
    const peer = await world.connect();
    for (let at = 0; at < 4; at++) {
      peer.send({ t: "nonsense" } as never);
      expect(await peer.next("error")).toMatchObject({ code: "schema" });
    }
    await world.live(60_000);
    for (let at = 0; at < 5; at++) peer.send({ t: "ping", n: 1, more: 1 } as never);
    expect(await peer.next("bye")).toMatchObject({ code: "protocol" });
    expect(await peer.closed).toBe(4400);
  });
});

test("too many frames that answer nothing end the link with rate", async () => {
  await using world = await node();
  const peer = await world.connect();
  for (let n = 1; n <= limits.unaskedBurst + 1; n++) peer.send({ t: "ping", n });
  expect(await peer.next("bye")).toMatchObject({ code: "rate" });
  expect(peer.count("pong")).toBe(limits.unaskedBurst);
  expect(await peer.closed).toBe(4429);
});

test("the gateway's bye ends the link with its code and earliest next try", async () => {
  await using world = await node();
  const peer = await world.connect();
  peer.send({ t: "bye", code: "overload", text: "busy", retry_ms: 7_000 });
  expect(await world.link.ended).toMatchObject({ how: "overload", retryMs: 7_000 });
});

describe("sleep", () => {
  test("is seen at the next call, which is not acted on", async () => {
    await using world = await node();
    const peer = await world.connect();
    world.clock.offset += 2_001;
    peer.send(world.invoke());
    expect(await peer.next("bye")).toMatchObject({ code: "slept" });
    expect(await world.link.ended).toMatchObject({ how: "slept" });
    expect(world.snap.runs).toBe(0);
  });

  test("is seen at the next tick", async () => {
    await using world = await node();
    const peer = await world.connect();
    world.clock.offset += 3_600_000;
    world.clock.pass(5_000);
    expect(await peer.next("bye")).toMatchObject({ code: "slept" });
  });

  test("is not seen in a clock that is disciplined slowly", async () => {
    await using world = await node();
    const peer = await world.connect();
    for (let at = 0; at < 10; at++) {
      world.clock.offset -= 1_900;
      await world.live(6_000);
    }
    peer.send(world.invoke({ seen: 2 }));
    await peer.next("result");
  });
});

describe("a silent gateway", () => {
  test("is given up ten seconds after a ping without pong", async () => {
    await using world = await node();
    const peer = await world.connect();
    peer.answersPings = false;
    await world.live(32_000);
    expect(await world.link.ended).toMatchObject({ how: "silent" });
  });

  test("is found in ten seconds while a call is open", async () => {
    await using world = await node();
    world.snap.current = () => new Promise(() => {});
    const peer = await world.connect();
    peer.answersPings = false;
    peer.send(world.invoke());
    await peer.next("accept");
    world.clock.pass(10_001);
    expect(await world.link.ended).toMatchObject({ how: "silent" });
  });

  test("is found three seconds after the network changed", async () => {
    await using world = await node();
    const peer = await world.connect();
    peer.answersPings = false;
    world.link.probe();
    await peer.next("ping");
    world.clock.pass(3_000);
    expect(await world.link.ended).toMatchObject({ how: "silent" });
  });
});

describe("rollover", () => {
  test("waits for the call and its stream, and then asks for fresh keys", async () => {
    Object.assign(limits, { rolloverFrames: 4 });
    await using world = await node();
    let finish = () => {};
    const { current } = world.snap;
    world.snap.current = (args, tools) =>
      new Promise((resolve) => (finish = () => resolve(current(args, tools))));
    const peer = await world.connect();
    peer.send(world.invoke());
    await peer.next("accept");
    for (let n = 1; n < 6; n++) peer.send({ t: "ping", n });
    await settle();
    expect(peer.count("bye")).toBe(0);
    finish();
    const { bytes } = await peer.content(await peer.next("stream.open"));
    expect(bytes.length).toBe(300_000);
    expect(await peer.next("bye")).toMatchObject({ code: "rollover" });
    expect(await world.link.ended).toMatchObject({ how: "rollover" });
  });

  test("comes by age, in a quiet moment", async () => {
    Object.assign(limits, { rolloverMs: 60_000 });
    await using world = await node();
    const peer = await world.connect();
    await world.live(64_000);
    expect(await peer.next("bye")).toMatchObject({ code: "rollover" });
  });

  test("stops hard with a last goodbye, whatever is open, and the call goes on", async () => {
    // Both ends count alike, so the node must be the one that says more: four answers to one message.
    Object.assign(limits, { rolloverFrames: 3, hardStopFrames: 6 });
    await using world = await node();
    let finish = () => {};
    const { current } = world.snap;
    world.snap.current = (args, tools) =>
      new Promise((resolve) => (finish = () => resolve(current(args, tools))));
    const later: (() => void)[] = [];
    world.info.current = (args, tools) =>
      new Promise((resolve) => later.push(() => resolve(info(args, tools))));
    const peer = await world.connect();
    const invoke = world.invoke();
    const read = { cap: "device.info", effect: "read" } as const;
    peer.send(invoke, world.invoke(read), world.invoke(read));
    for (let at = 0; at < 3; at++) await peer.next("accept");
    for (const answer of later) {
      answer();
      await peer.next("result");
    }
    for (let n = 1; n < 4 && peer.count("bye") === 0; n++) {
      peer.send({ t: "ping", n });
      await until(() => peer.count("pong") === n || peer.count("bye") > 0);
    }
    expect(peer.all.at(-1)).toMatchObject({ t: "bye", code: "rollover" });
    expect(await world.link.ended).toMatchObject({ how: "rollover" });
    Object.assign(limits, usual);
    finish();
    const next = await world.connect();
    next.send({ t: "ledger.query", q: 1, calls: [{ call: invoke.call, n: invoke.n }] });
    expect(await next.next("result")).toMatchObject({ call: invoke.call });
  });
});

test("an unknown pong, a late credit and somebody's event change nothing", async () => {
  await using world = await node();
  const peer = await world.connect();
  peer.send(
    { t: "pong", n: 99 },
    { t: "stream.credit", ch: 77, upto: 5 },
    { t: "stream.done", ch: 77, size: 5 },
    { t: "event", seq: 1, name: "presence", data: {} },
    { t: "cancel", call: id("NOBODY"), why: "owner" },
    { t: "error", re: 3, code: "internal", text: "x" },
  );
  peer.send(world.invoke());
  await peer.next("result");
});
