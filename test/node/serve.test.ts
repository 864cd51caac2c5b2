import { type FileHandle, open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { KithError } from "@kith/shared/errors";
import type { Invoke } from "@kith/shared/protocol/call";
import { digestOf } from "@kith/node-agent/digest";
import { setLock } from "@kith/node-agent/policy";
import { describe, expect, test, vi } from "vitest";
import { id, info, node, type NodeWorld, photo, settle, snap, until } from "./world.ts";

/** A driver that runs until it is stopped. */
const forever = (_: unknown, { signal }: { signal: AbortSignal }) =>
  new Promise<never>((_resolve, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason)),
  );

test("a photo is taken once, answered once, and its bytes follow", async () => {
  await using world = await node();
  const peer = await world.connect();
  const invoke = world.invoke();
  peer.send(invoke);

  expect(await peer.next("accept")).toMatchObject({
    call: invoke.call,
    state: "running",
    left_ms: 15_000,
  });
  const result = await peer.next("result");
  expect(result).toMatchObject({
    call: invoke.call,
    out: { camera: "fake" },
    streams: [{ role: "image", type: "image/jpeg", size: photo.length }],
  });
  const open = await peer.next("stream.open");
  expect(open).toMatchObject({
    call: invoke.call,
    stream: result.streams[0]!.stream,
    ch: 1,
    live: false,
  });
  const { bytes, end } = await peer.content(open);
  expect(Buffer.compare(bytes, photo)).toBe(0);
  expect(end.sha256).toEqual(result.streams[0]!.sha256);
  await until(() => world.outgoing.open === 0);

  expect(world.snap.runs).toBe(1);
  expect(world.ledger.get(invoke.call)).toMatchObject({ state: "done", starts: 1 });
  expect(peer.count("result")).toBe(1);
});

test("the sign of use is out before the driver's first frame and goes two seconds after its end", async () => {
  await using world = await node();
  let seen: unknown[] = [];
  world.snap.current = async (args, tools) => {
    await tools.notice("photo: fake");
    seen = [...world.events];
    return await snap(args, { ...tools, notice: async () => {} });
  };
  const peer = await world.connect();
  peer.send(world.invoke());
  await peer.next("result");

  const on = { event: "notice", what: "photo: fake", on: true };
  expect(seen).toEqual([on]);
  world.clock.pass(1_999);
  expect(world.events).toEqual([on]);
  world.clock.pass(1);
  expect(world.events).toEqual([on, { ...on, on: false }]);
});

test("a camera whose sign nobody can see is not used", async () => {
  await using world = await node();
  let used = false;
  world.snap.current = async (args, tools) => {
    await tools.notice("photo: fake");
    used = true;
    return await snap(args, tools);
  };
  world.mute = true;
  const peer = await world.connect();
  peer.send(world.invoke());
  expect(await peer.next("error")).toMatchObject({ code: "driver" });
  expect(used).toBe(false);
});

describe("is refused before anything happens", () => {
  const cases: [
    name: string,
    change: (world: NodeWorld) => Partial<Invoke> | Promise<Partial<Invoke>>,
    code: string,
  ][] = [
    ["an unknown capability", () => ({ cap: "toast.make", effect: "once" }), "unsupported"],
    ["an unknown version", () => ({ v: 2 }), "unsupported"],
    ["another effect class", () => ({ effect: "read" }), "unsupported"],
    [
      "a capability without a driver here",
      () => ({ cap: "device.status", effect: "read" }),
      "unsupported",
    ],
    ["arguments that the schema does not know", () => ({ args: { flash: true } }), "bad-args"],
    ["arguments out of bounds", () => ({ args: { max_edge_px: 63 } }), "bad-args"],
    ["too many bytes of arguments", () => ({ args: { camera: "x".repeat(33_000) } }), "too-big"],
    ["a time to live of more than ten minutes", () => ({ ttl_ms: 600_001 }), "schema"],
    ["another link's epoch", () => ({ epoch: 99 }), "fenced"],
    ["a ping that was never sent", () => ({ seen: 7 }), "deadline"],
    [
      "what its owner never turned on",
      async ({ home }) => (await home.save({ policy: {} }), {}),
      "capability-off",
    ],
    [
      "everything while the device is locked",
      async ({ home }) => (await setLock(home.dir, true), {}),
      "locked",
    ],
  ];
  test.each(cases)("%s", async (_, change, code) => {
    await using world = await node();
    const peer = await world.connect();
    const invoke = world.invoke(await change(world));
    peer.send(invoke);
    expect(await peer.next("error")).toMatchObject({ call: invoke.call, code, effect: "none" });
    await settle();
    expect(world.snap.runs + world.info.runs).toBe(0);
    expect(world.ledger.get(invoke.call)).toBeUndefined();
    expect(peer.count("error")).toBe(1);
  });

  test("one more than may run at once, and room again after the end", async () => {
    await using world = await node();
    let finish = () => {};
    world.snap.current = (args, tools) =>
      new Promise((resolve) => (finish = () => resolve(snap(args, tools))));
    const peer = await world.connect();
    peer.send(world.invoke());
    await peer.next("accept");
    peer.send(world.invoke());
    expect(await peer.next("error")).toMatchObject({
      code: "busy",
      effect: "none",
      retry: "later",
    });
    finish();
    await peer.next("result");
    peer.send(world.invoke());
    expect(await peer.next("accept")).toBeDefined();
    finish();
  });

  test("a number at or below the floor", async () => {
    await using world = await node();
    const peer = await world.connect();
    Object.defineProperty(world.ledger, "floor", { value: 5 });
    peer.send(world.invoke({ n: 5 }));
    expect(await peer.next("error")).toMatchObject({ code: "replay", effect: "none" });
    peer.send(world.invoke({ n: 6 }));
    expect(await peer.next("accept")).toBeDefined();
  });

  test("a call that may have waited on its way longer than a ping and ten seconds", async () => {
    await using world = await node();
    const peer = await world.connect();
    await world.live(30_000);
    // Our first ping left between 18 and 22 s after welcome; `seen: 0` is the hello.
    peer.send(world.invoke({ seen: 0 }));
    expect(await peer.next("accept")).toBeDefined();
    world.clock.pass(1);
    peer.send(world.invoke({ seen: 0, cap: "device.info", effect: "read" }));
    expect(await peer.next("error")).toMatchObject({ code: "deadline", effect: "none" });
    peer.send(world.invoke({ seen: 1, cap: "device.info", effect: "read" }));
    expect(await peer.next("accept")).toBeDefined();
  });

  test("a second call under a permission that was for one, and never under a standing one", async () => {
    await using world = await node();
    const peer = await world.connect();
    const grant = id("GRANT");
    peer.send({
      t: "grants.changed",
      rev: 1,
      grants: [
        { cap: "camera.snap", mode: "ask" },
        { cap: "device.info", mode: "standing" },
      ],
    });
    peer.send(world.invoke({ grant }));
    await peer.next("result");
    peer.send(world.invoke({ grant }));
    expect(await peer.next("error")).toMatchObject({ code: "denied-local", effect: "none" });
    for (let at = 0; at < 2; at++) {
      peer.send(world.invoke({ grant: id("OTHER"), cap: "device.info", effect: "read" }));
      await peer.next("result");
    }
    expect(world.snap.runs).toBe(1);
  });
});

test("a result that the disk does not take is told as doubt, and its content stays here", async () => {
  await using world = await node();
  let finish = () => {};
  world.snap.current = (args, tools) =>
    new Promise((resolve) => (finish = () => resolve(snap(args, tools))));
  const peer = await world.connect();
  const invoke = world.invoke();
  peer.send(invoke);
  await peer.next("accept");
  const append = vi.spyOn(Object.getPrototypeOf(await disk()) as FileHandle, "write");
  append.mockRejectedValueOnce(new Error("ENOSPC"));
  finish();
  const told = { call: invoke.call, code: "disk-full", effect: "unknown" };
  expect(await peer.next("error")).toMatchObject(told);
  append.mockRestore();
  expect(world.ledger.get(invoke.call)?.state).toBe("doubt");
  expect(world.outgoing.open).toBe(0);
  expect(peer.count("stream.open") + peer.count("result")).toBe(0);
});

/** Any open file: all share their methods. */
async function disk(): Promise<FileHandle> {
  await using file = await open(fileURLToPath(import.meta.url));
  return file;
}

describe("the same call again", () => {
  test("while it runs is accepted again and runs once", async () => {
    await using world = await node();
    let finish = () => {};
    world.snap.current = (args, tools) =>
      new Promise((resolve) => (finish = () => resolve(snap(args, tools))));
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke, invoke);
    await peer.next("accept");
    peer.send(invoke);
    expect(await peer.next("accept")).toMatchObject({ state: "running" });
    finish();
    await peer.next("result");
    expect(world.snap.runs).toBe(1);
  });

  test("after its end is answered with the stored frame, also under a new number and epoch", async () => {
    await using world = await node();
    const first = await world.connect();
    const invoke = world.invoke();
    first.send(invoke);
    const result = await first.next("result");
    world.cut();
    const second = await world.connect();
    second.send({ ...invoke, epoch: world.link.epoch, n: 99, grant: id("NEW") });
    expect(await second.next("result")).toEqual(result);
    expect(world.snap.runs).toBe(1);
  });

  test("with other content is a conflict", async () => {
    await using world = await node();
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke);
    await peer.next("result");
    peer.send({ ...invoke, args: { max_edge_px: 640 } });
    expect(await peer.next("error")).toMatchObject({ call: invoke.call, code: "conflict" });
    expect(world.snap.runs).toBe(1);
    expect(world.ledger.get(invoke.call)?.state).toBe("done");
  });

  test("is answered after a crash from the disk, content included", async () => {
    await using world = await node();
    const first = await world.connect();
    const invoke = world.invoke();
    first.send(invoke);
    const result = await first.next("result");
    await world.crash();
    const second = await world.connect();
    second.send({ t: "ledger.query", q: 1, calls: [{ call: invoke.call, n: invoke.n }] });
    expect(await second.next("ledger.answer")).toMatchObject({
      q: 1,
      ledger: world.ledger.id,
      items: [{ call: invoke.call, state: "done" }],
    });
    expect(await second.next("result")).toEqual(result);
    const open = await second.next("stream.open");
    expect(open).toMatchObject({ call: invoke.call, stream: result.streams[0]!.stream });
    expect(Buffer.compare((await second.content(open)).bytes, photo)).toBe(0);
    expect(world.snap.runs).toBe(1);
  });

  test("of class idempotent in doubt runs again under the same id", async () => {
    await using world = await node();
    world.snap.current = forever;
    const first = await world.connect();
    const invoke = world.invoke();
    first.send(invoke);
    await first.next("accept");
    await world.crash();
    world.snap.current = snap;
    const second = await world.connect();
    second.send({ t: "ledger.query", q: 1, calls: [{ call: invoke.call, n: invoke.n }] });
    expect(await second.next("ledger.answer")).toMatchObject({ items: [{ state: "doubt" }] });
    second.send({ ...invoke, epoch: world.link.epoch });
    await second.next("result");
    expect(world.ledger.get(invoke.call)).toMatchObject({ state: "done", starts: 2 });
  });

  test("of class idempotent in doubt that cannot run again is still told as unknown", async () => {
    await using world = await node();
    world.snap.current = forever;
    const first = await world.connect();
    const invoke = world.invoke();
    first.send(invoke);
    await first.next("accept");
    await world.crash();
    const second = await world.connect();
    const again = { ...invoke, epoch: world.link.epoch };
    second.send({ ...again, seen: 99 });
    expect(await second.next("error")).toMatchObject({ code: "deadline", effect: "unknown" });
    await setLock(world.home.dir, true);
    second.send(again);
    expect(await second.next("error")).toMatchObject({ code: "locked", effect: "unknown" });
  });

  test("of class once in doubt never runs again and is answered as unknown", async () => {
    await using world = await node();
    const peer = await world.connect();
    const invoke = world.invoke();
    // No capability of this agent is `once` yet: the row is written as an agent with one would have.
    const [row, stored] = world.ledger.receive({ ...invoke, effect: "once" }, digestOf(invoke));
    await stored;
    await world.ledger.run(row);
    row.state = "doubt";
    peer.send(invoke);
    expect(await peer.next("error")).toMatchObject({
      call: invoke.call,
      code: "interrupted",
      effect: "unknown",
    });
    expect(world.snap.runs).toBe(0);
    expect(world.ledger.get(invoke.call)?.state).toBe("doubt");
  });
});

describe("a call is stopped", () => {
  test("at its deadline, by the device itself", async () => {
    await using world = await node();
    world.snap.current = forever;
    const peer = await world.connect();
    peer.send(world.invoke({ ttl_ms: 4_000 }));
    expect(await peer.next("accept")).toMatchObject({ left_ms: 4_000 });
    world.clock.pass(4_000);
    expect(await peer.next("error")).toMatchObject({
      code: "timeout",
      effect: "unknown",
      retry: "later",
    });
  });

  test("on request, once, and says so again when asked again", async () => {
    await using world = await node();
    world.info.current = forever;
    const peer = await world.connect();
    const invoke = world.invoke({ cap: "device.info", effect: "read" });
    peer.send(invoke);
    await peer.next("accept");
    peer.send(
      { t: "cancel", call: invoke.call, why: "owner" },
      { t: "cancel", call: invoke.call, why: "owner" },
    );
    expect(await peer.next("error")).toMatchObject({ code: "cancelled", effect: "none" });
    await settle();
    expect(peer.count("error")).toBe(1);
    expect(world.ledger.get(invoke.call)?.state).toBe("cancelled");
    peer.send({ t: "cancel", call: invoke.call, why: "owner" });
    expect(await peer.next("error")).toMatchObject({ code: "cancelled" });
  });

  test("although its driver ignores it, whose place stays taken", async () => {
    await using world = await node();
    world.snap.current = () => new Promise(() => {});
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke);
    await peer.next("accept");
    peer.send({ t: "cancel", call: invoke.call, why: "owner" });
    await settle();
    world.clock.pass(1_000);
    expect(await peer.next("error")).toMatchObject({ code: "cancelled", effect: "unknown" });
    peer.send(world.invoke());
    expect(await peer.next("error")).toMatchObject({ code: "busy" });
  });

  test("and its content does not leave", async () => {
    await using world = await node();
    world.snap.current = async (args, tools) => {
      await snap(args, tools);
      return await forever(args, tools);
    };
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke);
    await peer.next("accept");
    peer.send({ t: "cancel", call: invoke.call, why: "revoked" });
    await peer.next("error");
    world.clock.pass(5_000);
    await settle();
    expect(peer.count("stream.open")).toBe(0);
    expect(world.outgoing.open).toBe(0);
  });
});

describe("a driver that fails", () => {
  const cases: [name: string, run: typeof snap, code: string, effect: string][] = [
    [
      "with a code keeps its words",
      async () => {
        throw new KithError("camera-busy", "in use by Zoom");
      },
      "camera-busy",
      "none",
    ],
    [
      "after it may have begun leaves doubt",
      async () => {
        throw new KithError("driver", "ffmpeg ended with 1");
      },
      "driver",
      "unknown",
    ],
    [
      "with a stranger's error loses its words",
      async () => {
        throw new Error("/home/ada/secret.txt");
      },
      "driver",
      "unknown",
    ],
    [
      "at once is as one that fails later",
      () => {
        throw new TypeError("x is undefined");
      },
      "driver",
      "unknown",
    ],
    [
      "by a result of another shape",
      async (args, tools) => ({ ...((await snap(args, tools)) as object), path: "/etc/passwd" }),
      "bad-result",
      "unknown",
    ],
    [
      "by a result with control characters",
      async () => ({ taken_at_ms: 1, camera: "a\u001b[2J", width_px: 1, height_px: 1 }),
      "bad-result",
      "unknown",
    ],
    [
      "by content that its capability does not name",
      async (_, tools) => {
        tools.stream("video", "image/jpeg", { bytes: photo });
        return {};
      },
      "bad-result",
      "unknown",
    ],
    [
      "by content of another type",
      async (_, tools) => {
        tools.stream("image", "text/html", { bytes: photo });
        return {};
      },
      "bad-result",
      "unknown",
    ],
    [
      "by content larger than asked for",
      async (_, tools) => {
        tools.stream("image", "image/jpeg", { bytes: new Uint8Array(33_554_433) });
        return {};
      },
      "too-big",
      "none",
    ],
  ];
  test.each(cases)("%s", async (_, run, code, effect) => {
    await using world = await node();
    world.snap.current = run;
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke);
    const error = await peer.next("error");
    expect(error).toMatchObject({ call: invoke.call, code, effect });
    expect(error.text).not.toMatch(/secret|passwd|undefined/);
    expect(world.ledger.get(invoke.call)?.state).toBe("failed");
    expect(peer.count("stream.open")).toBe(0);
    expect(world.outgoing.open).toBe(0);
  });

  test("of a read never leaves doubt", async () => {
    await using world = await node();
    world.info.current = async () => {
      throw new Error("x");
    };
    const peer = await world.connect();
    peer.send(world.invoke({ cap: "device.info", effect: "read" }));
    expect(await peer.next("error")).toMatchObject({ code: "driver", effect: "none" });
  });
});

describe("a question at the device", () => {
  const asking = { "camera.snap": "ask" } as const;

  test("is asked before the driver starts, and yes lets it run", async () => {
    await using world = await node(asking);
    const peer = await world.connect();
    const invoke = world.invoke({ ttl_ms: 60_000 });
    const asked: string[] = [];
    world.consent.listen(({ call, cap, text }) => asked.push(`${call} ${cap} ${text}`));
    peer.send(invoke);
    expect(await peer.next("accept")).toMatchObject({ state: "asking" });
    expect(asked).toEqual([
      `${invoke.call} camera.snap Your assistant wants to use camera.snap here, a photo. Allow it this once?`,
    ]);
    expect(world.snap.runs).toBe(0);
    expect(world.consent.answer(invoke.call, true)).toBe(true);
    expect(await peer.next("accept")).toMatchObject({ state: "running" });
    await peer.next("result");
    expect(world.consent.answer(invoke.call, false)).toBe(false);
  });

  test.each([
    ["no", async (world: NodeWorld, call: string) => void world.consent.answer(call, false)],
    ["silence for a minute", (world: NodeWorld) => world.live(60_000)],
  ])("ends with denied-person at %s", async (_, answer) => {
    await using world = await node(asking);
    const peer = await world.connect();
    const invoke = world.invoke({ ttl_ms: 600_000 });
    peer.send(invoke);
    await peer.next("accept");
    await answer(world, invoke.call);
    expect(await peer.next("error")).toMatchObject({ code: "denied-person", effect: "none" });
    expect(world.snap.runs).toBe(0);
    expect(world.consent.questions).toEqual([]);
  });

  test("ends with the call's own time, as silence", async () => {
    await using world = await node(asking);
    const peer = await world.connect();
    peer.send(world.invoke({ ttl_ms: 5_000 }));
    await peer.next("accept");
    world.clock.pass(5_000);
    expect(await peer.next("error")).toMatchObject({ code: "denied-person", effect: "none" });
  });

  test("takes nothing of the time that the driver has", async () => {
    await using world = await node({ "device.info": "ask" });
    world.info.current = forever;
    const peer = await world.connect();
    const invoke = world.invoke({ cap: "device.info", effect: "read", ttl_ms: 40_000 });
    peer.send(invoke);
    expect(await peer.next("accept")).toMatchObject({ state: "asking", left_ms: 40_000 });
    await world.live(30_000);
    expect(world.consent.answer(invoke.call, true)).toBe(true);
    expect(await peer.next("accept")).toMatchObject({ state: "running", left_ms: 5_000 });
    world.clock.pass(4_999);
    await settle();
    expect(peer.count("error")).toBe(0);
    world.clock.pass(1);
    expect(await peer.next("error")).toMatchObject({ code: "timeout" });
  });

  test("leaves the driver no more than what remains of the call", async () => {
    await using world = await node({ "device.info": "ask" });
    world.info.current = forever;
    const peer = await world.connect();
    const invoke = world.invoke({ cap: "device.info", effect: "read", ttl_ms: 12_000 });
    peer.send(invoke);
    await peer.next("accept");
    await world.live(10_000);
    world.consent.answer(invoke.call, true);
    expect(await peer.next("accept")).toMatchObject({ state: "running", left_ms: 2_000 });
    world.clock.pass(2_000);
    expect(await peer.next("error")).toMatchObject({ code: "timeout" });
  });

  test("is withdrawn by cancel", async () => {
    await using world = await node(asking);
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke);
    await peer.next("accept");
    peer.send({ t: "cancel", call: invoke.call, why: "owner" });
    expect(await peer.next("error")).toMatchObject({ code: "cancelled", effect: "none" });
    expect(world.consent.questions).toEqual([]);
    expect(world.snap.runs).toBe(0);
  });

  test("is worth nothing when the device was locked meanwhile", async () => {
    await using world = await node(asking);
    const peer = await world.connect();
    const invoke = world.invoke();
    peer.send(invoke);
    await peer.next("accept");
    await setLock(world.home.dir, true);
    world.consent.answer(invoke.call, true);
    expect(await peer.next("error")).toMatchObject({ code: "locked", effect: "none" });
    expect(world.snap.runs).toBe(0);
  });
});

describe("the ledger is asked", () => {
  test("about calls in every state", async () => {
    await using world = await node({ "camera.snap": "ask", "device.info": "allow" });
    const peer = await world.connect();
    const done = world.invoke({ cap: "device.info", effect: "read" });
    peer.send(done);
    await peer.next("result");
    const running = world.invoke({ cap: "device.info", effect: "read" });
    world.info.current = forever;
    peer.send(running);
    await peer.next("accept");
    const asking = world.invoke();
    peer.send(asking);
    await peer.next("accept");
    const before = peer.count("result");
    peer.send({
      t: "ledger.query",
      q: 9,
      calls: [done, running, asking, { call: id("NEVER"), n: 77 }].map(({ call, n }) => ({
        call,
        n,
      })),
    });
    expect(await peer.next("ledger.answer")).toMatchObject({
      ...{ q: 9, floor: 0 },
      items: [{ state: "done" }, { state: "running" }, { state: "asking" }, { state: "absent" }],
    });
    expect(await peer.next("result")).toMatchObject({ call: done.call });
    expect(peer.count("result")).toBe(before + 1);
    world.info.current = info;
  });

  test("about a result whose content is gone", async () => {
    await using world = await node();
    const first = await world.connect();
    const invoke = world.invoke();
    first.send(invoke);
    const { streams } = await first.next("result");
    world.cut();
    world.clock.pass(15 * 60_000 + 30_000);
    await settle();
    const second = await world.connect();
    second.send({ t: "ledger.query", q: 1, calls: [{ call: invoke.call, n: invoke.n }] });
    await second.next("result");
    expect(await second.next("error")).toMatchObject({ stream: streams[0]!.stream, code: "gone" });
  });
});

test("a call goes on when its link is lost, and the next link gets its result", async () => {
  await using world = await node();
  let finish = () => {};
  world.snap.current = (args, tools) =>
    new Promise((resolve) => (finish = () => resolve(snap(args, tools))));
  const first = await world.connect();
  const invoke = world.invoke();
  first.send(invoke);
  await first.next("accept");
  world.cut();
  await settle();
  const second = await world.connect();
  second.send({ t: "ledger.query", q: 1, calls: [{ call: invoke.call, n: invoke.n }] });
  expect(await second.next("ledger.answer")).toMatchObject({ items: [{ state: "running" }] });
  finish();
  expect(await second.next("result")).toMatchObject({ call: invoke.call });
  expect(
    Buffer.compare((await second.content(await second.next("stream.open"))).bytes, photo),
  ).toBe(0);
  expect(world.snap.runs).toBe(1);
});

test("stopping everything ends each call with one terminal frame", async () => {
  await using world = await node();
  world.info.current = world.snap.current = forever;
  const peer = await world.connect();
  peer.send(world.invoke(), world.invoke({ cap: "device.info", effect: "read" }));
  await peer.next("accept");
  await peer.next("accept");
  await world.server.stopAll(new KithError("locked", "this device was locked"));
  expect(await peer.next("error")).toMatchObject({ code: "locked" });
  expect(await peer.next("error")).toMatchObject({ code: "locked" });
  expect(world.server.open).toBe(0);
});
