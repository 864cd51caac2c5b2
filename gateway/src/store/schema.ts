/**
 * The tables of kith.db, how they came to be, and how a damaged row is noticed.
 *
 * Whatever may hold bytes is a msgpackr blob; audit data is JSON text, readable with `sqlite3`.
 * Every other row that decides anything carries `sum`. SQLite itself checks the log, never the
 * main file: a flipped bit there would be read as data.
 */
import { closeSync, copyFileSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { KithError } from "@kith/shared/errors";
import type { EffectClass } from "@kith/shared/protocol/call";
import { Packr } from "msgpackr";
import type { ActorId, Table } from "../runtime/effect.ts";
import type { Saved, StepEnd } from "../runtime/store.ts";
import { genesis, verify, type Link } from "../audit/chain.ts";
import { syncFolder } from "./anchor.ts";

/**
 * `migrations[n]` turns version n into n + 1. What was released is never edited: add one.
 * `meta` keeps its form for ever, since the anchor is compared before anything is migrated.
 */
export const migrations: readonly string[] = [
  `
  -- Names of actors, once; other tables hold the number.
  CREATE TABLE ids (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
  CREATE TABLE actor (
    actor INTEGER PRIMARY KEY, kind TEXT NOT NULL, seq INTEGER NOT NULL, status TEXT NOT NULL,
    snapshot BLOB NOT NULL, sum INTEGER NOT NULL);
  CREATE TABLE journal (
    n INTEGER PRIMARY KEY, actor INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    event BLOB NOT NULL, sum INTEGER NOT NULL);
  CREATE INDEX journal_actor ON journal (actor, seq);
  CREATE TABLE inbox (
    n INTEGER PRIMARY KEY, actor INTEGER NOT NULL, msg TEXT NOT NULL, at INTEGER NOT NULL,
    attempts INTEGER NOT NULL, env BLOB NOT NULL, sum INTEGER NOT NULL, UNIQUE (actor, msg));
  -- Dedupe tombstones of messages whose turn is done.
  CREATE TABLE seen (
    n INTEGER PRIMARY KEY, actor INTEGER NOT NULL, msg TEXT NOT NULL, at INTEGER NOT NULL,
    UNIQUE (actor, msg));
  -- state and ended are not in sum: they change alone, and the index shows a flip in them.
  CREATE TABLE outbox (
    n INTEGER PRIMARY KEY, actor INTEGER NOT NULL, step TEXT NOT NULL UNIQUE, op TEXT NOT NULL,
    class TEXT NOT NULL, ord TEXT, expires INTEGER NOT NULL, at INTEGER NOT NULL,
    args BLOB NOT NULL, sum INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'open', ended INTEGER);
  CREATE INDEX outbox_ended ON outbox (ended, state);
  CREATE TABLE timer (
    n INTEGER PRIMARY KEY, actor INTEGER NOT NULL, name TEXT NOT NULL, due INTEGER NOT NULL,
    generation INTEGER NOT NULL, event BLOB NOT NULL, sum INTEGER NOT NULL, UNIQUE (actor, name));
  CREATE TABLE document (
    n INTEGER PRIMARY KEY, tbl TEXT NOT NULL, id TEXT NOT NULL, open INTEGER NOT NULL,
    at INTEGER NOT NULL, body BLOB NOT NULL, sum INTEGER NOT NULL, UNIQUE (tbl, id));
  CREATE INDEX document_open ON document (tbl, id) WHERE open = 1;
  CREATE INDEX document_at ON document (tbl, at);
  CREATE TABLE dead (
    n INTEGER PRIMARY KEY, actor INTEGER NOT NULL, error TEXT NOT NULL, at INTEGER NOT NULL,
    env BLOB NOT NULL, sum INTEGER NOT NULL);
  -- prev and hash: see audit/chain.ts.
  CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, data TEXT NOT NULL,
    prev BLOB NOT NULL, hash BLOB NOT NULL);
  CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, commits INTEGER NOT NULL,
    seq INTEGER NOT NULL, wall INTEGER NOT NULL, clean INTEGER NOT NULL, head BLOB NOT NULL,
    sum INTEGER NOT NULL);
  `,
];

/** Up to here a start reads every row (about 15 ms per MiB); above, they are checked when they are read, and by and by (scrub.ts). */
const DEEP_CHECK_BYTES = 32 * 1024 * 1024;

const packr = new Packr({ useRecords: false, variableMapSize: true });
/**
 * The packer writes into one buffer. What does not fit gets one of four times the size, and it would keep
 * making such for every small thing after it, each held by the results in it (msgpackr 2.1.3, makeRoom).
 */
const PACKING_BYTES = 65_536;
/** A column of a row that is no body: a number, a name, an id. */
const COLUMN_BYTES = 16;
/** What a batch of busy times needs; larger ones are rare, and their buffer is given back. */
const BATCHING_BYTES = 1024 * 1024;

const room = (bytes: number): void => packr.useBuffer(Buffer.allocUnsafeSlow(bytes));

export function pack(value: unknown): Uint8Array {
  const bytes = packr.pack(value);
  if (bytes.buffer.byteLength > PACKING_BYTES) room(PACKING_BYTES);
  return bytes;
}

/** Batches are packed in here and copied out: buffers made for each kept the garbage collector at work. */
let batching = Buffer.allocUnsafeSlow(PACKING_BYTES);

/** A buffer of its own, to be transferred. */
export function packBatch(batch: Batch): ArrayBuffer {
  // Above what it needs, or the packer would take four times that for a moment.
  let most = PACKING_BYTES / 2;
  for (const row of batch.rows)
    for (const column of row)
      most +=
        typeof column === "object" || typeof column === "string"
          ? COLUMN_BYTES + (column?.length ?? 0)
          : COLUMN_BYTES;
  if (most > batching.length) batching = Buffer.allocUnsafeSlow(most);
  // What is packed next goes on where the packer stands now.
  const { buffer } = packr.pack(null);
  const at = packr.position;
  packr.useBuffer(batching);
  const bytes = packr.pack(batch);
  packr.useBuffer(Buffer.from(buffer));
  packr.position = at;
  if (batching.length > BATCHING_BYTES) batching = Buffer.allocUnsafeSlow(PACKING_BYTES);
  return new Uint8Array(bytes).buffer;
}

export const unpack = (bytes: Uint8Array): unknown => packr.unpack(bytes);

/** The columns of each table with a sum, as they are bound and read: bytes last, then `sum`. */
export interface Columns {
  actor: [id: ActorId, kind: string, seq: number, status: Saved["status"], snapshot: Uint8Array];
  journal: [actor: ActorId, seq: number, at: number, event: Uint8Array];
  inbox: [to: ActorId, msg: string, at: number, attempts: number, env: Uint8Array];
  outbox: [
    ...what: [actor: ActorId, step: string, op: string, effect: EffectClass, order: string | null],
    ...when: [expires: number, at: number, args: Uint8Array],
  ];
  timer: [actor: ActorId, name: string, due: number, generation: number, event: Uint8Array];
  document: [tbl: Table, id: string, open: number, at: number, body: Uint8Array];
  dead: [to: ActorId, error: string, at: number, env: Uint8Array];
  meta: [
    epoch: number,
    commits: number,
    seq: number,
    wall: number,
    clean: number,
    head: Uint8Array,
  ];
}
export type Summed = keyof Columns;

/** One change as the writer binds it. Bodies are packed once, on the main thread. */
export type Row =
  | { [K in Exclude<Summed, "meta">]: [k: K, ...columns: Columns[K]] }[Exclude<Summed, "meta">]
  | [k: "taken", to: ActorId, msg: string, at: number]
  | [k: "stepEnd", step: string, state: StepEnd, at: number]
  | [k: "untimer", actor: ActorId, name: string]
  | [k: "undead", n: number]
  | [k: "audit", at: number, what: string, data: string]
  | [k: "attempt", to: ActorId, msg: string, attempts: number];

/** What crosses to the writer. `wall`: Unix ms of the newest write, 0 when none says. */
export interface Batch {
  readonly wall: number;
  readonly rows: readonly Row[];
}

const columns: Readonly<Record<Summed, string>> = {
  actor: "ids.id, kind, seq, status, snapshot",
  journal: "ids.id, seq, at, event",
  inbox: "ids.id, msg, at, attempts, env",
  outbox: "ids.id, step, op, class, ord, expires, at, args",
  timer: "ids.id, name, due, generation, event",
  document: "tbl, id, open, at, body",
  dead: "ids.id, error, at, env",
  meta: "epoch, commits, seq, wall, clean, head",
};

export const summed = Object.keys(columns) as Summed[];

/** The query whose rows `checked` understands. */
export function select(table: Summed, rest = ""): string {
  // An outer join: a row whose actor lost its name must fail its sum, not disappear.
  const names = columns[table].startsWith("ids.") ? `LEFT JOIN ids ON ids.n = ${table}.actor` : "";
  return `SELECT ${columns[table]}, ${table}.sum FROM ${table} ${names} ${rest}`;
}

/** A statement whose rows are arrays, which its types do not say. */
export function arrays(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}

export const asRow = (row: unknown) => row as SQLOutputValue[];

const only = (db: DatabaseSync, sql: string): unknown =>
  Object.values(db.prepare(sql).get() ?? {})[0];

/** CRC-32 of a row: finds every flipped bit and every burst of up to 32. Not against a person. */
export const sumOf = (scalars: readonly unknown[], bytes: Uint8Array): number =>
  crc32(bytes, crc32(scalars.join("\0")));

/**
 * A row of `select`, believed because its sum fits.
 * @throws KithError store-damaged
 */
export function checked<K extends Summed>(table: K, row: readonly SQLOutputValue[]): Columns[K] {
  const bytes = row.at(-2);
  if (!(bytes instanceof Uint8Array) || sumOf(row.slice(0, -2), bytes) !== row.at(-1)) {
    const what = `a row of "${table}" is not what was written`;
    throw new KithError("store-damaged", `The database is damaged: ${what}.`);
  }
  return row.slice(0, -1) as Columns[K];
}

/** `PRAGMA user_version`, or an error when a newer Kith wrote it. */
export function versionOf(db: DatabaseSync, known = migrations.length): number {
  const version = Number(only(db, "PRAGMA user_version"));
  if (version <= known) return version;
  throw new KithError(
    "store-newer",
    `The database has version ${version}; this Kith knows ${known}.`,
  );
}

/** Brings the tables up to date. `keep` makes the way back, once, before a file with content changes. */
export function migrate(
  db: DatabaseSync,
  keep: (version: number) => void,
  steps = migrations,
): void {
  const from = versionOf(db, steps.length);
  if (from > 0 && from < steps.length) keep(from);
  for (const [version, step] of steps.entries()) {
    if (version < from) continue;
    db.exec(`BEGIN IMMEDIATE; ${step}; PRAGMA user_version = ${version + 1}; COMMIT`);
  }
}

/** Keeps the way back before a migration: the database and the anchor that belongs to it. */
export function keepCopy(home: string, db: DatabaseSync, version: number): void {
  const copy = join(home, `kith.db.version-${version}`);
  rmSync(`${copy}.new`, { force: true });
  // Not a file copy: closing any descriptor of kith.db would drop SQLite's own locks on it.
  db.prepare("VACUUM INTO ?").run(`${copy}.new`);
  copyFileSync(join(home, "anchor"), join(home, `anchor.version-${version}`));
  const fd = openSync(`${copy}.new`, "r+");
  fsyncSync(fd);
  closeSync(fd);
  renameSync(`${copy}.new`, copy);
  syncFolder(home);
}

/** Rows of the audit trail, as they lie there. */
export function* auditRows(db: DatabaseSync, where: string): Generator<Link> {
  const found = arrays(db, `SELECT seq, at, what, data, prev, hash FROM audit ${where}`);
  for (const row of found.iterate()) {
    const [seq, at, what, data, prev, hash] = row as unknown as AuditColumns;
    yield { seq, at, what, data, prev, hash };
  }
}
type AuditColumns = [number, number, string, string, Uint8Array, Uint8Array];

/**
 * Reads the file once, as far as a start can afford. True when that was every row.
 * @throws KithError store-damaged
 */
export function inspect(db: DatabaseSync): boolean {
  const [pages, size] = ["page_count", "page_size"].map((name) =>
    Number(only(db, `PRAGMA ${name}`)),
  );
  const deep = (pages ?? 0) * (size ?? 0) <= DEEP_CHECK_BYTES;
  // quick_check reads all pages but compares no index with its table; where a lookup that misses
  // would go unnoticed (a step not taken up, a message let in twice) that is done as well.
  const looked = ["ids", "actor", "inbox", "seen", "outbox", "timer", "document"];
  const checks = deep
    ? ["integrity_check(1)"]
    : ["quick_check(1)", ...looked.map((table) => `integrity_check(${table})`)];
  for (const check of checks) {
    const said = only(db, `PRAGMA ${check}`);
    if (said !== "ok") throw new KithError("store-damaged", `The database is damaged: ${said}.`);
  }
  for (const table of deep ? summed : (["meta"] as const)) {
    for (const row of arrays(db, select(table)).iterate()) checked(table, asRow(row));
  }
  if (deep) {
    const { problem } = verify(auditRows(db, "ORDER BY seq"), genesis);
    if (problem !== undefined)
      throw new KithError(
        "store-damaged",
        `The database is damaged: in its audit trail ${problem}.`,
      );
  }
  return deep;
}
