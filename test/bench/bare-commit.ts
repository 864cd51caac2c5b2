/**
 * The physical limit beside durable turns: the same rows, in batches of the same size, put into
 * bare tables of `node:sqlite` with a synced log. No sums, no anchor, no dictionary, one thread.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { pack } from "@kith/gateway/store/schema";
import type { Write } from "@kith/gateway/runtime/store";

type Values = readonly (string | number | Uint8Array)[];

/** Every sort of write as the plainest statements that do the same. */
const sql = {
  actor: "REPLACE INTO actor VALUES (?, ?, ?)",
  journal: "INSERT INTO journal (actor, seq, at, event) VALUES (?, ?, ?, ?)",
  accept: "INSERT INTO inbox VALUES (?, ?, ?, ?)",
  take: "DELETE FROM inbox WHERE actor = ? AND msg = ?",
  seen: "INSERT INTO seen VALUES (?, ?, ?)",
  step: "INSERT INTO outbox (step, actor, at, args) VALUES (?, ?, ?, ?)",
  stepEnd: "UPDATE outbox SET state = ? WHERE step = ?",
} as const;

const SCHEMA = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
  CREATE TABLE actor (id TEXT PRIMARY KEY, seq INTEGER, snapshot BLOB);
  CREATE TABLE journal (n INTEGER PRIMARY KEY, actor TEXT, seq INTEGER, at INTEGER, event BLOB);
  CREATE TABLE inbox (actor TEXT, msg TEXT, at INTEGER, env BLOB, UNIQUE (actor, msg));
  CREATE TABLE seen (actor TEXT, msg TEXT, at INTEGER, UNIQUE (actor, msg));
  CREATE TABLE outbox (n INTEGER PRIMARY KEY, step TEXT UNIQUE, actor TEXT, at INTEGER,
    args BLOB, state TEXT DEFAULT 'open')`;

/** The statements of one write with their values, packed beforehand: packing is not measured. */
function plain(write: Write): readonly (readonly [keyof typeof sql, Values])[] {
  switch (write.k) {
    case "actor":
      return [["actor", [write.id, write.seq, write.snapshot]]];
    case "journal":
      return [["journal", [write.actor, write.seq, write.at, pack(write.event)]]];
    case "accept":
      return [["accept", [write.env.to, write.env.msg, write.at, pack(write.env)]]];
    case "taken":
      return [
        ["take", [write.to, write.msg]],
        ["seen", [write.to, write.msg, write.at]],
      ];
    case "step":
      return [["step", [write.step.id, write.step.actor, write.at, pack(write.step.args)]]];
    case "stepEnd":
      return [["stepEnd", [write.state, write.id]]];
    default:
      throw new Error(`the bare tables know no ${write.k}`);
  }
}

/** Commits these batches once more into bare tables. Returns how long that took, in ms. */
export function commitBare(batches: readonly (readonly Write[])[]): number {
  const home = mkdtempSync(join(tmpdir(), "kith-bare-"));
  const db = new DatabaseSync(join(home, "bare.db"));
  db.exec(SCHEMA);
  const statements = new Map<string, StatementSync>(
    Object.entries(sql).map(([name, text]) => [name, db.prepare(text)]),
  );
  const work = batches.map((writes) => writes.flatMap(plain));
  const began = performance.now();
  for (const rows of work) {
    db.exec("BEGIN IMMEDIATE");
    for (const [name, values] of rows) statements.get(name)?.run(...values);
    db.exec("COMMIT");
  }
  const ms = performance.now() - began;
  db.close();
  rmSync(home, { recursive: true });
  return ms;
}
