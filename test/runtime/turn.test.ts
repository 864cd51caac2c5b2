/** One turn: what it changes, when its effects leave, and what a failing one leaves behind. */
import { assign, setup } from "xstate";
import { expect, test, vi } from "vitest";
import type { Event } from "@kith/gateway/runtime/effect";
import { emit } from "@kith/gateway/runtime/fx";
import type { MachineKind } from "@kith/gateway/runtime/kind";
import { World } from "../support/world.ts";
import { ANN, BEN, accept, diary, failing, note, start, step, stored, timer } from "./diary.ts";

const held = () => ({ made: 0, answered: 0, end: "held" }) as const;

test("nothing leaves before the commit: no step, no tell, no signal, no answer", async () => {
  const { world, outside } = await start();
  const heard = vi.fn();
  world.runtime.on("rang", heard);
  await accept(world, ANN, note("first"));
  world.fate = held;
  const asked = vi.fn();
  const effects = [
    step("read"),
    { kind: "tell", to: BEN, event: note("hello") },
    { kind: "signal", topic: "rang", data: 1 },
    { kind: "reply", value: "yes" },
  ] as const;
  void world.runtime.ask(ANN, note("all", ...effects), { deadlineMs: 60_000 }).then(asked);
  await world.pass(1_000);
  expect(outside.runs).toEqual([]);
  expect(heard).not.toHaveBeenCalled();
  expect(asked).not.toHaveBeenCalled();
  expect(stored(world, ANN)).toEqual(["first"]);

  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  world.held[0]?.make();
  await world.pass(1_000);
  // On disk, but nobody has told us so.
  expect(outside.runs).toEqual([]);
  world.held[0]?.answer();
  await world.pass(1_000);
  expect(outside.runs).toHaveLength(1);
  expect(heard).toHaveBeenCalledWith(1);
  expect(asked).toHaveBeenCalledWith("yes");
  expect(stored(world, ANN)).toEqual(["first", "all", "done"]);
  expect(stored(world, BEN)).toEqual(["hello"]);
});

test("a turn that fails leaves nothing of what it had already asked for", async () => {
  const { world, outside } = await start();
  failing.set("breaks", 1);
  world.fate = (writes) => {
    expect(writes.map(({ k }) => k)).not.toContain("step");
    return { made: 0, answered: 0, end: "ok" };
  };
  await accept(world, ANN, note("breaks", step("read"), timer("nap", 10)));
  expect(world.reports).toEqual([`diary/ann on note: cannot take "breaks"`]);
  expect(outside.runs).toEqual([]);
  expect(world.disk.timers.size).toBe(0);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.pass(1_000);
  expect(outside.runs).toHaveLength(1);
  expect(stored(world, ANN)).toEqual(["breaks", "nap", "done"]);
});

test("the error of one actor reaches neither the process nor the other actors", async () => {
  const { world } = await start();
  failing.set("breaks", 1);
  await Promise.all([accept(world, ANN, note("breaks")), accept(world, BEN, note("fine"))]);
  expect(stored(world, BEN)).toEqual(["fine"]);
});

test("a message that nobody handles is counted, taken, and changes nothing", async () => {
  const { world } = await start();
  await accept(world, ANN, note("first"));
  const before = world.disk.actors.get(ANN);
  void world.runtime.accept(ANN, { type: "unheard" }, "m2");
  await world.idle();
  expect(world.runtime.ignored.get("unheard")).toBe(1);
  expect(world.disk.actors.get(ANN)).toEqual(before);
  expect(world.disk.inbox.size).toBe(0);
  expect(world.runtime.tell(ANN, { type: "unheard" })).toBe(true);
  await world.idle();
  expect(world.runtime.ignored.get("unheard")).toBe(2);
});

test("an actor that ended takes its messages off the disk and stays as it is", async () => {
  const { world } = await start();
  await accept(world, ANN, note("first"));
  void world.runtime.accept(ANN, { type: "end" }, "m2");
  await world.idle();
  await accept(world, ANN, note("late"));
  expect(world.disk.actors.get(ANN)?.status).toBe("final");
  await world.restart();
  await accept(world, ANN, note("later"));
  expect(stored(world, ANN)).toEqual(["first", "end"]);
  expect(world.disk.inbox.size).toBe(0);
});

test("what a birth asks for is committed with its first turn, and not again at a wake", async () => {
  const machine = setup({
    types: { context: {} as { count: number }, input: {} as { id: string; event: Event } },
    actions: {
      cry: (_, { by }: { by: string }) => emit({ kind: "audit", what: `born.${by}`, data: {} }),
      count: assign({ count: ({ context }: { context: { count: number } }) => context.count + 1 }),
    },
  }).createMachine({
    context: ({ input }) => ({ count: input.event.type === "poke" ? 1 : 0 }),
    entry: { type: "cry", params: { by: "root" } },
    on: { poke: { actions: "count" } },
  });
  const child: MachineKind = { ...diary, name: "child", machine };
  const world = await World.start({ kinds: [child] });
  world.runtime.tell("child/1", { type: "poke" });
  await world.idle();
  expect(world.disk.commits).toBe(1);
  expect(world.disk.audit.map(({ what }) => what)).toEqual(["born.root"]);
  await world.restart();
  world.runtime.tell("child/1", { type: "poke" });
  await world.idle();
  expect(world.disk.audit).toHaveLength(1);
  expect(world.disk.actors.get("child/1")?.seq).toBe(2);
});

test("an entry action that throws at the birth is a failed turn, not a dead process", async () => {
  const machine = setup({
    actions: {
      fall: () => {
        throw new Error("stillborn");
      },
    },
  }).createMachine({ entry: "fall" });
  const child: MachineKind = { ...diary, name: "child", machine };
  const world = await World.start({ kinds: [child] });
  void world.runtime.accept("child/1", { type: "poke" }, "m1");
  await world.pass(60_000);
  expect(world.reports[0]).toBe("child/1 on poke: stillborn");
  expect(world.disk.dead).toHaveLength(1);
});

test("a context that outgrew 64 KiB is a failed turn of that actor alone", async () => {
  const { world } = await start();
  await accept(world, ANN, note("x".repeat(70_000)));
  await accept(world, BEN, note("fine"));
  await world.pass(60_000);
  expect(world.disk.dead).toMatchObject([{ env: { to: ANN }, error: "RangeError" }]);
  expect(stored(world, BEN)).toEqual(["fine"]);
  await accept(world, ANN, note("small"));
  expect(stored(world, ANN)).toEqual(["small"]);
});

test("a tell to a kind that does not exist fails the turn that asked for it", async () => {
  const { world } = await start();
  await accept(world, ANN, note("lost", { kind: "tell", to: "nobody/1", event: note("hello") }));
  await world.pass(60_000);
  expect(world.disk.dead).toMatchObject([{ env: { event: { text: "lost" } } }]);
  expect(world.disk.inbox.size).toBe(0);
});

test("rows of a kind that this version does not know stay where they are and harm nobody", async () => {
  const { world } = await start();
  const env = {
    to: "old/1",
    event: { type: "poke" },
    msg: "m",
    lane: "normal",
    durable: true,
  } as const;
  world.disk.apply([
    { k: "accept", env, at: 1 },
    { k: "timer", timer: { actor: "old/1", name: "t", due: 1, generation: 1, event: env.event } },
  ]);
  await world.restart();
  await accept(world, ANN, note("fine"));
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["fine"]);
  expect(world.disk.inbox.size).toBe(1);
  expect(world.disk.timers.size).toBe(1);
});

test("the same message three times is one turn: at once, after its commit, after a restart", async () => {
  const { world } = await start();
  const twice = [
    world.runtime.accept(ANN, note("a"), "m1"),
    world.runtime.accept(ANN, note("a"), "m1"),
  ];
  await world.idle();
  await Promise.all(twice);
  await accept(world, ANN, note("b"));
  await world.runtime.accept(ANN, note("a"), "m1");
  await world.restart();
  await world.runtime.accept(ANN, note("a"), "m1");
  await world.idle();
  expect(stored(world, ANN)).toEqual(["a", "b"]);
});

test("a message is acknowledged when it is on disk, not earlier", async () => {
  const { world } = await start();
  world.fate = held;
  const acked = vi.fn();
  void world.runtime.accept(ANN, note("a"), "m1").then(acked);
  await world.pass(1_000);
  expect(acked).not.toHaveBeenCalled();
  world.held[0]?.make();
  world.held[0]?.answer();
  await world.idle();
  expect(acked).toHaveBeenCalledOnce();
});

test("a message accepted and not yet handled is handled after a crash", async () => {
  const { world } = await start();
  world.fate = (writes) => ({
    made: 0,
    answered: 0,
    end: writes[0]?.k === "accept" ? "ok" : "held",
  });
  await accept(world, ANN, note("a"));
  expect(stored(world, ANN)).toEqual([]);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.restart();
  await world.idle();
  expect(stored(world, ANN)).toEqual(["a"]);
});

test("rows that come with a message are committed with it, and seen at once", async () => {
  const { world } = await start();
  const body = { session: ANN };
  const accepting = world.runtime.accept(ANN, note("a"), "m1", [
    { kind: "put", table: "chat", id: "c1", open: true, body },
  ]);
  expect(world.runtime.documents.get("chat", "c1")).toEqual(body);
  await world.idle();
  await accepting;
  expect(world.disk.documents.get("chat c1")?.body).toEqual(body);
});

test("a listener that throws keeps nothing from leaving", async () => {
  const { world, outside } = await start();
  world.runtime.on("rang", () => {
    throw new Error("deaf");
  });
  await accept(world, ANN, note("a", { kind: "signal", topic: "rang", data: 1 }, step("read")));
  expect(outside.runs).toHaveLength(1);
  expect(world.reports).toEqual(["a listener of rang: deaf"]);
});

test("one busy actor does not keep the others waiting: they take turns", async () => {
  const { world } = await start({ kinds: [{ ...diary, mailbox: { normal: 100, control: 2 } }] });
  const order: string[] = [];
  world.onCommit = (writes) => {
    for (const write of writes) if (write.k === "journal") order.push(write.actor);
  };
  for (let n = 0; n < 20; n++) void world.runtime.accept(ANN, note(`a${n}`), `a${n}`);
  void world.runtime.accept(BEN, note("b"), "b");
  await world.idle();
  expect(order).toHaveLength(21);
  expect(order.indexOf(BEN)).toBe(1);
});

test("after a fatal commit nothing more leaves this process", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 100, event: note("done") });
  await accept(world, ANN, note("a", step("read", "o"), step("read", "o")));
  expect(outside.runs).toHaveLength(1);
  const { runtime } = world;
  world.onFatal = () => {};
  world.disk.epoch++;
  runtime.tell(ANN, note("b"));
  await world.pass(60_000);
  expect(world.fatal).toMatchObject([{ code: "store-fenced" }]);
  expect(outside.runs).toHaveLength(1);
  await expect(runtime.accept(ANN, note("c"), "c")).rejects.toMatchObject({ code: "gateway-away" });
});
