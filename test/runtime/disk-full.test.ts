import { expect, test } from "vitest";
import { ANN, BEN, accept, failing, note, read, start, step, stored, timer } from "./diary.ts";

const full = () => ({ made: 0, answered: 0, end: "full" }) as const;
const room = () => ({ made: 0, answered: 0, end: "ok" }) as const;

test("a full disk refuses new work, keeps what was accepted, and goes on when there is room", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a"));
  world.fate = (writes) => (writes[0]?.k === "accept" ? room() : full());
  await accept(world, ANN, note("b"));
  world.fate = full;
  await expect(world.runtime.accept(ANN, note("c"), "c")).rejects.toMatchObject({
    code: "disk-full",
  });
  await expect(world.runtime.ask(BEN, read(), { deadlineMs: 1_000 })).rejects.toMatchObject({
    code: "disk-full",
  });
  await world.pass(600_000);
  expect(world.notices).toEqual([
    "The disk is full. What was accepted is safe; new work is refused.",
  ]);
  expect(stored(world, ANN)).toEqual(["a"]);
  world.fate = room;
  await world.pass(10_000);
  expect(stored(world, ANN)).toEqual(["a", "b"]);
  await accept(world, ANN, note("c"));
  expect(stored(world, ANN)).toEqual(["a", "b", "c"]);
});

test("a message whose own row was refused is not acknowledged, and may come again", async () => {
  const { world } = await start();
  world.fate = full;
  const refused = world.runtime.accept(ANN, note("a"), "a");
  await Promise.all([expect(refused).rejects.toMatchObject({ code: "disk-full" }), world.idle()]);
  world.fate = room;
  await world.pass(10_000);
  expect(stored(world, ANN)).toEqual([]);
  await accept(world, ANN, note("a"));
  expect(stored(world, ANN)).toEqual(["a"]);
});

test("turns that were rolled back run again, in their order and once", async () => {
  const { world } = await start();
  world.fate = (writes) =>
    writes[0]?.k === "accept" ? room() : { made: 100, answered: 0, end: "full" };
  const effects = [
    step("read"),
    timer("nap", 50),
    { kind: "tell", to: BEN, event: note("x") },
  ] as const;
  await accept(world, ANN, note("a", ...effects), note("b"), note("c"));
  await world.pass(5_000);
  expect(stored(world, ANN)).toEqual([]);
  world.fate = room;
  await world.pass(60_000);
  expect(stored(world, ANN).slice(0, 3)).toEqual(["a", "b", "c"]);
  expect(stored(world, ANN).toSorted()).toEqual(["a", "b", "c", "done", "nap"]);
  expect(stored(world, BEN)).toEqual(["x"]);
});

test("a turn that gathered behind the one that was rolled back goes with it", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a"));
  world.fate = () => ({ made: 100, answered: 0, end: "full" });
  world.runtime.tell(ANN, note("b"));
  await world.pass(50);
  world.runtime.tell(ANN, note("c"));
  await world.pass(60);
  world.fate = room;
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "c"]);
});

test("a timer that fired into a rolled back turn fires again, once", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 1_000), timer("later", 1_500)));
  world.fate = full;
  await world.pass(30_000);
  expect(stored(world, ANN)).toEqual(["a"]);
  world.fate = room;
  await world.pass(60_000);
  expect(stored(world, ANN).toSorted()).toEqual(["a", "later", "nap"]);
  expect(world.disk.timers.size).toBe(0);
});

test("a full disk is not asked again all the time", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a", timer("nap", 100)), note("b", timer("pip", 100)));
  let asked = 0;
  world.fate = () => {
    asked++;
    return full();
  };
  await world.pass(60_000);
  expect(asked).toBeLessThan(70_000 / 2_000);
  expect(asked).toBeGreaterThan(50_000 / 2_000);
});

test("an actor that was waiting out a failure keeps its message over a rollback", async () => {
  const { world } = await start();
  failing.set("b", 1);
  world.fate = (writes) =>
    writes[0]?.k === "accept" ? room() : { made: 10, answered: 0, end: "full" };
  await accept(world, ANN, note("a"), note("b"), note("c"));
  await world.pass(30_000);
  world.fate = room;
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "c"]);
});
