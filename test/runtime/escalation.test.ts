import type { ActorId } from "@kith/gateway/runtime/effect";
import { expect, test } from "vitest";
import { accept, diary, failing, note, read, start, stored } from "./diary.ts";

const fragile = [{ ...diary, restart: { max: 0, withinMs: 60_000, backoffMs: [1, 1] as const } }];
const many = (n: number) => Array.from({ length: n }, (_, at): ActorId => `diary/n${at}`);

/** Every one of them fails once, each by an error of its own unless `same`. */
async function broken(n: number) {
  const { world } = await start({ kinds: fragile });
  for (const id of many(n)) {
    failing.set(`bad ${id}`, 1);
    await accept(world, id, note(`bad ${id}`));
  }
  await world.pass(5_000);
  return world;
}

test("twenty actors that are stopped are told one by one; one more degrades the kind, told once", async () => {
  const told = (await broken(20)).notices;
  expect(told.filter((text) => text.includes("was stopped"))).toHaveLength(20);
  const { notices } = await broken(30);
  expect(notices.filter((text) => text.includes("was stopped"))).toHaveLength(20);
  expect(notices.filter((text) => text.startsWith("Many of kind diary"))).toHaveLength(1);
});

test("a degraded kind wakes one a minute, and all when that one succeeds", async () => {
  const world = await broken(30);
  const fresh: ActorId = "diary/fresh";
  await accept(world, fresh, note("hello"));
  await world.pass(30_000);
  expect(stored(world, fresh)).toEqual([]);
  await world.pass(60_000);
  expect(stored(world, fresh)).toEqual(["hello"]);
  expect(world.notices).toContain("Those of kind diary work again.");
});

test("an operator who starts one again ends it at once, for all that waited", async () => {
  const world = await broken(30);
  const [first = "diary/n0"] = many(1);
  const fresh: ActorId = "diary/fresh";
  await accept(world, fresh, note("hello"));
  expect(world.runtime.tree()).toMatchObject([{ kind: "diary", degraded: true }]);
  expect(world.runtime.restart(first)).toBe(true);
  await world.pass(1_000);
  expect(stored(world, first)).toEqual([`bad ${first}`]);
  expect(stored(world, fresh)).toEqual(["hello"]);
  expect(world.runtime.tree()).toMatchObject([{ kind: "diary", degraded: false }]);
});

test("one that was awake goes on, and does not speak for those that are not woken", async () => {
  const { world } = await start({ kinds: fragile });
  const awake: ActorId = "diary/awake";
  await accept(world, awake, note("before"));
  for (const id of many(30)) {
    failing.set(`bad ${id}`, 1);
    await accept(world, id, note(`bad ${id}`));
  }
  await accept(world, awake, note("after"));
  expect(stored(world, awake)).toEqual(["before", "after"]);
  expect(world.runtime.tree()).toMatchObject([{ degraded: true }]);
  expect(world.notices.filter((text) => text.includes("again"))).toEqual([]);
});

test("a probe that is sick by itself does not keep the others waiting for ever", async () => {
  const { world } = await start({ kinds: fragile });
  for (const id of many(30)) {
    failing.set(`bad ${id}`, id === "diary/n0" ? 99 : 1);
    await accept(world, id, note(`bad ${id}`));
  }
  await world.pass(90_000);
  expect(world.runtime.tree()).toMatchObject([{ degraded: true }]);
  await world.pass(60_000);
  expect(world.runtime.tree()).toMatchObject([{ degraded: false }]);
});

test("whoever asks one that is held is told at once, also when the question waited already", async () => {
  const { world } = await start({ kinds: fragile });
  for (const id of many(20)) {
    failing.set(`bad ${id}`, 1);
    await accept(world, id, note(`bad ${id}`));
  }
  const sleeper: ActorId = "diary/sleeper";
  failing.set("last", 1);
  const asks = [sleeper, sleeper].map((id) =>
    world.runtime.ask(id, read("last"), { deadlineMs: 600_000 }),
  );
  const refused = expect(Promise.allSettled(asks)).resolves.toMatchObject([
    { reason: { code: "actor-down" } },
    { reason: { code: "actor-down" } },
  ]);
  await world.pass(1_000);
  await refused;
  const late = world.runtime.ask("diary/other", read(), { deadlineMs: 600_000 });
  await expect(late).rejects.toMatchObject({ code: "actor-down" });
});
