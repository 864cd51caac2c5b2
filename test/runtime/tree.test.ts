/** What operators see of the actors, and what they may do about those in trouble. */
import { expect, test } from "vitest";
import { ANN, BEN, accept, diary, failing, note, start, stored } from "./diary.ts";

test("the tree names failures, waiting messages and actors that are down, the worst first", async () => {
  const { world } = await start({
    kinds: [{ ...diary, restart: { max: 0, withinMs: 60_000, backoffMs: [100, 100] } }],
  });
  failing.set("bad", 1);
  await accept(world, BEN, note("fine"));
  await accept(world, ANN, note("bad"), note("next"));
  await world.pass(1_000);
  const [kind] = world.runtime.tree();
  expect(kind).toMatchObject({ kind: "diary", live: 2, asleep: 0, down: 1, restarts: 1 });
  expect(kind?.actors).toMatchObject([
    { id: ANN, status: "down", restarts: 1, lastError: expect.stringContaining("bad"), mailbox: 2 },
    { id: BEN, status: "awake", restarts: 0, mailbox: 0 },
  ]);
});

test("one that sleeps is counted, not woken", async () => {
  const { world } = await start({ kinds: [{ ...diary, idleMs: 1_000 }] });
  await accept(world, ANN, note("a"));
  await world.pass(120_000);
  expect(world.runtime.tree()).toMatchObject([{ kind: "diary", live: 0, asleep: 1, actors: [] }]);
});

test("an operator starts one again that is down, without the hour's wait", async () => {
  const { world } = await start({
    kinds: [{ ...diary, restart: { max: 0, withinMs: 60_000, backoffMs: [100, 100] } }],
  });
  failing.set("bad", 1);
  await accept(world, ANN, note("bad"));
  await world.pass(1_000);
  expect(stored(world, ANN)).toEqual([]);
  expect(world.runtime.restart(ANN)).toBe(true);
  expect(world.runtime.restart("diary/nobody")).toBe(false);
  await world.pass(1_000);
  expect(stored(world, ANN)).toEqual(["bad"]);
});

test("a dead letter is offered once more, or dropped, and is then gone", async () => {
  const { world } = await start();
  failing.set("poison", 3);
  failing.set("worse", 3);
  await accept(world, ANN, note("poison"), note("worse"));
  await world.pass(60_000);
  const [worse, poison] = world.disk.dead.toReversed();
  if (!poison || !worse) throw new Error("nothing was put aside");
  const buried = [world.runtime.bury(poison, true), world.runtime.bury(worse, false)];
  await world.pass(60_000);
  await Promise.all(buried);
  expect(stored(world, ANN)).toEqual(["poison"]);
  expect(world.disk.dead).toEqual([]);
});

test("the journal says where the machine stood after each turn and what it asked for", async () => {
  const { world } = await start();
  await accept(
    world,
    ANN,
    note("a", { kind: "timer", name: "later", inMs: 1_000, event: note("b") }),
  );
  await world.pass(10_000);
  expect(world.disk.journal).toMatchObject([
    { seq: 1, state: expect.anything(), owed: ["timer later"] },
    { seq: 2, state: expect.anything(), owed: [] },
  ]);
});
