import {
  appendFile,
  type FileHandle,
  open,
  readFile,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemRng } from "@kith/shared/clock";
import type { Result } from "@kith/shared/protocol/call";
import { digestOf } from "@kith/node-agent/digest";
import { interrupted, Ledger } from "@kith/node-agent/ledger";
import { readLedger, type Row } from "@kith/node-agent/ledger-rows";
import { afterEach, describe, expect, test, vi } from "vitest";
import { FakeClock, folder, id } from "./world.ts";

const DAY_MS = 86_400_000;

async function start(keep?: { ms: number; rows: number }) {
  const place = await folder();
  const clock = new FakeClock();
  const path = join(place.path, "ledger.log");
  let ledger = await Ledger.open(path, clock, systemRng, keep);
  return {
    ...{ clock, path },
    get ledger() {
      return ledger;
    },
    /** Ends the process and starts it again. */
    async restart(meanwhile: () => Promise<void> = async () => {}) {
      await ledger.close();
      await meanwhile();
      return (ledger = await Ledger.open(path, clock, systemRng, keep));
    },
    async [Symbol.asyncDispose]() {
      await ledger.close().catch(() => {});
      await place[Symbol.asyncDispose]();
    },
  };
}

/** Every open file shares its methods with this one. */
async function watchDisk<M extends "datasync" | "appendFile">(method: M) {
  await using file = await open(fileURLToPath(import.meta.url));
  const methods = Object.getPrototypeOf(file) as FileHandle;
  return vi.spyOn(methods, method);
}
afterEach(() => void vi.restoreAllMocks());

const call = (name: string, n = 1, effect: Row["effect"] = "idempotent") => ({
  call: id(name),
  n,
  cap: "camera.snap",
  effect,
  grant: id(`G${name}`),
});
const result = (name: string): Result => ({
  t: "result",
  call: id(name),
  out: { a: 1 },
  streams: [],
  ran_ms: 5,
});

async function receive(ledger: Ledger, what: ReturnType<typeof call>, digest = "d"): Promise<Row> {
  const [row, stored] = ledger.receive(what, digest);
  await stored;
  return row;
}

test("a stored terminal frame is the same after a restart", async () => {
  await using world = await start();
  const row = await receive(world.ledger, call("a"));
  await world.ledger.run(row);
  await world.ledger.end(row, "done", result("a"));
  const before = world.ledger.id;

  const ledger = await world.restart();

  expect(ledger.id).toBe(before);
  expect(ledger.get(id("a"))).toMatchObject({ state: "done", starts: 1, digest: "d", n: 1 });
  expect(ledger.terminal(ledger.get(id("a"))!)).toEqual(result("a"));
});

describe("after a crash in the middle of a run", () => {
  test.each(["idempotent", "once"] as const)("a call of class %s is in doubt", async (effect) => {
    await using world = await start();
    await world.ledger.run(await receive(world.ledger, call("a", 1, effect)));
    const ledger = await world.restart();
    expect(ledger.get(id("a"))).toMatchObject({ state: "doubt", starts: 1 });
    expect(ledger.terminal(ledger.get(id("a"))!)).toBeUndefined();
  });

  test("a read has failed without effect, and stays so", async () => {
    await using world = await start();
    await world.ledger.run(await receive(world.ledger, call("a", 1, "read")));
    await world.restart();
    const ledger = await world.restart();
    expect(ledger.get(id("a"))?.state).toBe("failed");
    expect(ledger.terminal(ledger.get(id("a"))!)).toEqual(interrupted(id("a"), "none"));
  });

  test("a once call is never started again, an idempotent one counts its starts", async () => {
    await using world = await start();
    await world.ledger.run(await receive(world.ledger, call("a", 1, "once")));
    await world.ledger.run(await receive(world.ledger, call("b", 2, "idempotent")));
    let ledger = await world.restart();
    await expect(ledger.run(ledger.get(id("a"))!)).rejects.toThrow("runs once");
    await ledger.run(ledger.get(id("b"))!);
    ledger = await world.restart();
    expect(ledger.get(id("a"))?.starts).toBe(1);
    expect(ledger.get(id("b"))?.starts).toBe(2);
  });
});

test("a call that was received and never started is forgotten, with its grant", async () => {
  await using world = await start();
  await receive(world.ledger, call("a"));
  expect(world.ledger.burnedBy(id("Ga"))).toBe(id("a"));
  const ledger = await world.restart();
  expect(ledger.get(id("a"))).toBeUndefined();
  expect(ledger.burnedBy(id("Ga"))).toBeUndefined();
});

test("a grant stays burned over a restart", async () => {
  await using world = await start();
  const row = await receive(world.ledger, call("a"));
  await world.ledger.run(row);
  await world.ledger.end(row, "done", result("a"));
  expect((await world.restart()).burnedBy(id("Ga"))).toBe(id("a"));
});

test("a torn tail is cut at every length, and everything before it is kept", async () => {
  await using world = await start();
  const row = await receive(world.ledger, call("a"));
  await world.ledger.run(row);
  await world.ledger.end(row, "done", result("a"));
  await world.ledger.close();
  const good = await readFile(world.path);
  const second = await Ledger.open(world.path, world.clock, systemRng);
  await second.run(await receive(second, call("b", 2)));
  await second.close();
  const whole = await readFile(world.path);

  for (let length = good.length; length < whole.length; length++) {
    await writeFile(world.path, whole.subarray(0, length));
    const ledger = await Ledger.open(world.path, world.clock, systemRng);
    expect(ledger.get(id("a"))?.state).toBe("done");
    expect(ledger.get(id("b"))).toBeUndefined();
    await receive(ledger, call("c", 3));
    await ledger.close();
    expect((await readLedger(world.path)).rows.map((one) => one.call)).toContain(id("c"));
  }
});

test("damage in front of sound rows gives the ledger a new id and keeps a copy", async () => {
  await using world = await start();
  const before = world.ledger.id;
  await world.ledger.run(await receive(world.ledger, call("a", 1, "once")));
  const { size } = await stat(world.path);
  await world.ledger.run(await receive(world.ledger, call("b", 2, "once")));
  const ledger = await world.restart(async () => {
    const bytes = await readFile(world.path);
    bytes[size - 1]! ^= 1; // the last byte of the start of a
    await writeFile(world.path, bytes);
  });
  expect(ledger.id).not.toBe(before);
  expect(await stat(`${world.path}.damaged`)).toBeDefined();
});

test("zeros behind the last row, as some file systems leave them, are a torn tail", async () => {
  await using world = await start();
  const before = world.ledger.id;
  await receive(world.ledger, call("a"));
  const ledger = await world.restart(() => appendFile(world.path, new Uint8Array(4_096)));
  expect(ledger.id).toBe(before);
});

describe("pruning", () => {
  const keep = { ms: 7 * DAY_MS, rows: 3 };
  async function fill(world: Awaited<ReturnType<typeof start>>, names: string[], from: number) {
    for (const [at, name] of names.entries()) {
      const row = await receive(world.ledger, call(name, from + at));
      await world.ledger.run(row);
      await world.ledger.end(row, "done", result(name));
    }
  }

  test("keeps young rows, however many", async () => {
    await using world = await start(keep);
    await fill(world, ["a", "b", "c", "d", "e"], 1);
    world.clock.pass(7 * DAY_MS - 1);
    const ledger = await world.restart();
    expect([...ledger.rows()]).toHaveLength(5);
    expect(ledger.floor).toBe(0);
  });

  test("drops rows that are old and beyond the count, and says up to which number", async () => {
    await using world = await start(keep);
    await fill(world, ["a", "b", "c", "d", "e"], 1);
    world.clock.pass(7 * DAY_MS);
    const ledger = await world.restart();
    expect([...ledger.rows()].map((row) => row.n)).toEqual([3, 4, 5]);
    expect(ledger.floor).toBe(2);
    expect(ledger.terminal(ledger.get(id("e"))!)).toEqual(result("e"));
    expect((await world.restart()).floor).toBe(2);
  });

  test("never reaches below a row that must stay", async () => {
    await using world = await start(keep);
    await fill(world, ["a"], 2);
    world.clock.pass(7 * DAY_MS);
    await fill(world, ["b"], 1);
    await fill(world, ["c", "d", "e"], 3);
    const ledger = await world.restart();
    expect(ledger.floor).toBe(0);
    expect([...ledger.rows()]).toHaveLength(5);
  });
});

test("calls that are stored at the same time share one fdatasync", async () => {
  await using world = await start();
  const syncs = await watchDisk("datasync");
  const stored = Array.from(
    { length: 50 },
    (_, at) => world.ledger.receive(call(`P${at}`, at + 1), "d")[1],
  );
  await Promise.all(stored);
  expect(syncs).toHaveBeenCalledTimes(1);
});

test("a read needs no fdatasync", async () => {
  await using world = await start();
  const syncs = await watchDisk("datasync");
  const row = await receive(world.ledger, call("a", 1, "read"));
  await world.ledger.run(row);
  await world.ledger.end(row, "done", result("a"));
  expect(syncs).not.toHaveBeenCalled();
});

test("a disk that is full takes no call, and the next one when there is room", async () => {
  await using world = await start();
  const write = await watchDisk("appendFile");
  write.mockImplementationOnce(async function (this: FileHandle, bytes) {
    await this.write((bytes as Uint8Array).subarray(0, 7)); // as much as there was room for
    throw Object.assign(new Error("full"), { code: "ENOSPC" });
  });
  await expect(receive(world.ledger, call("a"))).rejects.toMatchObject({ code: "disk-full" });
  expect(world.ledger.get(id("a"))).toBeUndefined();
  const row = await receive(world.ledger, call("a"));
  await world.ledger.run(row);
  expect((await world.restart()).get(id("a"))?.state).toBe("doubt");
});

test("after a failed fdatasync nothing is promised any more", async () => {
  await using world = await start();
  (await watchDisk("datasync")).mockRejectedValueOnce(new Error("EIO"));
  await expect(receive(world.ledger, call("a"))).rejects.toMatchObject({ code: "store-damaged" });
  await expect(receive(world.ledger, call("b", 2))).rejects.toMatchObject({
    code: "store-damaged",
  });
});

test("an empty or half written file starts a new ledger", async () => {
  await using world = await start();
  const before = world.ledger.id;
  const ledger = await world.restart(() => truncate(world.path, 5));
  expect(ledger.id).not.toBe(before);
});

describe("the digest of a call", () => {
  const of = (args: Record<string, unknown>, cap = "camera.snap", v = 1) =>
    digestOf({ cap, v, args });

  test("does not depend on the order of keys", () => {
    expect(of({ a: 1, b: { c: [1, 2], d: "x" } })).toBe(of({ b: { d: "x", c: [1, 2] }, a: 1 }));
  });

  test("differs wherever the content does", () => {
    const all = [
      of({}),
      of({ a: 1 }),
      of({ a: "1" }),
      of({ a: true }),
      of({ a: "true" }),
      of({ a: null }),
      of({ a: [] }),
      of({ a: {} }),
      of({ a: [1, 2] }),
      of({ a: [12] }),
      of({ a: [[1], 2] }),
      of({ ab: "c" }),
      of({ a: "bc" }),
      of({ a: new Uint8Array([1]) }),
      of({ a: "01" }),
      of({}, "camera.list"),
      of({}, "camera.snap", 2),
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});
