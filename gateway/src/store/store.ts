/**
 * The runtime's `Store` on a folder: kith.db, its anchor and its lock.
 *
 *   main thread   commit ── one packed batch ──► writer thread ──► kith.db, anchor
 *                 every read ◄── a connection of its own, read-only ── kith.db
 */
import { join } from "node:path";
import {
  DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementSync,
} from "node:sqlite";
import { Worker } from "node:worker_threads";
import { KithError } from "@kith/shared/errors";
import { canonical, hex, intact, verify, type Head, type Link } from "../audit/chain.ts";
import type { ActorId, Envelope, Event } from "../runtime/effect.ts";
import type { AuditRow, Entry, Opened, Spoken, Store, Write } from "../runtime/store.ts";
import { readAnchor } from "./anchor.ts";
import {
  checked,
  pack,
  packBatch,
  select,
  unpack,
  type Columns,
  type Row,
  type Summed,
} from "./schema.ts";
import type { Pulse } from "./stall.ts";
import type { Answer, Damage, Request, WriterData } from "./writer.ts";

export interface StoreOptions {
  /** What the main thread runs; without it nobody looks for turns that never end. */
  readonly pulse?: Pulse;
  /** The writer is gone or the outcome of a commit is unknown: end the process. Called once at most. */
  readonly onFatal?: (why: Error) => void;
  /** A row that nobody needed just now is damaged; what is read is checked anyway. Called once at most. */
  readonly onDamage?: (why: KithError) => void;
}

/** A query reads this many audit rows at a time: memory stays flat however long the trail is. */
const AUDIT_CHUNK = 1_000;
/** Open steps that are read at once. */
const PAGE = 512;

/** Source runs as it is; a bundle has the writer as a second file beside it. */
const WRITER = new URL(
  import.meta.url.endsWith(".ts") ? "./writer.ts" : "./writer.mjs",
  import.meta.url,
);

/** A turn takes milliseconds; one that runs this long never ends. */
const STALL_MS = 10_000;

const inspected = (): boolean => process.execArgv.some((arg) => arg.startsWith("--inspect"));

/** One home's database. Nothing is touched before `open()`. */
export function openStore(home: string, options: StoreOptions = {}): Store {
  const file = join(home, "kith.db");
  const waiting = new Map<
    number,
    { resolve: (answer: Answer) => void; reject: (why: Error) => void }
  >();
  const statements = new Map<string, StatementSync>();
  let requests = 0;
  let worker: Worker | undefined;
  let reader: DatabaseSync | undefined;
  let failed: Error | undefined;
  let closing = false;

  function fail(why: Error): void {
    if (failed !== undefined) return;
    failed = why;
    for (const { reject } of waiting.values()) reject(why);
    waiting.clear();
    options.onFatal?.(why);
  }

  function start(): Worker {
    const workerData: WriterData = {
      home,
      stallMs: STALL_MS,
      // A debugger holds the main thread as long as it likes.
      ...(options.pulse && !inspected() ? { pulse: options.pulse.memory } : {}),
    };
    const started = new Worker(WRITER, { workerData, name: "store" });
    started.on("message", (answer: Answer | Damage) => {
      if ("damaged" in answer) {
        const { code, message } = answer.damaged;
        return options.onDamage?.(new KithError(code, message));
      }
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.error === undefined) return asked?.resolve(answer);
      const error = new KithError(answer.error.code, answer.error.message);
      asked?.reject(error);
      if (answer.fatal === true) fail(error);
      return undefined;
    });
    started.on("error", (cause) =>
      fail(new KithError("internal", "The writer of the database failed.", { cause })),
    );
    started.on("exit", () => {
      if (!closing) fail(new KithError("internal", "The writer of the database ended."));
    });
    return started;
  }

  function ask(
    request:
      | { op: "open" }
      | { op: "close"; clean: boolean }
      | { op: "commit"; batch: ArrayBuffer },
  ): Promise<Answer> {
    if (failed !== undefined) return Promise.reject(failed);
    const to = worker;
    if (to === undefined)
      return Promise.reject(new KithError("internal", "The store is not open."));
    const id = ++requests;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      to.postMessage(
        { id, ...request } satisfies Request,
        "batch" in request ? [request.batch] : [],
      );
    });
  }

  async function stopWorker(): Promise<void> {
    closing = true;
    await worker?.terminate();
    worker = undefined;
  }

  /** Rows as arrays. Each call is a read transaction of its own and sees the newest commit. */
  function query(sql: string, ...params: SQLInputValue[]): SQLOutputValue[][] {
    if (reader === undefined) throw new KithError("internal", "The store is not open.");
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = reader.prepare(sql);
      statement.setReturnArrays(true);
      statements.set(sql, statement);
    }
    try {
      return statement.all(...params) as unknown as SQLOutputValue[][];
    } catch (cause) {
      throw new KithError("store-damaged", "The database could not be read.", { cause });
    }
  }

  const rows = <K extends Summed>(
    table: K,
    rest: string,
    ...params: SQLInputValue[]
  ): Columns[K][] => query(select(table, rest), ...params).map((row) => checked(table, row));

  const OF_ACTOR = "actor = (SELECT n FROM ids WHERE id = ?)";

  function links(where: string, ...params: SQLInputValue[]): Link[] {
    const found = query(`SELECT seq, at, what, data, prev, hash FROM audit ${where}`, ...params);
    return (found as [number, number, string, string, Uint8Array, Uint8Array][]).map(
      ([seq, at, what, data, prev, hash]) => ({ seq, at, what, data, prev, hash }),
    );
  }

  function* wholeChain(): Generator<Link> {
    let after = 0;
    for (;;) {
      const chunk = links("WHERE seq > ? ORDER BY seq LIMIT ?", after, AUDIT_CHUNK);
      yield* chunk;
      const last = chunk.at(-1);
      if (last === undefined) return;
      after = last.seq;
    }
  }

  const store: Store = {
    async open(): Promise<Opened> {
      if (worker !== undefined) throw new KithError("internal", "The store is open already.");
      closing = false;
      worker = start();
      try {
        const { opened } = await ask({ op: "open" });
        if (opened === undefined)
          throw new KithError("internal", "The writer did not say how it opened.");
        reader = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
        return opened;
      } catch (thrown) {
        await stopWorker();
        throw thrown;
      }
    },

    async commit(writes) {
      const wall = writes.findLast((write) => "at" in write)?.at ?? 0;
      await ask({ op: "commit", batch: packBatch({ wall, rows: writes.map(toRow) }) });
    },

    load(id) {
      const [row] = rows("actor", `WHERE ${OF_ACTOR}`, id);
      return row && { kind: row[1], seq: row[2], status: row[3], snapshot: row[4] };
    },

    actors(kind) {
      // "0" is the character after "/": all ids of the kind, in order, from the index of names.
      const found = query(
        `SELECT ids.id FROM ids CROSS JOIN actor ON actor.actor = ids.n
         WHERE ids.id >= ? AND ids.id < ? AND kind = ? AND status <> 'final' ORDER BY ids.id`,
        `${kind}/`,
        `${kind}0`,
        kind,
      );
      return found.map(([id]) => id as ActorId);
    },

    seen(to, msg) {
      const sql = `SELECT 1 FROM seen WHERE ${OF_ACTOR} AND msg = ?
        UNION ALL SELECT 1 FROM inbox WHERE ${OF_ACTOR} AND msg = ? LIMIT 1`;
      return query(sql, to, msg, to, msg).length > 0;
    },

    inbox: () =>
      rows("inbox", "ORDER BY inbox.n").map((row) => ({
        env: unpack(row[4]) as Envelope,
        attempts: row[3],
      })),

    *steps() {
      // By all columns of the index, or all rows with their bodies would be sorted: open ones have one state.
      const page = `WHERE ended IS NULL AND state = 'open' AND outbox.n > ? AND outbox.n <= ?
        ORDER BY ended, state, outbox.n LIMIT ${PAGE}`;
      const last = Number(query("SELECT max(n) FROM outbox")[0]?.[0] ?? 0);
      for (let after = 0; after < last;) {
        const found = rows("outbox", page, after, last);
        const end = found.at(-1)?.[1];
        if (end === undefined) return;
        after = Number(query("SELECT n FROM outbox WHERE step = ?", end)[0]?.[0]);
        for (const [actor, id, op, effect, order, expiresAt, , args] of found)
          yield {
            id,
            actor,
            op,
            class: effect,
            // Most wait behind others for long: the bytes are known to be whole, and unpacked when they are needed.
            get args() {
              return unpack(args);
            },
            expiresAt,
            ...(order === null ? {} : { order }),
          };
      }
    },

    openOrders: () =>
      new Set(
        query("SELECT DISTINCT ord FROM outbox WHERE ended IS NULL AND ord IS NOT NULL").map(
          ([order]) => order as string,
        ),
      ),

    timers: () =>
      rows("timer", "ORDER BY due, timer.n").map(([actor, name, due, generation, event]) => ({
        actor,
        name,
        due,
        generation,
        event: unpack(event) as Event,
      })),

    openDocuments: (table) =>
      rows("document", "WHERE tbl = ? AND open = 1 ORDER BY id", table).map((row) => ({
        id: row[1],
        body: unpack(row[4]),
      })),

    document(table, id) {
      const [row] = rows("document", "WHERE tbl = ? AND id = ?", table, id);
      return row && unpack(row[4]);
    },

    documents: (table, limit) =>
      rows("document", "WHERE tbl = ? ORDER BY at DESC, n DESC LIMIT ?", table, limit).map(
        (row) => ({ id: row[1], at: row[3], body: unpack(row[4]) }),
      ),

    series: (table, owner, limit, from = `${owner}/`) =>
      // "0" is the character after "/".
      rows(
        "document",
        "WHERE tbl = ? AND id >= ? AND id < ? ORDER BY id DESC LIMIT ?",
        ...[table, from, `${owner}0`, limit],
      )
        .map((row) => ({ id: row[1], body: unpack(row[4]) }))
        .toReversed(),

    lastStep: () => Number(query("SELECT max(n) FROM outbox")[0]?.[0] ?? 0),

    spoken(from, until, after) {
      const where =
        "outbox.n > ? AND outbox.at >= ? AND outbox.at < ? AND op IN ('model', 'say') ORDER BY outbox.n";
      const numbers = query(`SELECT n FROM outbox WHERE ${where}`, after, from, until);
      const steps = rows("outbox", `WHERE ${where}`, after, from, until).map(
        (row, place): Spoken => {
          const [actor, , op, , , , at, packed] = row;
          const n = Number(numbers[place]?.[0]);
          const args = unpack(packed);
          const { chat } = args as { chat?: string };
          return { n, actor, at, op: op as "say", args, ...(chat !== undefined && { chat }) };
        },
      );
      const items = rows(
        "document",
        "WHERE tbl = 'item' AND at >= ? AND at < ? ORDER BY document.n",
        ...[from, until],
      ).map((row): Spoken => {
        const actor = row[1].slice(0, row[1].lastIndexOf("/")) as ActorId;
        return { n: 0, actor, at: row[3], op: "item", args: unpack(row[4]) };
      });
      // Sorting is stable: what came in one moment stays in its order.
      return [...items, ...steps].sort((a, b) => a.at - b.at);
    },

    /** In order. After a row: the next ones; without: the newest. `about` is a value somewhere in `data`. */
    audit({ after, limit, about }) {
      const named = about === undefined ? "" : JSON.stringify(about);
      const found = links(
        `WHERE seq > ? AND (? = '' OR instr(data, ?) > 0) ORDER BY seq ${after === undefined ? "DESC" : ""} LIMIT ?`,
        after ?? 0,
        named,
        named,
        limit,
      );
      if (after === undefined) found.reverse();
      return found.map((row): AuditRow => {
        if (!intact(row))
          throw new KithError("store-damaged", `Row ${row.seq} of the audit trail was changed.`);
        const data = JSON.parse(row.data) as Readonly<Record<string, unknown>>;
        return { ...row, data, prev: hex(row.prev), hash: hex(row.hash) };
      });
    },

    journal: (actor, limit) =>
      rows(
        "journal",
        `WHERE ${OF_ACTOR} ORDER BY seq DESC, journal.n DESC LIMIT ?`,
        actor,
        limit,
      ).map(([, seq, at, body]) => ({ seq, at, ...fromJournal(unpack(body)) })),

    dead: (limit) =>
      query("SELECT n FROM dead ORDER BY n DESC LIMIT ?", limit).flatMap(([n]) =>
        rows("dead", "WHERE dead.n = ?", n as number).map(([, error, at, env]) => ({
          n: n as number,
          env: unpack(env) as Envelope,
          error,
          at,
        })),
      ),

    verifyAudit() {
      // Read first: whatever is committed from here on only makes the chain longer than the anchor.
      const anchor = readAnchor(join(home, "anchor"));
      reader?.exec("BEGIN");
      try {
        const [meta] = rows("meta", "");
        const noted: Head = { seq: meta?.[2] ?? 0, hash: meta?.[5] ?? new Uint8Array(32) };
        const { head, problem } = verify(wholeChain(), anchor.audit);
        const cut = head.seq !== noted.seq || hex(head.hash) !== hex(noted.hash);
        const what = problem ?? (cut ? `row ${noted.seq} should be the last one` : undefined);
        const result = { ok: what === undefined, rows: head.seq, head: hex(head.hash) };
        return what === undefined ? result : { ...result, problem: what };
      } finally {
        reader?.exec("COMMIT");
      }
    },

    async close({ clean } = { clean: true }) {
      if (worker === undefined) return;
      statements.clear();
      reader?.close();
      reader = undefined;
      try {
        // After a failure there is nothing to mark, and nothing may be synced again.
        if (failed === undefined) await ask({ op: "close", clean });
      } finally {
        await stopWorker();
      }
    },
  };
  return store;
}

type Journalled = Pick<Entry, "event" | "state" | "owed">;

/** A list, so that it cannot be taken for the bare event that older rows hold. */
const toJournal = ({ event, state, owed }: Journalled): unknown => [
  event,
  state ?? null,
  owed ?? [],
];

const fromJournal = (body: unknown): Journalled => {
  if (!Array.isArray(body)) return { event: body as Event };
  const [event, state, owed] = body as [Event, unknown, string[]];
  return {
    event,
    ...(state === null ? {} : { state }),
    ...(owed.length === 0 ? {} : { owed }),
  };
};

/** Bodies are packed here, once; the writer binds the bytes as they are. */
function toRow(write: Write): Row {
  switch (write.k) {
    case "actor":
      return ["actor", write.id, write.kind, write.seq, write.status, write.snapshot];
    case "journal":
      return ["journal", write.actor, write.seq, write.at, pack(toJournal(write))];
    case "accept":
      return ["inbox", write.env.to, write.env.msg, write.at, 0, pack(write.env)];
    case "step": {
      const { actor, id, op, class: effect, order = null, expiresAt, args } = write.step;
      return ["outbox", actor, id, op, effect, order, expiresAt, write.at, pack(args)];
    }
    case "timer": {
      const { actor, name, due, generation, event } = write.timer;
      return ["timer", actor, name, due, generation, pack(event)];
    }
    case "put":
      return ["document", write.table, write.id, write.open ? 1 : 0, write.at, pack(write.body)];
    case "dead":
      return ["dead", write.env.to, write.error, write.at, pack(write.env)];
    case "audit":
      return ["audit", write.at, write.what, canonical(write.data)];
    case "undead":
      return ["undead", write.n];
    case "taken":
      return ["taken", write.to, write.msg, write.at];
    case "stepEnd":
      return ["stepEnd", write.id, write.state, write.at];
    case "untimer":
      return ["untimer", write.actor, write.name];
    case "attempt":
      return ["attempt", write.to, write.msg, write.attempts];
  }
}
