/**
 * Homes of real processes that were killed, files of them that are damaged in every way, and the
 * verdict: noticed at the start, noticed when read, harmless, or silent.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Store } from "@kith/gateway/runtime/store";
import type { openStore } from "@kith/gateway/store/store";
import { Seeded } from "../support/world.ts";
import { damages } from "../store/damages.ts";
import { everything, killAfter, killBetween, SAM, tempHome } from "../store/home.ts";
import { attacks } from "../store/tampering.ts";

export type Open = typeof openStore;
type Home = ReturnType<typeof tempHome>;

/** Above this, a start does not read every row. */
const LARGE_DOCUMENTS = 560;
const LARGE_BYTES = 65_536;

export interface Base extends Disposable {
  readonly home: Home;
  /** The same home, some turns earlier. */
  readonly old: Home;
  readonly turns: number;
  readonly expected: ReturnType<typeof everything>;
  readonly files: readonly string[];
}

async function withStore<T>(open: Open, home: string, use: (store: Store) => T): Promise<T> {
  const store = open(home);
  await store.open();
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** `crashed`: most of it lies in the log; else there is no log. `large`: more than a start reads. */
export async function base(open: Open, how: { crashed: boolean; large: boolean }): Promise<Base> {
  using home = tempHome();
  await killAfter(home.path, 30);
  await withStore(open, home.path, async (store) => {
    const event = { type: "message.came", at: 1 };
    const env = { to: SAM, event, msg: "poison", lane: "normal", durable: true } as const;
    await store.commit([{ k: "dead", env, error: "it failed three times", at: 1 }]);
    for (let n = 0; how.large && n < LARGE_DOCUMENTS; n++) {
      const body = { n, bytes: new Uint8Array(LARGE_BYTES).fill(n) };
      await store.commit([{ k: "put", table: "call", id: `large${n}`, open: false, at: n, body }]);
    }
  });
  await killAfter(home.path, 20);
  const old = tempHome(home.path);
  const turns = await killBetween(home.path, 30);
  using copy = tempHome(home.path);
  const expected = await withStore(open, copy.path, (store) => everything(store, turns));
  const kept = tempHome(how.crashed ? home.path : copy.path);
  return {
    home: kept,
    old,
    turns,
    expected,
    files: ["kith.db", "kith.db", "anchor", ...(how.crashed ? ["kith.db-wal", "kith.db-wal"] : [])],
    [Symbol.dispose]() {
      kept[Symbol.dispose]();
      old[Symbol.dispose]();
    },
  };
}

export interface Verdict {
  readonly what: string;
  readonly is: "at the start" | "when read" | "harmless" | "silent" | "misnamed";
  readonly more?: string;
}

/** Opens what is there and reads all of it, as the gateway would by and by. */
async function judge(open: Open, home: string, base: Base, what: string): Promise<Verdict> {
  let opened = false;
  try {
    const found = await withStore(open, home, (store) => {
      opened = true;
      return everything(store, base.turns);
    });
    return { what, is: same(found, base.expected) ? "harmless" : "silent" };
  } catch (thrown) {
    const { code, message } = thrown as { code?: string; message: string };
    // `everything` says in its own words what is wrong with the audit trail.
    if (code === "store-damaged" || (opened && code === undefined))
      return { what, is: opened ? "when read" : "at the start" };
    return { what, is: "misnamed", more: `${code}: ${message}` };
  }
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    one instanceof Uint8Array ? Buffer.from(one).toString("base64") : one,
  );
const same = (a: unknown, b: unknown): boolean => text(a) === text(b);

const KINDS = ["flip", "flip", "flip", "flip", "cut", "cut", "lose", "old"] as const;

/** One damage, chosen by its number. `only`: to which file. */
export async function damaged(
  open: Open,
  base: Base,
  seed: number,
  only?: string,
): Promise<Verdict> {
  const random = new Seeded(seed);
  const below = (n: number): number => random.below(n);
  const file = only ?? base.files[below(base.files.length)] ?? "kith.db";
  const kind = KINDS[below(KINDS.length)] ?? "flip";
  using home = tempHome(base.home.path);
  damages[kind](join(home.path, file), below, join(base.old.path, file));
  return await judge(open, home.path, base, `${kind} ${file}`);
}

/** One manipulation of the audit trail, in a file that nobody has open. */
export async function tampered(open: Open, base: Base, seed: number): Promise<Verdict> {
  const names = Object.keys(attacks);
  const name = names[seed % names.length] ?? "";
  using home = tempHome(base.home.path);
  const db = new DatabaseSync(join(home.path, "kith.db"));
  attacks[name]?.(db, 2 + new Seeded(seed).below(base.expected.audit.length - 3));
  db.close();
  return await judge(open, home.path, base, name);
}

/** A flip in what somebody said: in a row of the journal or the inbox, wherever its page lies. */
export async function misquoted(open: Open, base: Base, seed: number): Promise<Verdict> {
  using home = tempHome(base.home.path);
  const file = join(home.path, "kith.db");
  const bytes = readFileSync(file);
  const places: number[] = [];
  for (let at = bytes.indexOf("hello"); at >= 0; at = bytes.indexOf("hello", at + 1))
    places.push(at);
  const at = places[new Seeded(seed).below(places.length)] ?? 0;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  return await judge(open, home.path, base, `flip at ${at}`);
}

/** A flip in the body of a row that no start of a large home reads. */
export function flipUnread(home: string): void {
  const db = new DatabaseSync(join(home, "kith.db"));
  db.exec("UPDATE document SET body = zeroblob(9) WHERE id = 'large7'");
  db.close();
}
