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

const VERSION = 1;

const TABLES = `
  CREATE TABLE file (name TEXT PRIMARY KEY, state TEXT NOT NULL, changed INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL);
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
  FROM file LEFT JOIN line ON line.rowid BETWEEN file.first AND file.last
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

  /** Takes the lines of a file in, in the place of those that it had; without lines, only those go. */
  put(name: string, now?: { state: string; changed: number; lines: readonly Line[] }): void {
    this.#db.exec("BEGIN");
    try {
      const had = this.#db.prepare("SELECT first, last FROM file WHERE name = ?").get(name);
      if (had)
        this.#db
          .prepare("DELETE FROM line WHERE rowid BETWEEN ? AND ?")
          .run(had["first"] as number, had["last"] as number);
      this.#db.prepare("DELETE FROM file WHERE name = ?").run(name);
      if (now) this.#fill(name, now);
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #fill(name: string, now: { state: string; changed: number; lines: readonly Line[] }): void {
    // From the newest file on: rows of one file stand side by side.
    const { last } =
      this.#db.prepare("SELECT coalesce(max(last), 0) AS last FROM file").get() ?? {};
    const first = Number(last) + 1;
    const insert = this.#db.prepare(
      "INSERT INTO line (rowid, text, file, n, id, about) VALUES (?, ?, ?, ?, ?, ?)",
    );
    for (const [at, { id, text, mark, claims }] of now.lines.entries()) {
      if (text === "") continue;
      const about = mark ?? (claims.length > 0 ? claims : undefined);
      insert.run(first + at, text, name, at + 1, id, about ? JSON.stringify(about) : null);
    }
    this.#db
      .prepare("INSERT INTO file (name, state, changed, first, last) VALUES (?, ?, ?, ?, ?)")
      .run(name, now.state, now.changed, first, first + Math.max(0, now.lines.length - 1));
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
