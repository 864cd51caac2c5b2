import { expect, test } from "vitest";
import type { Effect } from "@kith/gateway/runtime/effect";
import { ANN, accept, diary, failing, note, start, stored, timer } from "./diary.ts";

const untimer = (name: string): Effect => ({ kind: "untimer", name });
const DAY_MS = 86_400_000;

test("a timer fires once, at its time, and its row goes with the turn", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 40_000)));
  await world.pass(39_999);
  expect(stored(world, ANN)).toEqual(["a"]);
  await world.pass(1);
  expect(stored(world, ANN)).toEqual(["a", "nap"]);
  expect(world.disk.timers.size).toBe(0);
  await world.restart();
  await world.pass(DAY_MS);
  expect(stored(world, ANN)).toEqual(["a", "nap"]);
});

test("a timer fires once over restarts, also when it fell due while nobody ran", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 40_000), timer("month", 30 * DAY_MS)));
  await world.pass(20_000);
  await world.restart();
  await world.pass(19_999);
  expect(stored(world, ANN)).toEqual(["a"]);
  world.crash();
  await world.pass(60_000);
  await world.boot();
  await world.idle();
  expect(stored(world, ANN)).toEqual(["a", "nap"]);
  await world.pass(30 * DAY_MS);
  expect(stored(world, ANN)).toEqual(["a", "nap", "month"]);
});

test("a crash between the fire and its commit fires it again, once", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 1_000)));
  world.fate = () => ({ made: 0, answered: 0, end: "crash-before" });
  await world.pass(1_000);
  expect(world.process).toBeUndefined();
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.boot();
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "nap"]);
});

test("setting a timer again replaces it", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 1_000, "old")));
  await accept(world, ANN, note("b", timer("nap", 5_000, "new")));
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "new"]);
});

test("a timer that is taken away does not fire, not even after a restart", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 1_000), timer("other", 1_000)));
  await accept(world, ANN, note("b", untimer("nap")));
  await world.restart();
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "other"]);
});

test.each([
  ["taken away", untimer("nap"), []],
  ["set anew", timer("nap", 1_000, "new"), ["new"]],
])(
  "a fire is dropped when its timer was %s by a turn that is not on disk yet",
  async (_, effect, rest) => {
    const { world } = await start();
    await accept(world, ANN, note("a", timer("nap", 1_000, "old")));
    await world.pass(990);
    world.fate = () => ({ made: 100, answered: 0, end: "ok" });
    world.runtime.tell(ANN, note("b", effect));
    await world.pass(60_000);
    expect(stored(world, ANN)).toEqual(["a", "b", ...rest]);
  },
);

test("a fire that waits in the mailbox is dropped when a message before it sets its timer anew", async () => {
  const { world } = await start();
  world.rng.float = () => 0.5;
  await accept(world, ANN, note("a", timer("nap", 1_000, "old")));
  await world.pass(990);
  // Its actor waits 50 ms after this failure; meanwhile the timer fires.
  failing.set("b", 1);
  world.runtime.tell(ANN, note("b", timer("nap", 1_000, "new")));
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "new"]);
});

test("one turn may end a timer and set it again", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 1_000)));
  await accept(world, ANN, note("b", untimer("nap"), timer("nap", 2_000, "again")));
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "again"]);
});

test("a timer that nobody handles any more is gone from the disk too", async () => {
  const { world } = await start();
  const unheard = { kind: "timer", name: "t", inMs: 10, event: { type: "unheard" } } as const;
  await accept(world, ANN, note("a", unheard));
  await world.pass(1_000);
  expect(world.runtime.ignored.get("unheard")).toBe(1);
  expect(world.disk.timers.size).toBe(0);
});

test("a timer whose turn always fails is put aside and does not come back at the next start", async () => {
  const { world } = await start();
  failing.set("nap", 99);
  await accept(world, ANN, note("a", timer("nap", 10)));
  await world.pass(60_000);
  expect(world.disk.dead).toMatchObject([{ env: { timer: "nap" } }]);
  await world.restart();
  await world.pass(60_000);
  expect(failing.get("nap")).toBe(96);
});

test("a fire that finds the mailbox full is offered again", async () => {
  const { world } = await start({ kinds: [{ ...diary, mailbox: { normal: 1, control: 1 } }] });
  await accept(world, ANN, note("a", timer("nap", 1_000)));
  failing.set("b", 2);
  await world.pass(950);
  world.runtime.tell(ANN, note("b"));
  await world.idle();
  expect(world.runtime.tell(ANN, note("c"))).toBe(true);
  expect(world.runtime.tell(ANN, note("d"))).toBe(false);
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "c", "nap"]);
});

test("a clock that is set moves no timer within one run", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 60_000)));
  world.setClock(2 * 3_600_000);
  await world.pass(59_999);
  expect(stored(world, ANN)).toEqual(["a"]);
  world.setClock(-5 * DAY_MS);
  await world.pass(1);
  expect(stored(world, ANN)).toEqual(["a", "nap"]);
});
