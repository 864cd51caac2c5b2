import { expect, test } from "vitest";
import { ANN, BEN, accept, diary, failing, note, read, start, stored } from "./diary.ts";

test("a message that fails twice is taken at the third try, in its place", async () => {
  const { world } = await start();
  failing.set("a", 2);
  await accept(world, ANN, note("a"), note("b"));
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual(["a", "b"]);
  expect(world.disk.dead).toEqual([]);
});

test("a message that fails three times is put aside with a notice, and the actor goes on", async () => {
  const { world } = await start();
  failing.set("poison", 99);
  await accept(world, ANN, note("a"), note("poison"), note("b"));
  await world.pass(60_000);
  expect(failing.get("poison")).toBe(96);
  expect(stored(world, ANN)).toEqual(["a", "b"]);
  expect(world.disk.dead).toMatchObject([{ env: { to: ANN, msg: "poison" }, error: "Error" }]);
  expect(world.disk.audit).toMatchObject([{ what: "message.dead", data: { actor: ANN } }]);
  expect(world.notices).toEqual(["A message (note) was put aside: it failed three times."]);
  // The same message again is known.
  await accept(world, ANN, note("poison"));
  await world.pass(60_000);
  expect(failing.get("poison")).toBe(96);
});

test("tries are counted over crashes of the process", async () => {
  const { world } = await start({
    kinds: [{ ...diary, restart: { max: 5, withinMs: 60_000, backoffMs: [10_000, 10_000] } }],
  });
  failing.set("poison", 99);
  await accept(world, ANN, note("poison"));
  for (let left = 97; left >= 96; left--) {
    await world.restart();
    await world.idle();
    expect(failing.get("poison")).toBe(left);
  }
  expect(world.disk.dead).toHaveLength(1);
  await world.restart();
  await world.pass(60_000);
  expect(failing.get("poison")).toBe(96);
});

test("a dead letter that the full disk refused is written when there is space", async () => {
  const { world } = await start();
  failing.set("poison", 99);
  await accept(world, ANN, note("poison"), note("b"));
  world.fate = (writes) => ({
    made: 0,
    answered: 0,
    end: writes.some(({ k }) => k === "dead") ? "full" : "ok",
  });
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual([]);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.pass(60_000);
  expect(world.disk.dead).toHaveLength(1);
  expect(stored(world, ANN)).toEqual(["b"]);
});

test("between two tries the actor waits, longer each time", async () => {
  const { world } = await start();
  world.rng.float = () => 0.5;
  failing.set("a", 2);
  await accept(world, ANN, note("a"));
  // Half of 100 ms after the first failure, half of 200 ms after the second.
  await world.pass(49);
  expect(failing.get("a")).toBe(1);
  await world.pass(1);
  expect(failing.get("a")).toBe(0);
  await world.pass(99);
  expect(stored(world, ANN)).toEqual([]);
  await world.pass(1);
  expect(stored(world, ANN)).toEqual(["a"]);
});

test("an actor that fails too often is stopped, says so, and keeps its messages", async () => {
  const { world } = await start({
    kinds: [{ ...diary, restart: { max: 1, withinMs: 60_000, backoffMs: [100, 100] } }],
  });
  failing.set("a", 2);
  await accept(world, ANN, note("a"), note("b"));
  const waiting = world.runtime.ask(ANN, read(), { deadlineMs: 60_000 });
  const refused = expect(waiting).rejects.toMatchObject({ code: "actor-down" });
  await world.pass(1_000);
  await refused;
  expect(world.notices).toEqual(["diary/ann was stopped: it failed too often."]);
  const fast = world.runtime.ask(ANN, read(), { deadlineMs: 60_000 });
  await expect(fast).rejects.toMatchObject({ code: "actor-down" });
  await accept(world, ANN, note("c"));
  await accept(world, BEN, note("x"));
  expect(stored(world, BEN)).toEqual(["x"]);
  expect(world.disk.inbox.size).toBe(3);
  // One try an hour.
  await world.pass(3_600_000);
  expect(stored(world, ANN)).toEqual(["a", "b", "c"]);
});

test("failures that lie long ago do not count towards too many", async () => {
  const { world } = await start({
    kinds: [{ ...diary, restart: { max: 1, withinMs: 60_000, backoffMs: [100, 100] } }],
  });
  for (const text of ["a", "b", "c"]) {
    failing.set(text, 1);
    await accept(world, ANN, note(text));
    await world.pass(70_000);
  }
  expect(stored(world, ANN)).toEqual(["a", "b", "c"]);
  expect(world.notices).toEqual([]);
});

test("falling asleep does not make an actor forget that it failed", async () => {
  const { world } = await start({
    kinds: [
      { ...diary, idleMs: 1_000, restart: { max: 1, withinMs: 60_000, backoffMs: [100, 100] } },
    ],
  });
  for (const text of ["a", "b"]) {
    failing.set(text, 1);
    await accept(world, ANN, note(text));
    await world.pass(25_000);
  }
  expect(world.notices).toEqual(["diary/ann was stopped: it failed too often."]);
});

test("turns that were in flight when a later one failed are neither lost nor done twice", async () => {
  const { world } = await start();
  failing.set("c", 1);
  world.fate = () => ({ made: 500, answered: 100, end: "ok" });
  const all = ["a", "b", "c", "d"].map((text) => world.runtime.accept(ANN, note(text), text));
  await world.pass(60_000);
  await Promise.all(all);
  expect(stored(world, ANN)).toEqual(["a", "b", "c", "d"]);
});

test("each failure leaves a row in the journal, at the turn before it", async () => {
  const { world } = await start();
  await accept(world, ANN, note("fine"));
  failing.set("a", 2);
  await accept(world, ANN, note("a"));
  await world.pass(60_000);
  expect(world.disk.journal).toMatchObject([
    { seq: 1, event: { type: "note", text: "fine" } },
    {
      seq: 1,
      event: { type: "runtime.crashed", on: "note", tries: 1, error: 'Error: cannot take "a"' },
    },
    { seq: 1, event: { type: "runtime.crashed", on: "note", tries: 2 } },
    { seq: 2, event: { type: "note", text: "a" } },
  ]);
});
