/** What no start looked at and nobody reads is looked at by and by. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { scrub } from "@kith/gateway/store/scrub";
import { openStore } from "@kith/gateway/store/store";
import { SAM, tempHome, turn } from "./home.ts";

const TURNS = 150;
const home = tempHome();
beforeAll(async () => {
  const store = openStore(home.path);
  await store.open();
  for (let n = 1; n <= TURNS; n++) await store.commit(turn(n));
  const env = { to: SAM, event: { type: "x" }, msg: "m", lane: "normal", durable: true } as const;
  await store.commit([{ k: "dead", env, error: "poison", at: 1 }]);
  await store.close();
});
afterAll(() => home[Symbol.dispose]());

/** One round over the home after `change`; how many bites it took. */
function round(change = ""): number {
  using copy = tempHome(home.path);
  const db = new DatabaseSync(join(copy.path, "kith.db"));
  try {
    db.exec(change);
    const bite = scrub(db);
    let bites = 1;
    while (bite()) bites++;
    return bites;
  } finally {
    db.close();
  }
}

test("a sound home takes several bites and nothing is said", () => {
  expect(round()).toBeGreaterThan(10);
});

test.each([
  "UPDATE actor SET snapshot = zeroblob(9) WHERE rowid = (SELECT max(rowid) FROM actor)",
  "UPDATE journal SET event = zeroblob(9) WHERE n = 1",
  "UPDATE journal SET event = zeroblob(9) WHERE n = 140",
  "UPDATE inbox SET attempts = 2",
  "UPDATE outbox SET expires = expires + 1 WHERE n = 70",
  "UPDATE timer SET due = due + 1",
  "UPDATE document SET body = zeroblob(9) WHERE id = 'call7'",
  "UPDATE dead SET error = 'none'",
  "UPDATE meta SET wall = wall + 1",
  "UPDATE audit SET data = '{}' WHERE seq = 100",
  "DELETE FROM audit WHERE seq = 65",
])("%s is found", (change) => {
  expect(() => round(change)).toThrowError(expect.objectContaining({ code: "store-damaged" }));
});
