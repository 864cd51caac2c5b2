import { expect, test } from "vitest";
import { Due } from "@kith/gateway/runtime/due";
import { Seeded, World } from "../support/world.ts";

function start() {
  const world = new World({ kinds: [] });
  const fired: string[] = [];
  const due = new Due(world.clock());
  const set = (key: string, ms: number) =>
    due.set(key, ms, () => fired.push(`${key}@${world.mono}`));
  return { world, due, fired, set };
}

test("things fire in the order in which they fall due, equals as they were set", async () => {
  const { world, fired, set } = start();
  set("c", 30);
  set("a", 10);
  set("b1", 20);
  set("b2", 20);
  set("b3", 20);
  await world.pass(40);
  expect(fired).toEqual(["a@10", "b1@20", "b2@20", "b3@20", "c@30"]);
});

test("setting a key again replaces it, to an earlier or a later time", async () => {
  const { world, fired, set } = start();
  set("a", 10);
  set("a", 20);
  set("b", 30);
  set("b", 5);
  await world.pass(100);
  expect(fired).toEqual(["b@5", "a@20"]);
});

test("a cleared key never fires", async () => {
  const { world, due, fired, set } = start();
  set("a", 10);
  due.clear("a");
  set("b", 10);
  await world.pass(100);
  expect(fired).toEqual(["b@10"]);
});

test("a wait of days never asks the clock for more than 30 seconds", async () => {
  const { world, fired, set } = start();
  // The clock throws at more.
  set("later", 30 * 86_400_000);
  set("soon", 31_000);
  await world.pass(86_400_000);
  expect(fired).toEqual(["soon@31000"]);
  await world.pass(29 * 86_400_000 - 1);
  expect(fired).toHaveLength(1);
  await world.pass(1);
  expect(fired[1]).toBe(`later@${30 * 86_400_000}`);
});

test("something that fires may set itself again", async () => {
  const { world, due } = start();
  let count = 0;
  const again = (): void => void (++count < 5 && due.set("tick", 10, again));
  again();
  await world.pass(1_000);
  expect(count).toBe(5);
});

test("nothing fires after the stop, and nothing can be set", async () => {
  const { world, due, fired, set } = start();
  set("a", 10);
  due.stop();
  set("b", 10);
  await world.pass(100);
  expect(fired).toEqual([]);
});

test("a thousand keys, set, replaced and cleared by chance, fire as a sorted list would", async () => {
  const { world, due, fired, set } = start();
  const rng = new Seeded(7);
  const model = new Map<string, { at: number; order: number }>();
  for (let n = 0; n < 3_000; n++) {
    const key = `k${rng.below(1_000)}`;
    if (rng.chance(0.4)) {
      due.clear(key);
      model.delete(key);
      continue;
    }
    const ms = rng.below(90_000);
    set(key, ms);
    model.set(key, { at: ms, order: n });
  }
  await world.pass(90_000);
  const expected = [...model].toSorted(([, a], [, b]) => a.at - b.at || a.order - b.order);
  expect(fired).toEqual(expected.map(([key, { at }]) => `${key}@${at}`));
});

test("what is set when many wait fires in its time, unless it was cleared while it was young", async () => {
  const { world, due, fired, set } = start();
  for (let n = 0; n < 200; n++) set(`many${n}`, 60_000);
  set("late", 5_000);
  set("gone", 5_000);
  set("soon", 900);
  set("just", 1_001);
  set("moved", 2_000);
  await world.pass(500);
  due.clear("gone");
  set("moved", 100);
  await world.pass(6_000);
  expect(fired).toEqual(["moved@600", "soon@900", "just@1001", "late@5000"]);
});
