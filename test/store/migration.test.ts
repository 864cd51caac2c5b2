/** A database of any released version opens with all its rows; a newer one is left alone. */
import { cpSync, existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { keepCopy, migrate, migrations, versionOf } from "@kith/gateway/store/schema";
import { openStore } from "@kith/gateway/store/store";
import { everything, tempHome } from "./home.ts";

/** `turn(1)` to `turn(12)` and a dead letter, as the first release stored them. Never made anew. */
const v1 = fileURLToPath(new URL("./fixtures/v1", import.meta.url));
const TURNS = 12;

const expected: unknown = JSON.parse(readFileSync(join(v1, "expected.json"), "utf8"));

async function content(home: string): Promise<unknown> {
  const store = openStore(home);
  await store.open();
  const all = everything(store, TURNS);
  await store.close();
  const text = JSON.stringify(all, function (this: Record<string, unknown>, key, value: unknown) {
    const bytes = this[key];
    return bytes instanceof Uint8Array ? Buffer.from(bytes).toString("hex") : value;
  });
  return JSON.parse(text);
}

test("a stored database of version 1 opens with every row", async () => {
  using home = tempHome(v1);
  expect(await content(home.path)).toEqual(expected);
  const db = new DatabaseSync(join(home.path, "kith.db"));
  expect(versionOf(db)).toBe(migrations.length);
  db.close();
});

/** What a later release may bring: a new column, and a table that takes over old rows. */
const later = [
  ...migrations,
  "ALTER TABLE dead ADD COLUMN note TEXT",
  "CREATE TABLE tool (name TEXT); INSERT INTO tool SELECT DISTINCT op FROM outbox",
];

test("a migration keeps the database and its anchor as they were, and the copy opens in their place", async () => {
  using home = tempHome(v1);
  const db = new DatabaseSync(join(home.path, "kith.db"));
  migrate(db, (version) => keepCopy(home.path, db, version), later);
  expect(versionOf(db, 3)).toBe(3);
  expect(db.prepare("SELECT name, note FROM tool, dead").all()).toEqual([
    { name: "reply", note: null },
  ]);
  db.close();
  await expect(openStore(home.path).open()).rejects.toMatchObject({ code: "store-newer" });

  for (const name of ["kith.db", "anchor"]) {
    renameSync(join(home.path, `${name}.version-1`), join(home.path, name));
  }
  expect(await content(home.path)).toEqual(expected);
});

test("a migration that fails leaves the database at the version before it", () => {
  using home = tempHome(v1);
  const db = new DatabaseSync(join(home.path, "kith.db"));
  const steps = [...later, "CREATE TABLE half (n); INSERT INTO nowhere VALUES (1)"];
  expect(() => migrate(db, () => undefined, steps)).toThrow("nowhere");
  db.close();
  const again = new DatabaseSync(join(home.path, "kith.db"));
  expect(versionOf(again, 3)).toBe(3);
  expect(again.prepare("SELECT * FROM sqlite_schema WHERE name = 'half'").all()).toEqual([]);
  again.close();
});

test("a database of a newer Kith is refused and not touched", async () => {
  using home = tempHome(v1);
  const db = new DatabaseSync(join(home.path, "kith.db"));
  db.exec("PRAGMA user_version = 99");
  db.close();
  const store = openStore(home.path);
  await expect(store.open()).rejects.toMatchObject({ code: "store-newer" });
  expect(existsSync(join(home.path, "kith.db.version-99"))).toBe(false);
  const after = new DatabaseSync(join(home.path, "kith.db"), { readOnly: true });
  expect(after.prepare("SELECT epoch, clean FROM meta").get()).toEqual({ epoch: 1, clean: 1 });
  after.close();
  cpSync(join(v1, "kith.db"), join(home.path, "kith.db"));
  await store.open();
  await store.close();
});
