/** REL-06: whoever edits, reorders, cuts or replaces the audit trail is found out. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "@kith/gateway/store/store";
import type { Write } from "@kith/gateway/runtime/store";
import { ROUNDS, seeded, tempHome } from "./home.ts";
import { attacks } from "./tampering.ts";

const ROWS = 40;

async function start() {
  const home = tempHome();
  const store = openStore(home.path);
  await store.open();
  for (let n = 1; n <= ROWS; n++) {
    const data = { call: `c${n}`, device: n % 2 ? "laptop" : "phone" };
    await store.commit([{ k: "audit", at: n, what: "call.done", data } satisfies Write]);
  }
  const db = new DatabaseSync(join(home.path, "kith.db"));
  return {
    store,
    db,
    home,
    async [Symbol.asyncDispose]() {
      db.close();
      await store.close().catch(() => undefined); // what a test did to the file may show here
      home[Symbol.dispose]();
    },
  };
}

test.each(Object.entries(attacks))("whoever %s is found out", async (name, attack) => {
  const random = seeded(name.length);
  for (let round = 0; round < Math.ceil(ROUNDS / Object.keys(attacks).length / 3); round++) {
    await using world = await start();
    attack(world.db, 2 + random(ROWS - 3));
    // Growing by a row that fits looks like a commit whose anchor is still to come: only a start tells.
    if (name !== "makes it longer") expect(world.store.verifyAudit()).toMatchObject({ ok: false });
    else await expect(reopened(world)).rejects.toMatchObject({ code: "store-damaged" });
  }
});

/** What a crash would leave, opened. */
async function reopened({ home }: { home: { path: string } }): Promise<void> {
  using copy = tempHome(home.path);
  const store = openStore(copy.path);
  await store.open();
  await store.close();
}

test("an untouched trail is fine, whatever is committed meanwhile", async () => {
  await using world = await start();
  const writing = Array.from({ length: 20 }, () =>
    world.store.commit([{ k: "audit", at: 1, what: "x", data: {} }]),
  );
  while (world.store.audit({ limit: 1 })[0]?.seq !== ROWS + 20) {
    expect(world.store.verifyAudit()).toMatchObject({ ok: true });
  }
  await Promise.all(writing);
  const { ok, rows, head } = world.store.verifyAudit();
  expect({ ok, rows }).toEqual({ ok: true, rows: ROWS + 20 });
  expect(head).toBe(world.store.audit({ limit: 1 })[0]?.hash);
});

test("rows are read in order: the newest, those after a row, those about a thing", async () => {
  await using world = await start();
  const seqs = (options: Parameters<typeof world.store.audit>[0]) =>
    world.store.audit(options).map(({ seq }) => seq);
  expect(seqs({ limit: 3 })).toEqual([38, 39, 40]);
  expect(seqs({ limit: 3, after: 5 })).toEqual([6, 7, 8]);
  expect(seqs({ limit: 9, about: "c7" })).toEqual([7]);
  expect(seqs({ limit: 2, about: "phone" })).toEqual([38, 40]);
});

test("a row that was changed is not read", async () => {
  await using world = await start();
  attacks["edits a time"]?.(world.db, 40);
  expect(() => world.store.audit({ limit: 1 })).toThrow("Row 40");
});

test("a cut end is found at the next start", async () => {
  await using world = await start();
  attacks["cuts the end and mends the rest"]?.(world.db, 30);
  await expect(reopened(world)).rejects.toMatchObject({ code: "store-damaged" });
});
