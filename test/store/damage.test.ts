/**
 * REL-05: bits flip, files are cut, lost or replaced by old copies. Either the store says so or
 * every row is there; it never starts silently with fewer. KITH_DAMAGE_RUNS sets the rounds.
 */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore } from "@kith/gateway/store/store";
import { damages } from "./damages.ts";
import { everything, killAfter, killBetween, ROUNDS, seeded, tempHome } from "./home.ts";

type Home = ReturnType<typeof tempHome>;
interface Base {
  readonly home: Home;
  /** The same home, some turns earlier. */
  readonly old: Home;
  readonly turns: number;
  readonly expected: ReturnType<typeof everything>;
}
const bases: Base[] = [];

async function read(home: string, turns: number) {
  const store = openStore(home);
  await store.open();
  try {
    return everything(store, turns);
  } finally {
    await store.close();
  }
}

beforeAll(async () => {
  using home = tempHome();
  await killAfter(home.path, 60);
  const old = tempHome(home.path);
  const turns = await killBetween(home.path, 40);
  using copy = tempHome(home.path);
  const expected = await read(copy.path, turns);
  // As a crash leaves it, with most of it in the log; and as a clean stop does, with no log.
  bases.push({ home: tempHome(home.path), old, turns, expected });
  bases.push({ home: tempHome(copy.path), old: tempHome(old.path), turns, expected });
}, 60_000);

afterAll(() =>
  bases.forEach(({ home, old }) => [home, old].forEach((each) => each[Symbol.dispose]())),
);

test(
  `${ROUNDS} damages are noticed or harmless`,
  { timeout: 60_000 + ROUNDS * 2_000 },
  async () => {
    const counts: Record<string, number> = {};
    for (let round = 0; round < ROUNDS; round++) {
      const random = seeded(round);
      const base = bases[round % bases.length];
      if (base === undefined) throw new Error("no base");
      const files = ["kith.db", "kith.db", "anchor", "kith.db-wal"].slice(
        0,
        round % 2 === 0 ? 4 : 3,
      );
      const file = files[random(files.length)] ?? "";
      const kinds = ["flip", "flip", "flip", "cut", "cut", "lose", "old"] as const;
      const kind = kinds[random(kinds.length)] ?? "flip";
      using home = tempHome(base.home.path);
      const old = join(base.old.path, file);
      damages[kind](join(home.path, file), random, old);
      let outcome = "noticed";
      try {
        const found = await read(home.path, base.turns);
        expect(found, `round ${round}: ${kind} ${file} was not noticed`).toEqual(base.expected);
        outcome = "harmless";
      } catch (thrown) {
        if ((thrown as { matcherResult?: unknown }).matcherResult !== undefined) throw thrown;
        if ((thrown as { code?: unknown }).code !== "store-damaged")
          outcome = `noticed as ${String(thrown)}`;
      }
      const key = `${kind} ${file}: ${outcome}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    console.log(
      Object.entries(counts)
        .sort()
        .map(([what, n]) => `${n} x ${what}`)
        .join("\n"),
    );
  },
);

test.each(["kith.db", "anchor"])("a lost %s is noticed at the start", async (file) => {
  const [crashed] = bases;
  if (crashed === undefined) throw new Error("no base");
  using home = tempHome(crashed.home.path);
  rmSync(join(home.path, file));
  await expect(openStore(home.path).open()).rejects.toMatchObject({ code: "store-damaged" });
});

test("a lost kith.db-wal is noticed at the start, unless all of it was in the database already", async () => {
  const [crashed] = bases;
  if (crashed === undefined) throw new Error("no base");
  using home = tempHome(crashed.home.path);
  rmSync(join(home.path, "kith.db-wal"));
  const found = await read(home.path, crashed.turns).catch((error: unknown) => error);
  if (found instanceof Error) expect(found).toMatchObject({ code: "store-damaged" });
  // The writer shortens its log when nothing else is to do: it may have, just before it was killed.
  else expect(found).toEqual(crashed.expected);
});

test.each(["kith.db", "anchor"])("an old copy of %s is noticed at the start", async (file) => {
  const stopped = bases[1];
  if (stopped === undefined) throw new Error("no base");
  using home = tempHome(stopped.home.path);
  copyFileSync(join(stopped.old.path, file), join(home.path, file));
  const message = expect.stringMatching(/\d+ (of \d+ )?commits/);
  await expect(openStore(home.path).open()).rejects.toMatchObject({
    code: "store-damaged",
    message,
  });
});

/** The clean base after `change`; resolves when it opens, as it never should. */
async function opened(change: (file: string) => void): Promise<void> {
  const stopped = bases[1];
  if (stopped === undefined) throw new Error("no base");
  using home = tempHome(stopped.home.path);
  change(join(home.path, "kith.db"));
  const store = openStore(home.path);
  await store.open();
  await store.close();
}

test.each([
  ["actor", "snapshot = zeroblob(150)"],
  ["actor", "status = 'down'"],
  ["journal", "event = zeroblob(9)"],
  ["inbox", "attempts = 2"],
  ["outbox", "expires = expires + 1"],
  ["timer", "due = due + 1"],
  ["document", "body = zeroblob(9)"],
  ["meta", "wall = wall + 1"],
  ["audit", "data = '{}'"],
])("a value of a row of %s that is not what was written (%s) is noticed", async (table, change) => {
  const rot = (file: string) => {
    const db = new DatabaseSync(file);
    db.exec(
      `UPDATE ${table} SET ${change} WHERE rowid = (SELECT ${table === "audit" ? "min" : "max"}(rowid) FROM ${table})`,
    );
    db.close();
  };
  await expect(opened(rot)).rejects.toMatchObject({ code: "store-damaged" });
});

test("a flip in a tombstone or in its index, which would let an old message in again, is noticed", async () => {
  let places = 0;
  const stopped = bases[1];
  if (stopped === undefined) throw new Error("no base");
  const bytes = readFileSync(join(stopped.home.path, "kith.db"));
  // "telegram:1:7", once in the row and once in the index; neither has a sum.
  for (
    let at = bytes.indexOf("telegram:1:7");
    at >= 0;
    at = bytes.indexOf("telegram:1:7", at + 1)
  ) {
    const flip = (file: string) => {
      const copy = Buffer.from(bytes);
      copy[at + 3] = (copy[at + 3] ?? 0) ^ 1;
      writeFileSync(file, copy);
    };
    places += await opened(flip).then(
      () => 0,
      () => 1,
    );
  }
  expect(places).toBeGreaterThanOrEqual(2);
});
