/** Durable messages that find the mailbox full wait on disk and are read again, in order. */
import { expect, test } from "vitest";
import type { Effect } from "@kith/gateway/runtime/effect";
import { ANN, BEN, accept, failing, note, start, stored } from "./diary.ts";

const texts = (n: number, prefix = "n") => Array.from({ length: n }, (_, at) => `${prefix}${at}`);
const tells = (names: readonly string[]): Effect[] =>
  names.map((text) => ({ kind: "tell", to: BEN, event: note(text) }));

test("more tells than the mailbox holds are all handled once, in order", async () => {
  const { world } = await start();
  await accept(world, ANN, note("go", ...tells(texts(50))));
  await world.pass(1_000);
  expect(stored(world, BEN)).toEqual(texts(50));
  expect(world.disk.inbox.size).toBe(0);
});

test("what comes after a spilled message does not overtake it", async () => {
  const { world } = await start();
  failing.set("n0", 1);
  await accept(world, ANN, note("go", ...tells(texts(20))));
  // Ben waits out his failure with a full mailbox; these find it full, or find a place by chance.
  await accept(world, ANN, note("more", ...tells(texts(5, "m"))));
  await world.pass(60_000);
  expect(stored(world, BEN)).toEqual([...texts(20), ...texts(5, "m")]);
});

test("messages that wait on disk at the start are all handled, in order", async () => {
  const { world } = await start();
  world.fate = (writes) => ({
    made: 0,
    answered: 0,
    end: writes.some((write) => write.k === "taken" && write.to === BEN) ? "held" : "ok",
  });
  await accept(world, ANN, note("go", ...tells(texts(30))));
  expect(stored(world, BEN)).toEqual([]);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.restart();
  await world.pass(1_000);
  expect(stored(world, BEN)).toEqual(texts(30));
});

test("a message whose commit is on disk and not yet confirmed is not read a second time", async () => {
  const { world } = await start();
  // Written at once, confirmed late: a refill in between finds the rows of the next batch.
  let n = 0;
  world.fate = () => ({ made: 0, answered: (n++ % 5) * 20, end: "ok" });
  const names: string[] = [];
  for (let round = 0; round < 8; round++) {
    const more = texts(7, `r${round}.`);
    names.push(...more);
    world.runtime.tell(`diary/sender${round}`, note("go", ...tells(more)));
    await world.pass(15);
  }
  await world.pass(60_000);
  expect(stored(world, BEN).toSorted()).toEqual(names.toSorted());
});

test("a full mailbox refuses messages from outside, also those that come at once", async () => {
  const { world } = await start();
  failing.set("n0", 1);
  const all = texts(10).map((text) => world.runtime.accept(ANN, note(text), text));
  const settled = Promise.allSettled(all);
  await world.pass(60_000);
  const refused = (await settled).filter(({ status }) => status === "rejected");
  expect(refused).toHaveLength(6);
  expect(refused[0]).toMatchObject({ reason: { code: "mailbox-full" } });
  expect(stored(world, ANN)).toEqual(texts(4));
  await accept(world, ANN, note("n9"));
  expect(stored(world, ANN)).toEqual([...texts(4), "n9"]);
});
