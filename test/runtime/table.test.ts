/** Rows of one table share one cell: decided one after the other, restored from documents. */
import { expect, test } from "vitest";
import type { Envelope, Event } from "@kith/gateway/runtime/effect";
import { emit } from "@kith/gateway/runtime/fx";
import type { TableKind } from "@kith/gateway/runtime/kind";
import type { Runtime } from "@kith/gateway/runtime/runtime";
import { World } from "../support/world.ts";

interface Add extends Event {
  readonly type: "add" | "nap" | "read";
  readonly n: number;
}
const add = (n: number): Add => ({ type: "add", n });

/** Sums per row, in memory and as documents; `breaks` are numbers at which it throws, once each. */
async function start() {
  const sums = new Map<string, number>();
  const breaks = new Set<number>();
  let runtime: Runtime;
  let reloads = 0;
  const table: TableKind = {
    name: "sum",
    receive(env: Envelope) {
      const { type, n } = env.event as Add;
      const id = env.to.slice(4);
      if (type === "read") return emit({ kind: "reply", value: sums.get(id) });
      if (type === "nap")
        return emit({ kind: "timer", name: "add", inMs: 1_000, event: add(n) as Event });
      const sum = (sums.get(id) ?? 0) + n;
      sums.set(id, sum);
      emit({ kind: "put", table: "call", id, open: true, body: sum });
      if (breaks.delete(n)) throw new Error(`cannot add ${n}`);
    },
    reload() {
      reloads++;
      sums.clear();
      for (const id of ["a", "b"]) {
        const sum = runtime.documents.get<number>("call", id);
        if (sum !== undefined) sums.set(id, sum);
      }
    },
  };
  const world = await World.start({
    kinds: [table],
    boot: (process) => {
      runtime = process.runtime;
    },
  });
  const stored = (id: string) => world.disk.documents.get(`call ${id}`)?.body;
  return { world, sums, breaks, stored, reloads: () => reloads };
}

test("rows of a table keep their own state and are read again at a start", async () => {
  const { world, sums, stored } = await start();
  for (const [id, n] of [
    ["a", 1],
    ["b", 5],
    ["a", 2],
  ] as const)
    world.runtime.tell(`sum/${id}`, add(n));
  await world.idle();
  expect([stored("a"), stored("b")]).toEqual([3, 5]);
  await world.restart();
  expect(Object.fromEntries(sums)).toEqual({ a: 3, b: 5 });
});

test("a table forgets what was rolled back", async () => {
  const { world, sums, stored } = await start();
  world.runtime.tell("sum/a", add(1));
  await world.idle();
  world.fate = () => ({ made: 10, answered: 0, end: "full" });
  world.runtime.tell("sum/a", add(2));
  await world.idle();
  expect(sums.get("a")).toBe(3);
  await world.pass(10);
  expect(sums.get("a")).toBe(1);
  expect(world.runtime.documents.get("call", "a")).toBe(1);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.pass(60_000);
  expect([sums.get("a"), stored("a")]).toEqual([3, 3]);
});

test("a table that failed keeps the turns that are not on disk yet", async () => {
  const { world, breaks, sums, stored } = await start();
  world.fate = () => ({ made: 500, answered: 0, end: "ok" });
  breaks.add(10);
  for (const n of [1, 10, 100]) world.runtime.tell("sum/a", add(n));
  await world.idle();
  expect(sums.get("a")).toBe(1);
  await world.pass(60_000);
  expect([sums.get("a"), stored("a")]).toEqual([111, 111]);
});

test("a question to a table is answered after the commit of what it saw", async () => {
  const { world } = await start();
  world.fate = () => ({ made: 500, answered: 0, end: "ok" });
  world.runtime.tell("sum/a", add(1));
  let heard: unknown;
  const asked = world.runtime.ask("sum/a", { type: "read" }, { deadlineMs: 60_000 });
  void asked.then((value) => (heard = value));
  await world.pass(499);
  expect(heard).toBeUndefined();
  await world.pass(1_000);
  expect(heard).toBe(1);
});

test("a row's timer fires for that row, once, over a restart", async () => {
  const { world, stored } = await start();
  for (const id of ["a", "b"]) world.runtime.tell(`sum/${id}`, { type: "nap", n: 7 } as Event);
  await world.pass(500);
  await world.restart();
  await world.pass(60_000);
  expect([stored("a"), stored("b")]).toEqual([7, 7]);
  expect(world.disk.timers.size).toBe(0);
});
