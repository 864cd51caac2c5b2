/**
 * memory.db: the lines of the files for full-text search. Derived: what is missing, of an older form or
 * damaged is made anew from the files. Deleted content is overwritten, in its pages and in the index of words.
 */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { type Line, type Mark, timeOf } from "./mark.ts";

/** One line, found. */
export interface Entry {
  readonly file: string;
  /** Counted from 1. */
  readonly n: number;
  readonly id: string;
  /** As the file has it. */
  readonly text: string;
  /** Unix ms: when it was written; of a line by an unknown hand, when its file changed last. */
  readonly at: number;
  readonly mark?: Mark;
  readonly claims: readonly string[];
}

const VERSION = 2;
/** More than the lines that a file of 1 MiB can have. */
const SPAN = 2_097_152;

const TABLES = `
  CREATE TABLE file (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    changed INTEGER NOT NULL);
  -- Rows of a file stand side by side: its number times SPAN, and on.
  -- about: the mark as JSON, or the ids that a false one names.
  CREATE VIRTUAL TABLE line USING fts5 (text, file UNINDEXED, n UNINDEXED, id UNINDEXED, about UNINDEXED,
    tokenize = 'unicode61 remove_diacritics 2');
  -- Else the words of a deleted line stay in the index until its segments are merged.
  INSERT INTO line (line, rank) VALUES ('secure-delete', 1);
  PRAGMA user_version = ${VERSION};
`;

const FIELDS = "line.text, line.file, line.n, line.id, line.about, file.changed";
const JOINED = `SELECT ${FIELDS} FROM line JOIN file ON file.name = line.file`;

/** Beside the one min(), the plain column `text` is of the row where that was found. */
const FILES = `
  SELECT file.name, count(line.rowid) AS lines, line.text,
    coalesce(sum(json_extract(line.about, '$.trusted')), 0) AS trusted,
    min(CASE WHEN json_extract(line.about, '$.trusted') AND line.text GLOB '#*' THEN line.n END) AS at
  FROM file LEFT JOIN line ON line.rowid BETWEEN file.number * ${SPAN} AND (file.number + 1) * ${SPAN} - 1
  GROUP BY file.name ORDER BY file.name`;

/** A line of a file that changed last at `changed`, Unix ms. */
export const entryOf = (file: string, n: number, line: Line, changed: number): Entry => ({
  ...line,
  ...{ file, n, at: line.mark ? timeOf(line.mark.id) : changed },
});

export class LineIndex {
  readonly #path: string;
  #db: DatabaseSync;

  constructor(path: string) {
    this.#path = path;
    this.#db = this.#open();
  }

  #open(): DatabaseSync {
    // SQLite would make it readable for others.
    closeSync(openSync(this.#path, constants.O_RDWR | constants.O_CREAT, 0o600));
    const db = new DatabaseSync(this.#path);
    try {
      db.exec("PRAGMA secure_delete = ON; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY");
      const { user_version: version } = db.prepare("PRAGMA user_version").get() ?? {};
      if (version === VERSION) return db;
      if (version === 0) {
        db.exec(`BEGIN; ${TABLES} COMMIT`);
        return db;
      }
    } catch {
      // Damaged, or half made: as one of another version.
    }
    db.close();
    return this.#afresh();
  }

  #afresh(): DatabaseSync {
    for (const end of ["", "-journal"]) rmSync(`${this.#path}${end}`, { force: true });
    return this.#open();
  }

  /** Throws away what is damaged: the next look at the files fills it. */
  rebuild(): void {
    this.#db.close();
    this.#db = this.#afresh();
  }

  close(): void {
    this.#db.close();
  }

  /** The state of each file that is in it. */
  states(): ReadonlyMap<string, string> {
    const rows = this.#db.prepare("SELECT name, state FROM file").all();
    return new Map(rows.map(({ name, state }) => [name as string, state as string]));
  }

  /** Each file with the number of its lines, how many of them are trusted, and the first heading among those. */
  files(): readonly { file: string; lines: number; trusted: number; heading?: string }[] {
    return this.#db
      .prepare(FILES)
      .all()
      .map((row) => ({
        ...{ file: String(row["name"]), lines: Number(row["lines"]) },
        trusted: Number(row["trusted"]),
        ...(row["at"] !== null && { heading: String(row["text"]) }),
      }));
  }

  /** When a file changed last, Unix ms. */
  changed(name: string): number {
    return Number(
      this.#db.prepare("SELECT changed FROM file WHERE name = ?").get(name)?.["changed"],
    );
  }

  /**
   * Takes the lines of a file in, in the place of those that it had; without lines, only those go. What stands
   * unchanged before the first change is left as it is: most files only grow.
   */
  put(name: string, now?: { state: string; changed: number; lines: readonly Line[] }): void {
    const rows = (now?.lines ?? []).flatMap(({ id, text, mark, claims }, at) => {
      const about = mark ?? (claims.length > 0 ? claims : undefined);
      return text === "" ? [] : [[at, text, id, about ? JSON.stringify(about) : null] as const];
    });
    const db = this.#db;
    db.exec("BEGIN");
    try {
      db.prepare(
        "INSERT INTO file (name, state, changed) VALUES (?1, '', 0) ON CONFLICT DO NOTHING",
      ).run(name);
      const found = db.prepare("SELECT number FROM file WHERE name = ?").get(name);
      const first = Number(found?.["number"]) * SPAN;
      const had = db
        .prepare(
          "SELECT rowid, text, id, about FROM line WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
        )
        .all(first, first + SPAN);
      const differs = rows.findIndex(([at, text, id, about], n) => {
        const row = had[n];
        return (
          row?.["rowid"] !== first + at ||
          row["text"] !== text ||
          row["id"] !== id ||
          row["about"] !== about
        );
      });
      const same = differs === -1 ? rows.length : differs;
      const gone = had[same]?.["rowid"] ?? first + SPAN;
      db.prepare("DELETE FROM line WHERE rowid >= ? AND rowid < ?").run(gone, first + SPAN);
      const insert = db.prepare(
        "INSERT INTO line (rowid, text, file, n, id, about) VALUES (?, ?, ?, ?, ?, ?)",
      );
      for (const [at, text, id, about] of rows.slice(same))
        insert.run(first + at, text, name, at + 1, id, about);
      if (now)
        db.prepare("UPDATE file SET state = ?, changed = ? WHERE name = ?").run(
          now.state,
          now.changed,
          name,
        );
      else db.prepare("DELETE FROM file WHERE name = ?").run(name);
      db.exec("COMMIT");
    } catch (error) {
      db.exec("ROLLBACK");
      throw error;
    }
  }

  /**
   * The lines with all of these words, or the beginnings of them, best first; at most `most`. What is no letter
   * and no digit only separates, so that no word means anything to SQLite.
   */
  find(words: string, most: number): readonly Entry[] {
    const wanted = words.match(/[\p{L}\p{N}\p{M}\p{Co}]+/gu) ?? [];
    if (wanted.length === 0) return [];
    const query = wanted.map((word) => `"${word}"*`).join(" AND ");
    return this.#entries(`${JOINED} WHERE line MATCH ? ORDER BY line.rank LIMIT ?`, query, most);
  }

  /** The lines of this id, or whose id ends so. */
  named(id: string): readonly Entry[] {
    return this.#entries(`${JOINED} WHERE substr(line.id, -length(?1)) = ?1`, id);
  }

  /** The lines whose mark, true or not, has this in it. */
  naming(part: string): readonly Entry[] {
    return this.#entries(`${JOINED} WHERE instr(line.about, ?) > 0`, part);
  }

  /** All lines that say where they come from, truly or not. */
  marked(): readonly Entry[] {
    return this.#entries(`${JOINED} WHERE line.about IS NOT NULL`);
  }

  #entries(sql: string, ...params: (string | number)[]): readonly Entry[] {
    return this.#db
      .prepare(sql)
      .all(...params)
      .map((row): Entry => {
        const { text, file, n, id, changed } = row as Record<string, string | number>;
        const about = JSON.parse(String(row["about"])) as Mark | string[] | null;
        const more = Array.isArray(about)
          ? { claims: about }
          : { claims: [], ...(about && { mark: about }) };
        const line = { id: String(id), text: String(text), ...more };
        return entryOf(String(file), Number(n), line, Number(changed));
      });
  }
}

/** Whether SQLite found the file damaged, or none of its own. */
export const isDamage = (error: unknown): boolean =>
  [11, 26].includes(Number((error as { errcode?: unknown } | null)?.errcode) & 0xff);
