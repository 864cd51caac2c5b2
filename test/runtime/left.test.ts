/** What the last process left is taken up little by little: it does not stand before who speaks now. */
import type { ActorId } from "@kith/gateway/runtime/effect";
import { expect, test } from "vitest";
import { accept, ANN, note, start, stored } from "./diary.ts";

const MANY = 500;

/** A process that begins with one message for each of many actors, and two for the last of them. */
async function crashed() {
  const { world } = await start();
  world.fate = (writes) => ({
    made: 0,
    answered: 0,
    end: writes.some(({ k }) => k === "taken") ? "held" : "ok",
  });
  const actors = Array.from({ length: MANY }, (_, at): ActorId => `diary/${at}`);
  for (const actor of actors) void accept(world, actor, note("first")).catch(() => {});
  await world.idle();
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  expect(world.disk.inbox.size).toBe(MANY);
  const taken: string[] = [];
  world.onCommit = (writes) => {
    for (const write of writes) if (write.k === "taken") taken.push(write.to);
  };
  await world.restart();
  return { world, actors, taken };
}

test("a message that comes after the start is handled long before all that waited", async () => {
  const { world, taken } = await crashed();
  void accept(world, ANN, note("now"));
  await world.pass(1_000);
  expect(taken).toHaveLength(MANY + 1);
  expect(taken.indexOf(ANN)).toBeLessThan(MANY / 2);
});

test("a message for an actor whose earlier ones still wait does not overtake them", async () => {
  const { world, actors } = await crashed();
  const last = actors.at(-1) as ActorId;
  void accept(world, last, note("second"));
  await world.pass(1_000);
  expect(stored(world, last)).toEqual(["first", "second"]);
});
