import { writeSync } from "node:fs";
import { type FileHandle, open, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemRng } from "@kith/shared/clock";
import type { Result } from "@kith/shared/protocol/call";
import { digestOf } from "@kith/node-agent/digest";
import { interrupted, Ledger } from "@kith/node-agent/ledger";
import { replay, type Row } from "@kith/node-agent/ledger-rows";
import { parseLog } from "@kith/node-agent/log";
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
    /** Ends the process in order and starts it again. */
    async restart(meanwhile: () => Promise<void> = async () => {}) {
      await ledger.close();
      await meanwhile();
      return (ledger = await Ledger.open(path, clock, systemRng, keep));
    },
    /** Kills the process and starts it again; `change` is what the crash made of the file. */
    async crash(change: (bytes: Buffer) => Uint8Array = (bytes) => bytes) {
      const bytes = await readFile(path);
      await ledger.close();
      await writeFile(path, change(bytes));
      return (ledger = await Ledger.open(path, clock, systemRng, keep));
    },
    async [Symbol.asyncDispose]() {
      await ledger.close().catch(() => {});
      await place[Symbol.asyncDispose]();
    },
  };
}

/** Every open file shares its methods with this one. */
async function watchDisk<M extends "datasync" | "write">(method: M) {
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

const MARK = 0xa5;

/** What a reader that changes nothing makes of the file. */
function read(bytes: Uint8Array) {
  const { damaged, records } = parseLog(bytes);
  const { rows } = replay(records);
  const states = { a: rows.get(id("a"))?.row.state, b: rows.get(id("b"))?.row.state };
  return { damaged, states };
}

/** Up to the last byte that is not zero. */
function usedBytes(bytes: Uint8Array): number {
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used--;
  return used;
}

const torn = (bytes: Uint8Array, at: number) => Buffer.from(bytes).fill(0, at);

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= 1 << (at % 8);
  return copy;
}

/** The same records without magic, marks and room. */
function earlierForm(bytes: Buffer): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 8; bytes.readUInt32BE(at) > 1;) {
    const end = at + 8 + bytes.readUInt32BE(at);
    parts.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return Buffer.concat(parts);
}

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

describe("a file that is not as it was left", () => {
  /** A ledger with a finished call `a`; `b` is written behind it by `last`. */
  async function both() {
    const world = await start();
    const row = await receive(world.ledger, call("a"));
    await world.ledger.run(row);
    await world.ledger.end(row, "done", result("a"));
    const from = usedBytes(await readFile(world.path));
    await world.ledger.run(await receive(world.ledger, call("b", 2, "once")));
    const whole = await readFile(world.path);
    return { world, from, to: usedBytes(whole), whole, before: world.ledger.id };
  }

  test("a torn tail is dropped at every length, and everything before it is kept", async () => {
    const { world, from, to, whole, before } = await both();
    await using _ = world;
    // Without its last byte, the mark, the record is whole.
    for (let length = from; length < to - 1; length++) {
      const { damaged, states } = read(torn(whole, length));
      // A byte that looks like the end of a record is taken for one, to be on the safe side.
      if (whole[length - 1] !== MARK) expect([length, damaged]).toEqual([length, false]);
      expect(states.a).toBe("done");
      expect(states.b).not.toBe("running");
    }
    for (let length = from; length < to; length += 41) {
      const ledger = await world.crash(() => torn(whole, length));
      await ledger.run(await receive(ledger, call("c", 3)));
      const again = await world.crash();
      expect([again.get(id("a"))?.state, again.get(id("c"))?.state]).toEqual(["done", "doubt"]);
      if (whole[length - 1] !== MARK) expect(again.id).toBe(before);
    }
  });

  test("a flipped bit anywhere is never a silent loss", async () => {
    const { world, to, whole } = await both();
    await using _ = world;
    const silent: number[] = [];
    for (let at = 0; at < to; at++) {
      const { damaged, states } = read(flipped(whole, at));
      if (!damaged && (states.a !== "done" || states.b !== "running")) silent.push(at);
    }
    expect(silent).toEqual([]);
  });

  test("a file that was cut, at any place, gets a new id and keeps a copy", async () => {
    const { world, to, whole, before } = await both();
    await using _ = world;
    for (let length = 0; length <= to; length += 29) {
      const ledger = await world.crash(() => whole.subarray(0, length));
      expect(ledger.id).not.toBe(before);
      expect((await stat(`${world.path}.damaged`)).size).toBe(length);
    }
  });

  test("a file that was closed and cut afterwards gets a new id", async () => {
    await using world = await start();
    await receive(world.ledger, call("a"));
    const before = world.ledger.id;
    let closed = Buffer.alloc(0);
    await world.restart(async () => void (closed = await readFile(world.path)));
    // The last byte is only the mark of the closing record.
    for (let length = closed.length - 2; length > closed.length - 40; length -= 3)
      expect((await world.crash(() => closed.subarray(0, length))).id).not.toBe(before);
  });

  test("a hole in front of sound rows gives a new id", async () => {
    await using world = await start();
    const before = world.ledger.id;
    for (let n = 1; n < 20; n++)
      await world.ledger.run(await receive(world.ledger, call(`a${n}`, n, "once")));
    const ledger = await world.crash((bytes) => bytes.fill(0, 512, 1_024));
    expect(ledger.id).not.toBe(before);
  });

  test("a kill while it was closed, or while room was made, is no damage", async () => {
    await using world = await start();
    const before = world.ledger.id;
    await world.ledger.run(await receive(world.ledger, call("a", 1, "once")));
    const open = await readFile(world.path);
    let closed = Buffer.alloc(0);
    await world.restart(async () => void (closed = await readFile(world.path)));
    const between = Buffer.concat([closed, open.subarray(closed.length)]);
    const roomy = Buffer.concat([open, new Uint8Array(open.length)]);
    for (const bytes of [between, roomy]) {
      const ledger = await world.crash(() => bytes);
      expect([ledger.id, ledger.get(id("a"))?.state]).toEqual([before, "doubt"]);
    }
  });

  test("the form of earlier agents is read once and kept beside the new one", async () => {
    await using world = await start();
    const row = await receive(world.ledger, call("a"));
    await world.ledger.run(row);
    await world.ledger.end(row, "done", result("a"));
    const before = world.ledger.id;
    const ledger = await world.crash(earlierForm);
    expect(ledger.id).toBe(before);
    expect(ledger.terminal(ledger.get(id("a"))!)).toEqual(result("a"));
    expect(earlierForm(await readFile(world.path))).toEqual(await readFile(`${world.path}.old`));
  });

  test("a draft of a smaller file that was not finished changes nothing", async () => {
    await using world = await start({ ms: 0, rows: 1 });
    for (const [at, name] of ["a", "b", "c"].entries())
      await world.ledger.run(await receive(world.ledger, call(name, at + 1)));
    const whole = await readFile(world.path);
    await world.restart();
    const draft = await readFile(world.path);
    for (let length = 0; length < usedBytes(draft); length += 37) {
      await writeFile(`${world.path}.new`, draft.subarray(0, length));
      const ledger = await world.crash(() => whole);
      expect([...ledger.rows()].map((row) => row.n)).toEqual([3]);
      expect(ledger.floor).toBe(2);
    }
  });
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

  test("while it runs: calls that come meanwhile wait, and every frame is found again", async () => {
    await using world = await start(keep);
    await fill(world, ["a", "b", "c", "d", "e"], 1);
    const doubtful = await receive(world.ledger, call("f", 6, "once"));
    await world.ledger.run(doubtful);
    world.clock.pass(7 * DAY_MS);
    const pruned = world.ledger.prune();
    const late = await receive(world.ledger, call("g", 7));
    await world.ledger.run(late);
    await pruned;
    await world.ledger.end(late, "done", result("g"));
    const rows = (ledger: Ledger) => [...ledger.rows()].map(({ n, state }) => `${n} ${state}`);
    const frames = (ledger: Ledger, ...names: string[]) =>
      names.map((name) => ledger.terminal(ledger.get(id(name))!));
    expect(world.ledger.floor).toBe(3);
    expect(rows(world.ledger)).toEqual(["4 done", "5 done", "6 running", "7 done"]);
    expect(frames(world.ledger, "d", "e", "g")).toEqual([result("d"), result("e"), result("g")]);
    expect(world.ledger.burnedBy(id("Ga"))).toBeUndefined();

    const { id: before } = world.ledger;
    const ledger = await world.crash();
    expect([ledger.id, ledger.floor]).toEqual([before, 4]);
    expect(rows(ledger)).toEqual(["5 done", "6 doubt", "7 done"]);
    expect(frames(ledger, "e", "g")).toEqual([result("e"), result("g")]);
  });

  test("while it runs, on a disk that is full: everything is as it was", async () => {
    await using world = await start(keep);
    await fill(world, ["a", "b", "c", "d", "e"], 1);
    world.clock.pass(7 * DAY_MS);
    (await watchDisk("write")).mockRejectedValueOnce(new Error("ENOSPC"));
    await expect(world.ledger.prune()).rejects.toThrow("ENOSPC");
    expect(world.ledger.floor).toBe(0);
    await fill(world, ["f"], 6);
    const ledger = await world.crash();
    expect([...ledger.rows()].map((row) => row.n)).toEqual([4, 5, 6]);
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
  const write = await watchDisk("write");
  // As much as there was room for.
  write.mockImplementationOnce(async function (
    this: FileHandle,
    bytes: Uint8Array,
    ...where: unknown[]
  ) {
    writeSync(this.fd, bytes.subarray(0, 7), 0, 7, where[2] as number);
    throw Object.assign(new Error("full"), { code: "ENOSPC" });
  } as unknown as FileHandle["write"]);
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
