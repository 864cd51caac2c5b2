/** Ways to take an audit trail apart: by accident, by hand, and by somebody who knows how it works. */
import type { DatabaseSync } from "node:sqlite";
import { append, genesis, type Head } from "@kith/gateway/audit/chain";
import { sumOf } from "@kith/gateway/store/schema";

/** Somebody who knows how it works: writes a chain that fits itself, and `meta` with it. */
function forge(db: DatabaseSync, rows: { at: number; what: string; data: string }[]): void {
  db.exec("DELETE FROM audit");
  const put = db.prepare("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)");
  let head: Head = genesis;
  for (const { at, what, data } of rows) {
    const link = append(head, at, what, data);
    put.run(link.seq, at, what, data, link.prev, link.hash);
    head = link;
  }
  const meta = db.prepare("SELECT epoch, commits, wall, clean FROM meta").get() as Record<
    string,
    number
  >;
  const sum = sumOf(
    [meta["epoch"], meta["commits"], head.seq, meta["wall"], meta["clean"]],
    head.hash,
  );
  db.prepare("UPDATE meta SET seq = ?, head = ?, sum = ?").run(head.seq, head.hash, sum);
}

const rowsOf = (db: DatabaseSync) =>
  db.prepare("SELECT at, what, data FROM audit ORDER BY seq").all() as {
    at: number;
    what: string;
    data: string;
  }[];

/** Each takes the trail apart in its way; `n` is a row in the middle. */
export const attacks: Record<string, (db: DatabaseSync, n: number) => void> = {
  "tears a row": (db, n) =>
    db.prepare("UPDATE audit SET data = substr(data, 1, length(data) / 2) WHERE seq = ?").run(n),
  "edits a value": (db, n) =>
    db.prepare("UPDATE audit SET data = replace(data, 'c', 'd') WHERE seq = ?").run(n),
  "edits a time": (db, n) => db.prepare("UPDATE audit SET at = at + 1 WHERE seq = ?").run(n),
  "swaps two rows": (db, n) =>
    db.exec(`UPDATE audit SET seq = 0 WHERE seq = ${n}; UPDATE audit SET seq = ${n} WHERE seq = ${n + 1};
      UPDATE audit SET seq = ${n + 1} WHERE seq = 0`),
  "takes a row out": (db, n) => db.prepare("DELETE FROM audit WHERE seq = ?").run(n),
  "cuts the end": (db, n) => db.prepare("DELETE FROM audit WHERE seq > ?").run(n),
  "cuts the end and mends the rest": (db, n) => forge(db, rowsOf(db).slice(0, n)),
  "takes a row out and mends the rest": (db, n) => forge(db, rowsOf(db).toSpliced(n, 1)),
  "edits a row and mends the rest": (db, n) =>
    forge(
      db,
      rowsOf(db).map((row, i) => (i === n ? { ...row, what: "call.denied" } : row)),
    ),
  "replaces all of it": (db) =>
    forge(
      db,
      rowsOf(db).map((row) => ({ ...row, what: "nothing.happened" })),
    ),
  "makes it longer": (db) =>
    forge(db, [...rowsOf(db), { at: 1, what: "owner.approved", data: "{}" }]),
  "empties it": (db) => forge(db, []),
};
