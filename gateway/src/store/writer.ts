/**
 * The only thread that writes: it holds the lock, the read-write connection and the anchor.
 *
 *   open    lock ─► compare with the anchor ─► migrate ─► raise the owner epoch
 *   commit  BEGIN ─► epoch still ours? ─► rows, meta ─► COMMIT ─► anchor ─► answer ─► shorten the log
 *   close   mark the stop as clean ─► release the lock
 *
 * A worker, because `node:sqlite` is synchronous and an fsync would hold up every socket. An
 * error that leaves the outcome open ends it: after a failed fsync the kernel may have dropped
 * the very page that the next one would report as safe.
 */
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { readFileSync, renameSync, rmSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { SQLInputValue, StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { KithError, type ErrorCode } from "@kith/shared/errors";
import { append, genesis, type Head } from "../audit/chain.ts";
import { crashpoint } from "../runtime/crashpoint.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { Opened } from "../runtime/store.ts";
import { compare, openAnchor, readAnchor, syncFolder } from "./anchor.ts";
import { arrays, asRow, checked, inspect, keepCopy, migrate } from "./schema.ts";
import { scrub } from "./scrub.ts";
import { forget, stalled, watch } from "./stall.ts";
import { select, sumOf, unpack, versionOf, type Batch, type Row, type Summed } from "./schema.ts";

/**
 * What the main thread asks; every request gets one answer with its id, in order. A second one, fatal,
 * says that tidying up after it failed: what was answered stands.
 */
export type Request =
  | { readonly id: number; readonly op: "open" }
  | { readonly id: number; readonly op: "close"; readonly clean: boolean }
  | { readonly id: number; readonly op: "commit"; readonly batch: ArrayBuffer };

export interface Answer {
  readonly id: number;
  readonly opened?: Opened;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  /** The outcome is open and nothing will be written any more: end the process. */
  readonly fatal?: boolean;
}

/** Said without having been asked, once: a row that nobody needed just now is damaged. */
export interface Damage {
  readonly damaged: NonNullable<Answer["error"]>;
}

/** How long another connection (a person's `sqlite3`) may hold up a commit. */
const BUSY_MS = 5_000;

/** Given up when the disk is full, so that the notice and the shutdown can still be written. */
const RESERVE_BYTES = 1024 * 1024;

/**
 * 1 MiB, a quarter of SQLite's own choice and as fast: on a full disk the log must still fit into
 * the main file once the reserve is given back, or nothing would work again after space returns.
 */
const LOG_PAGES = 256;

/** After a burst of commits the log shrinks back to this. */
const LOG_BYTES = 16 * 1024 * 1024;

/** Names kept in memory: about 2 MB at most, and more than are ever awake at once. */
const MAX_NUMBERS = 20_000;

const KEPT_MS = 30 * 86_400_000;
/** What was said with a model. */
const TALK_KEPT_MS = 90 * 86_400_000;
const PURGE_EVERY_MS = 3_600_000;
/** After a bite that found as much as it may take. */
const PURGE_AGAIN_MS = 1_000;
const PURGE_ROWS = 500;

/** Between two bites of the scrub, and between two rounds of it. */
const BITE_EVERY_MS = 100;
const SCRUB_EVERY_MS = 86_400_000;

interface Meta {
  readonly epoch: number;
  readonly commits: number;
  readonly audit: Head;
  readonly wall: number;
  readonly clean: boolean;
}

const fresh: Meta = { epoch: 0, commits: 0, audit: genesis, wall: 0, clean: true };

/** How each change is made. The parameters are the row's columns, actors as numbers. */
const changes = {
  actor: "REPLACE INTO actor (actor, kind, seq, status, snapshot, sum) VALUES (?, ?, ?, ?, ?, ?)",
  journal: "INSERT INTO journal (actor, seq, at, event, sum) VALUES (?, ?, ?, ?, ?)",
  inbox: `INSERT INTO inbox (actor, msg, at, attempts, env, sum) SELECT ?1, ?2, ?3, ?4, ?5, ?6
    WHERE NOT EXISTS (SELECT 1 FROM seen WHERE actor = ?1 AND msg = ?2)
    ON CONFLICT (actor, msg) DO NOTHING`,
  outbox: `INSERT INTO outbox (actor, step, op, class, ord, expires, at, args, sum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  timer: "REPLACE INTO timer (actor, name, due, generation, event, sum) VALUES (?, ?, ?, ?, ?, ?)",
  // Not REPLACE, which would remake the row and its place in three indexes.
  document: `INSERT INTO document (tbl, id, open, at, body, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (tbl, id) DO UPDATE SET open = ?3, at = ?4, body = ?5, sum = ?6`,
  dead: "INSERT INTO dead (actor, error, at, env, sum) VALUES (?, ?, ?, ?, ?)",
  meta: `REPLACE INTO meta (one, epoch, commits, seq, wall, clean, head, sum)
    VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
  takeInbox: "DELETE FROM inbox WHERE actor = ? AND msg = ?",
  seen: "INSERT INTO seen (actor, msg, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
  stepEnd: "UPDATE outbox SET state = ?, ended = ? WHERE step = ?",
  undead: "DELETE FROM dead WHERE n = ?",
  untimer: "DELETE FROM timer WHERE actor = ? AND name = ?",
  audit: "INSERT INTO audit (seq, at, what, data, prev, hash) VALUES (?, ?, ?, ?, ?, ?)",
  attempt: "UPDATE inbox SET attempts = ?, sum = ? WHERE actor = ? AND msg = ?",
  name: "INSERT INTO ids (id) VALUES (?) ON CONFLICT DO NOTHING",
} as const;

/** One bite each. Rows are about in the order of time, so the oldest come first. */
const purges = [
  ...["seen", "journal"].map(
    (table) => `DELETE FROM ${table} WHERE n IN
      (SELECT n FROM (SELECT n, at FROM ${table} ORDER BY n LIMIT ${PURGE_ROWS}) WHERE at < ?)`,
  ),
  `DELETE FROM outbox WHERE n IN (SELECT n FROM outbox WHERE ended < ? LIMIT ${PURGE_ROWS})`,
  // Devices and settings are few, and a revoked device is worth remembering. Conversations are kept longer.
  ...Object.entries({
    call: 0,
    grant: 0,
    schedule: 0,
    item: TALK_KEPT_MS - KEPT_MS,
    usage: TALK_KEPT_MS - KEPT_MS,
  }).map(
    ([table, more]) => `DELETE FROM document WHERE n IN
      (SELECT n FROM document WHERE tbl = '${table}' AND open = 0 AND at < ? - ${more} LIMIT ${PURGE_ROWS})`,
  ),
];

const errcode = (thrown: unknown): number =>
  ((thrown as { errcode?: unknown }).errcode as number | undefined) ?? 0;

/** What a person reads; SQLite's own words name tables, never content. */
function toKith(thrown: unknown, opening: boolean): KithError {
  if (thrown instanceof KithError) return thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  const [full, corrupt, notDatabase, sqlError, shortRead, indexSize] = [13, 11, 26, 1, 522, 4874];
  const primary = errcode(thrown) & 0xff;
  // No room for the shared index of the log; later than at a start that leaves the outcome open.
  const noIndex = opening && errcode(thrown) === indexSize;
  if (primary === full || code === "ENOSPC" || noIndex) {
    return new KithError("disk-full", "The disk is full; nothing of this was stored.", {
      cause: thrown,
    });
  }
  // At a start our SQL meets a schema that it does not know: a flipped bit in the schema's text.
  const strange = opening && (primary === sqlError || errcode(thrown) === shortRead);
  if (primary === corrupt || primary === notDatabase || strange) {
    return new KithError("store-damaged", `The database is damaged: ${message}.`, {
      cause: thrown,
    });
  }
  return new KithError("internal", `The database failed: ${message}.`, { cause: thrown });
}

function holder(about: string): string {
  try {
    const { pid, since } = JSON.parse(readFileSync(about, "utf8")) as Record<string, unknown>;
    return `(process ${pid}, since ${since}) `;
  } catch {
    return ""; // it took the lock this very moment and has not written the file yet
  }
}

/** The operating system drops the lock when the process dies, so there is no stale one to judge. */
function takeLock(home: string): () => void {
  const about = join(home, "lock.json");
  const lock = new DatabaseSync(join(home, "lock.db"), { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (thrown) {
    lock.close();
    const busy = 5;
    if ((errcode(thrown) & 0xff) !== busy) throw thrown;
    throw new KithError("home-locked", `Another gateway ${holder(about)}has this home.`);
  }
  const since = new Date(Date.now() - process.uptime() * 1000).toISOString();
  writeFileSync(`${about}.new`, JSON.stringify({ pid: process.pid, since }), { mode: 0o600 });
  renameSync(`${about}.new`, about);
  return () => {
    rmSync(about, { force: true });
    lock.close();
  };
}

function openWriter(home: string) {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const release = takeLock(home);
  crashpoint("bt.lock");
  const file = join(home, "kith.db");
  const known = readAnchor(join(home, "anchor"));
  // Made here for its mode; SQLite gives its other files the same.
  closeSync(openSync(file, "a", 0o600));
  const db = new DatabaseSync(file, { timeout: BUSY_MS });
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = ${LOG_BYTES}`);
  let meta = fresh;
  /** Whether every row was looked at just now. */
  let inspected = true;
  if (versionOf(db) > 0) {
    inspected = inspect(db);
    meta = readMeta();
  }
  compare({ epoch: meta.epoch, commit: meta.commits, audit: meta.audit }, known, hashOfRow);
  const anchor = openAnchor(join(home, "anchor"));
  // A crash between a commit and its anchor left it one behind, and the next commit may end the
  // same way: level first, because two behind is damage.
  if (known.commit < meta.commits) witness(meta);
  migrate(db, (version) => keepCopy(home, db, version));
  crashpoint("bt.anchor");

  const sql = Object.fromEntries(
    Object.entries(changes).map(([name, text]) => [name, db.prepare(text)]),
  ) as Record<keyof typeof changes, StatementSync>;
  const findName = db.prepare("SELECT n FROM ids WHERE id = ?");
  const findInbox = arrays(db, select("inbox", "WHERE inbox.actor = ? AND msg = ?"));
  const epochNow = db.prepare("SELECT epoch, commits FROM meta");
  // SQLite before 3.51 does not know NOOP and takes it for PASSIVE: right, only slower.
  const logNow = db.prepare("PRAGMA wal_checkpoint(NOOP)");
  const shorten = db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
  const bites = purges.map((text) => db.prepare(text));

  const numbers = new Map<string, number>();
  let nextPurge = 0;
  const reserve = join(home, "reserve");
  let reserved = existsSync(reserve);

  const stall = stalled(home, meta.epoch);
  const opened: Opened = {
    epoch: meta.epoch + 1,
    clean: meta.clean,
    lastWallMs: meta.wall,
    ...(stall ? { stalled: stall.to as ActorId } : {}),
  };
  transact(meta.epoch, (before) => {
    if (stall) blame(stall);
    return { ...before, epoch: opened.epoch, clean: false };
  });
  forget(home);
  syncFolder(home);
  crashpoint("bt.epoch");

  /** The last process hung on this message: one more try that failed. */
  function blame({ to, msg }: { to: string; msg: string }): void {
    const waiting: unknown = findInbox.get(numberOf(to), msg);
    if (waiting === undefined) return;
    const [, , , attempts] = checked("inbox", asRow(waiting));
    apply(["attempt", to as ActorId, msg, attempts + 1], meta.audit);
  }

  function readMeta(): Meta {
    const row: unknown = arrays(db, select("meta")).get();
    if (row === undefined) return fresh;
    const [epoch, commits, seq, wall, clean, hash] = checked("meta", asRow(row));
    return { epoch, commits, audit: { seq, hash }, wall, clean: clean === 1 };
  }

  function hashOfRow(seq: number): Uint8Array | undefined {
    return db.prepare("SELECT hash FROM audit WHERE seq = ?").get(seq)?.["hash"] as
      | Uint8Array
      | undefined;
  }

  function witness({ epoch, commits, audit }: Meta): void {
    crashpoint("an.write");
    anchor.write({ epoch, commit: commits, audit });
    anchor.synced();
    crashpoint("an.synced");
  }

  /** One transaction, then the anchor. When it throws disk-full, nothing has happened. */
  function transact(epoch: number, change: (before: Meta) => Meta): void {
    crashpoint("wr.begin");
    let after: Meta;
    try {
      db.exec("BEGIN IMMEDIATE");
      if (((epochNow.get()?.["epoch"] as number | undefined) ?? 0) !== epoch) {
        db.exec("ROLLBACK");
        throw new KithError("store-fenced", "Another gateway took over this home.");
      }
      after = { ...change(meta), commits: meta.commits + 1 };
      const { commits, audit } = after;
      const scalars = [after.epoch, commits, audit.seq, after.wall, after.clean ? 1 : 0];
      sql.meta.run(...scalars, audit.hash, sumOf(scalars, audit.hash));
      crashpoint("wr.commit");
      db.exec("COMMIT");
    } catch (thrown) {
      if (toKith(thrown, false).code === "disk-full") undo();
      throw thrown;
    }
    crashpoint("wr.committed");
    meta = after;
    try {
      witness(meta);
    } catch (thrown) {
      // Not even "disk full" may pass as such: the transaction is on disk.
      throw new KithError("internal", "The anchor could not be written.", { cause: thrown });
    }
  }

  /** Not left to SQLite, which keeps a sync that failed in it to itself, and syncs again later. */
  function shortenLog(): void {
    if (Number(logNow.get()?.["log"]) < LOG_PAGES) return;
    try {
      shorten.get();
    } catch (thrown) {
      // No room to grow for the main file: all is in the log, and a later commit tries again.
      if (toKith(thrown, false).code !== "disk-full") throw thrown;
    }
  }

  /** Makes sure that the failed transaction is gone; `serve` gives the reserve to the next one. */
  function undo(): void {
    numbers.clear();
    if (db.isTransaction) db.exec("ROLLBACK");
    const commits = (epochNow.get()?.["commits"] as number | undefined) ?? 0;
    if (commits !== meta.commits) throw new KithError("internal", "A commit could not be undone.");
    reserved = false;
  }

  function keepReserve(): void {
    try {
      const { bavail, bsize } = statfsSync(home);
      if (bavail * bsize < 2 * RESERVE_BYTES) return;
      const fd = openSync(reserve, "w", 0o600);
      try {
        // Random, because some file systems keep no space for zeros. Short when full again.
        reserved = writeSync(fd, randomBytes(RESERVE_BYTES)) === RESERVE_BYTES;
      } finally {
        closeSync(fd);
      }
    } catch {
      // Whatever it was: the commit before it stands and must not be reported as failed.
      // A later commit tries again.
    }
  }

  function numberOf(actor: string): number {
    const kept = numbers.get(actor);
    if (kept !== undefined) return kept;
    sql.name.run(actor);
    const n = findName.get(actor)?.["n"] as number;
    if (numbers.size >= MAX_NUMBERS) numbers.clear();
    numbers.set(actor, n);
    return n;
  }

  /** Makes one change; returns the head of the audit chain after it. */
  function apply(row: Row, head: Head): Head {
    switch (row[0]) {
      case "taken": {
        const [, to, msg, at] = row;
        sql.takeInbox.run(numberOf(to), msg);
        sql.seen.run(numberOf(to), msg, at);
        return head;
      }
      case "stepEnd": {
        const [, step, state, at] = row;
        sql.stepEnd.run(state, at, step);
        return head;
      }
      case "undead":
        sql.undead.run(row[1]);
        return head;
      case "untimer": {
        const [, actor, name] = row;
        sql.untimer.run(numberOf(actor), name);
        return head;
      }
      case "audit": {
        const [, at, what, data] = row;
        const link = append(head, at, what, data);
        sql.audit.run(link.seq, at, what, data, link.prev, link.hash);
        return link;
      }
      case "attempt": {
        const [, to, msg, attempts] = row;
        const waiting: unknown = findInbox.get(numberOf(to), msg);
        if (waiting === undefined) return head;
        const [, , at, , env] = checked("inbox", asRow(waiting));
        sql.attempt.run(attempts, sumOf([to, msg, at, attempts], env), numberOf(to), msg);
        return head;
      }
      default:
        insert(row[0], row);
        return head;
    }
  }

  function insert(table: Exclude<Summed, "meta">, row: Row): void {
    const values = row.slice(1) as SQLInputValue[];
    const sum = sumOf(values.slice(0, -1), values.at(-1) as Uint8Array);
    if (table !== "document") values[0] = numberOf(String(values[0]));
    sql[table].run(...values, sum);
  }

  function purge(wall: number): void {
    const most = Math.max(...bites.map((bite) => Number(bite.run(wall - KEPT_MS).changes)));
    nextPurge = wall + (most === PURGE_ROWS ? PURGE_AGAIN_MS : PURGE_EVERY_MS);
  }

  return {
    opened,
    inspected,
    scrub: () => scrub(db),
    /** What can wait until the commit is answered: all of it is on disk. */
    tidy(): void {
      shortenLog();
      if (!reserved) keepReserve();
    },
    commit({ wall, rows }: Batch): void {
      transact(opened.epoch, (before) => {
        let audit = before.audit;
        for (const row of rows) audit = apply(row, audit);
        if (wall >= nextPurge) purge(wall);
        return { ...before, audit, wall: Math.max(wall, before.wall) };
      });
    },
    /** Marks the stop as clean if it is one, and that can be said. */
    close(clean: boolean): void {
      try {
        if (clean) transact(opened.epoch, (before) => ({ ...before, clean: true }));
      } catch (thrown) {
        // A full disk or a successor: nothing is lost, the next start just takes it for a crash.
        if (!["disk-full", "store-fenced"].includes(toKith(thrown, false).code)) throw thrown;
      }
      db.close();
      anchor.close();
      release();
    },
  };
}

type Writer = ReturnType<typeof openWriter>;

export interface WriterData {
  readonly home: string;
  /** What the main thread runs; without it nobody looks for stalls. */
  readonly pulse?: SharedArrayBuffer;
  readonly stallMs: number;
}

/** Reads everything once a day between the commits, at once where the start could not afford it. */
function scrubDaily(writer: Writer, damaged: (why: KithError) => void): () => void {
  let bite = writer.scrub();
  let timer = setTimeout(next, writer.inspected ? SCRUB_EVERY_MS : BITE_EVERY_MS);
  function next(): void {
    try {
      const more = bite();
      if (!more) bite = writer.scrub();
      timer = setTimeout(next, more ? BITE_EVERY_MS : SCRUB_EVERY_MS);
    } catch (thrown) {
      damaged(toKith(thrown, false));
    }
  }
  return () => clearTimeout(timer);
}

function serve(port: NonNullable<typeof parentPort>, { home, pulse, stallMs }: WriterData): void {
  let writer: Writer | undefined;
  let stopScrub = () => {};
  let stopWatch = () => {};
  let broken: Answer["error"];
  const damaged = ({ code, message }: KithError): void =>
    port.postMessage({ damaged: { code, message } } satisfies Damage);
  port.on("message", (request: Request) => {
    const { id, op } = request;
    try {
      if (broken !== undefined)
        return port.postMessage({ id, error: broken, fatal: true } satisfies Answer);
      if (op === "open") {
        writer = openWriter(home);
        stopScrub = scrubDaily(writer, damaged);
        if (pulse) stopWatch = watch(pulse, { home, epoch: writer.opened.epoch, limitMs: stallMs });
      } else if (request.op === "commit")
        writer?.commit(unpack(new Uint8Array(request.batch)) as Batch);
      else {
        stopScrub();
        stopWatch();
        writer?.close(request.clean);
      }
      port.postMessage({
        id,
        ...(op === "open" && writer ? { opened: writer.opened } : {}),
      } satisfies Answer);
      if (op !== "close") writer?.tidy();
    } catch (thrown) {
      const { code, message } = toKith(thrown, op === "open");
      const fatal = op !== "open" && code !== "disk-full" && code !== "store-fenced";
      if (fatal) {
        broken = { code, message };
        stopScrub();
      }
      if (code === "disk-full") rmSync(join(home, "reserve"), { force: true });
      port.postMessage({ id, error: { code, message }, fatal } satisfies Answer);
    }
    return undefined;
  });
}

if (parentPort) serve(parentPort, workerData as WriterData);
