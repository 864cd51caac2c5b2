/**
 * Reads the database by and by and looks whether every row is what was written: damage to what
 * nobody reads for months is noticed while there is still a backup without it.
 *
 *   journal ─ inbox ─ … ─ document ─ dead ─ audit trail      one small bite after the other
 *
 * Indexes are compared with their tables at each start (schema.ts), not here.
 */
import type { DatabaseSync } from "node:sqlite";
import { KithError } from "@kith/shared/errors";
import { genesis, verify, type Head } from "../audit/chain.ts";
import { arrays, asRow, auditRows, checked, select, summed } from "./schema.ts";

/** Rows of one bite: 1 ms, which is how long a commit may have to wait for it. */
const BITE_ROWS = 64;

/** Reads one bite. False when that was the end of the round. @throws KithError store-damaged */
export type Bite = () => boolean;

/** One round through every table. */
export function scrub(db: DatabaseSync): Bite {
  const left = [...summed];
  let after = 0;
  let head: Head = genesis;

  return () => {
    const table = left[0];
    if (table === undefined) return auditBite();
    const last = db
      .prepare(
        `SELECT max(r) AS last FROM (SELECT rowid AS r FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${BITE_ROWS})`,
      )
      .get(after)?.["last"];
    if (typeof last !== "number") {
      left.shift();
      after = 0;
      return true;
    }
    const rows = arrays(db, select(table, `WHERE ${table}.rowid > ? AND ${table}.rowid <= ?`));
    for (const row of rows.iterate(after, last)) checked(table, asRow(row));
    after = last;
    return true;
  };

  function auditBite(): boolean {
    const from = head;
    const rows = auditRows(db, `WHERE seq > ${from.seq} ORDER BY seq LIMIT ${BITE_ROWS}`);
    const found = verify(rows, genesis, from);
    if (found.problem !== undefined)
      throw new KithError(
        "store-damaged",
        `The database is damaged: in its audit trail ${found.problem}.`,
      );
    head = found.head;
    return head.seq > from.seq;
  }
}
