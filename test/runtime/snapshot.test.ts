import { Packr } from "msgpackr";
import { expect, test } from "vitest";
import type { MachineKind } from "@kith/gateway/runtime/kind";
import { packSnapshot, unpackSnapshot } from "@kith/gateway/runtime/snapshot";
import type { World } from "../support/world.ts";
import { ANN, accept, diary, note, read, start, stored } from "./diary.ts";

type State = { context: { log: string[] } };
const addTo = (text: string) => (old: unknown) => {
  const state = old as State;
  return { ...state, context: { log: [...state.context.log, text] } };
};
const third: MachineKind = { ...diary, version: 3, migrate: { 1: addTo("1→2"), 2: addTo("2→3") } };

/** Writes a diary's first page as version 1, then starts `kind` on the same disk. */
async function upgrade(kind: MachineKind): Promise<World> {
  const { world: old } = await start();
  await accept(old, ANN, note("a"));
  old.crash();
  const { world } = await start({ kinds: [kind] });
  world.crash();
  world.disk.actors.set(ANN, structuredClone(old.disk.actors.get(ANN)) as never);
  await world.boot();
  return world;
}

test("an older snapshot walks through every migration, and is written in the newest form", async () => {
  const world = await upgrade(third);
  await accept(world, ANN, note("b"));
  expect(stored(world, ANN)).toEqual(["a", "1→2", "2→3", "b"]);
  await world.restart();
  await accept(world, ANN, note("c"));
  expect(stored(world, ANN)).toEqual(["a", "1→2", "2→3", "b", "c"]);
});

test.each<[string, MachineKind]>([
  ["no step leads on from it", { ...third, migrate: { 2: addTo("2→3") } }],
  ["it is newer than we are", { ...diary, version: 0 }],
  [
    "its migration fails",
    {
      ...third,
      migrate: {
        1: () => {
          throw new Error("unforeseen");
        },
      },
    },
  ],
])("a snapshot is kept and its actor stopped when %s", async (_, kind) => {
  const world = await upgrade(kind);
  const before = world.disk.actors.get(ANN);
  const waiting = world.runtime.ask(ANN, read(), { deadlineMs: 60_000 });
  const refused = expect(waiting).rejects.toMatchObject({ code: "actor-down" });
  await accept(world, ANN, note("b"));
  await world.pass(1_000);
  await refused;
  expect(world.notices).toEqual(["diary/ann was stopped: its stored state cannot be read."]);
  expect(world.disk.actors.get(ANN)).toEqual(before);
  expect(world.disk.inbox.size).toBe(1);
  expect(world.disk.dead).toEqual([]);
});

test("a row that the store calls damaged stops its actor and loses nothing", async () => {
  const { world } = await start();
  await accept(world, ANN, note("a"));
  await world.restart();
  const damaged = {
    kind: "diary",
    seq: 1,
    status: "live",
    snapshot: new Uint8Array([0xc1]),
  } as const;
  world.disk.actors.set(ANN, damaged);
  await accept(world, ANN, note("b"));
  await world.pass(1_000);
  expect(world.notices).toHaveLength(1);
  expect(world.disk.inbox.size).toBe(1);
});

test("a snapshot of another kind or format is not taken for ours", () => {
  const bytes = packSnapshot(diary, { value: "open" });
  expect(() => unpackSnapshot({ ...diary, name: "session" }, bytes)).toThrow(RangeError);
  const packr = new Packr({ useRecords: false });
  const strange = packr.pack({ ...(packr.unpack(bytes) as object), format: 2 });
  expect(() => unpackSnapshot(diary, strange)).toThrow(RangeError);
});

test("a snapshot may be as large as 64 KiB and no larger", () => {
  const empty = packSnapshot(diary, "x".repeat(60_000)).length - 60_000;
  const most = 65_536 - empty;
  expect(packSnapshot(diary, "x".repeat(most))).toHaveLength(65_536);
  expect(() => packSnapshot(diary, "x".repeat(most + 1))).toThrow(RangeError);
});
