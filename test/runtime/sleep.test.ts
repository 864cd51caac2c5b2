/** An idle actor sleeps; its next message wakes it from disk, exactly as after a crash. */
import { expect, test } from "vitest";
import {
  ANN,
  BEN,
  accept,
  diary,
  failing,
  note,
  read,
  start,
  step,
  stored,
  timer,
} from "./diary.ts";

test("an idle actor leaves memory and wakes with the same state", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a"), note("b"));
  const before = world.disk.actors.get(ANN);
  expect(world.runtime.actors).toBe(1);
  await world.pass(80_000);
  expect(world.runtime.actors).toBe(0);
  expect(world.disk.actors.get(ANN)).toEqual(before);
  await accept(world, ANN, note("c"));
  expect(stored(world, ANN)).toEqual(["a", "b", "c"]);
  expect(world.disk.actors.get(ANN)?.seq).toBe(3);
});

test("an actor that sleeps and one that never did end alike", async () => {
  const { world } = await start({ kinds: [diary, { ...diary, name: "awake", idleMs: Infinity }] });
  for (const text of ["a", "b", "c"]) {
    await accept(world, ANN, note(text));
    await accept(world, "awake/ann", note(text));
    await world.pass(90_000);
    expect(world.runtime.actors).toBe(1);
  }
  expect(stored(world, ANN)).toEqual(stored(world, "awake/ann"));
});

test("timers and steps of a sleeping actor wake it", async () => {
  const { world, answers } = await start();
  answers.how = () => ({ ms: 100_000, event: note("done") });
  await accept(world, ANN, note("a", timer("nap", 200_000), step("read", "x", 300_000)));
  await world.pass(90_000);
  expect(world.runtime.actors).toBe(0);
  await world.pass(200_000);
  expect(stored(world, ANN)).toEqual(["a", "done", "nap"]);
});

test("an actor with a turn in flight stays awake", async () => {
  const { world } = await start();
  world.fate = () => ({ made: 200_000, answered: 0, end: "ok" });
  world.runtime.tell(ANN, note("a"));
  await world.pass(100_000);
  expect(world.runtime.actors).toBe(1);
});

test("a wake waits until the actor's own turns are on disk", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a"));
  world.rng.float = () => 0;
  // The commit takes longer than the wait after a failure.
  world.fate = () => ({ made: 1_000, answered: 0, end: "ok" });
  world.runtime.tell(ANN, note("b"));
  failing.set("c", 1);
  world.runtime.tell(ANN, note("c"));
  await world.pass(500);
  expect(failing.get("c")).toBe(0);
  const asked = world.runtime.ask(ANN, read(), { deadlineMs: 60_000 });
  await world.pass(10_000);
  expect(await asked).toBe("read");
  expect(stored(world, ANN)).toEqual(["a", "b", "c", "read"]);
});

test("an actor that waits for its own commit does not keep the processor busy", async () => {
  const { world } = await start();
  world.rng.float = () => 0;
  world.fate = () => ({ made: 1_000, answered: 0, end: "ok" });
  world.runtime.tell(ANN, note("b"));
  failing.set("c", 1);
  world.runtime.tell(ANN, note("c"));
  let steps = 0;
  while (world.mono < 999 && (await world.step(999))) steps++;
  expect(steps).toBeLessThan(10);
});

test("ten thousand actors are born, sleep and wake", async () => {
  const { world } = await start();
  const ids = Array.from({ length: 10_000 }, (_, n) => `diary/${n}` as const);
  for (const id of ids) world.runtime.tell(id, note("a"));
  await world.idle();
  expect(world.runtime.actors).toBe(10_000);
  await world.pass(80_000);
  expect(world.runtime.actors).toBe(0);
  await accept(world, BEN, note("b"));
  for (const id of ids.slice(0, 100)) world.runtime.tell(id, note("b"));
  await world.idle();
  expect(stored(world, "diary/99")).toEqual(["a", "b"]);
});
