/**
 * What an assistant remembers: Markdown files that its owner may edit at any time, and an index of their lines.
 *
 *   search ─► is each file still as it was? ─► read anew what is not ─► memory.db ─► lines with their origin
 *   write, forget, trust ─► the same look ─► a whole file in the place of the old one ─► the same look
 *
 * The files are the truth, memory.db is made of them. Each assistant has its own of both: no search of one can
 * find a line of another. One operation of an assistant at a time; nobody watches the folder.
 */
import { join } from "node:path";
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { folderOf, read, replace } from "../files/whole.ts";
import { list, MOST_FILES } from "./files.ts";
import { type Entry, entryOf, isDamage, LineIndex } from "./line-index.ts";
import { type Line, LINE_BYTES, type Mark, marks, MOST_OF, saying } from "./mark.ts";

export const MOST_FOUND = 20;
/** Bytes of a text that is written, without its mark. */
export const TEXT_BYTES = 2_048;
/** Characters of the list for a prompt. */
const INDEX_CHARS = 1_000;
/** Lines that may be forgotten at once. */
const MOST_FORGOTTEN = 200;
/** Times that a file is read again since somebody saved it meanwhile. */
const TRIES = 5;
/** Of an id, as people copy its end. */
const LEAST_ID = 6;

export interface MemoryOptions {
  /** The gateway's home. */
  readonly home: string;
  /** Keyed by the home, see audit/fingerprint.ts. */
  readonly fingerprint: (value: unknown) => string;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** A line to be written; see mark.ts for what its origin is. */
export interface Draft extends Mark {
  /** Without `.md`. */
  readonly file: string;
  /** One line. */
  readonly text: string;
}

/** Told what is about to change. */
export type Before = (lines: readonly Entry[]) => Promise<void>;

export interface Forgotten {
  /** What is removed, or would be: lines that were meant, then those that were made of them. */
  readonly lines: readonly Entry[];
  /** Lines that once were, or were made of, one of these and were edited since: kept, for the owner to decide. */
  readonly edited: readonly Entry[];
  /** Each store, with how much of it is gone; empty where nothing was done yet. */
  readonly receipt: readonly { readonly store: string; readonly removed: number }[];
}

/** The memories of a home. */
export class Memories {
  readonly #options: MemoryOptions;
  readonly #open = new Map<string, Memory>();

  constructor(options: MemoryOptions) {
    this.#options = options;
  }

  /** @throws KithError bad-args for what is no assistant's name */
  of(agent: string): Memory {
    if (!/^[a-z0-9-]{1,64}$/.test(agent))
      throw new KithError("bad-args", "an assistant's name has a-z, 0-9 and -, 64 at most");
    const memory = this.#open.get(agent) ?? new Memory(agent, this.#options);
    this.#open.set(agent, memory);
    return memory;
  }

  /** For a system prompt: what there is to search, in 1,000 characters at most; "" where there is nothing. */
  index(agent: string): Promise<string> {
    return this.of(agent).index();
  }

  async close(): Promise<void> {
    for (const memory of this.#open.values()) await memory.close();
  }
}

export class Memory {
  readonly #options: MemoryOptions;
  /** Where the folder is, below the home. */
  readonly #names: readonly string[];
  readonly #marks: ReturnType<typeof marks>;
  /** Another key means other marks: everything is read again. */
  readonly #key: string;
  #lines: LineIndex | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(agent: string, options: MemoryOptions) {
    this.#options = options;
    this.#names = [...(agent === "main" ? [] : ["agents", agent]), "memory"];
    this.#marks = marks(agent, options.fingerprint);
    this.#key = options.fingerprint(["key", agent]).slice(0, 8);
  }

  /** The lines with all of these words, best first, and whether there are more. */
  search(words: string): Promise<{ readonly found: readonly Entry[]; readonly more: boolean }> {
    return this.#alone(({ lines }) => {
      const found = lines.find(words, MOST_FOUND + 1);
      return { found: found.slice(0, MOST_FOUND), more: found.length > MOST_FOUND };
    });
  }

  /** Every file that is read, and the names of those that are not: links, folders, what is too big or too much. */
  files(): Promise<{
    readonly files: readonly { file: string; lines: number; trusted: number }[];
    readonly unread: readonly string[];
  }> {
    return this.#alone(({ lines, unread }) => ({ files: lines.files(), unread }));
  }

  /** All lines of a file, also empty ones; `file` with or without `.md`. @throws KithError memory-unknown */
  show(file: string): Promise<readonly Entry[]> {
    return this.#alone(async ({ folder, lines }) => {
      const name = file.endsWith(".md") ? file : `${file}.md`;
      // Only what a look at the folder found: no name of ours becomes a path.
      if (!lines.states().has(name))
        throw new KithError("memory-unknown", `there is no file ${name} in memory`);
      const now = await read(folder, name);
      const changed = lines.changed(name);
      return this.#read(name, now?.bytes ?? Buffer.alloc(0)).map((line, at) =>
        entryOf(name, at + 1, line, changed),
      );
    });
  }

  /** Adds a line at the end of its file. The same id again is the line that is there. @throws KithError too-big, disk-full, bad-args */
  write({ file, text, ...mark }: Draft): Promise<Entry> {
    return this.#alone(async (now) => {
      const name = `${file}.md`;
      const line = `- ${text.trim()}`;
      // By chance alone: an order of a person that is carried out again has another time.
      const known = () =>
        now.lines
          .naming(mark.id.slice(10))
          .find((one) => [one.id, ...one.claims.slice(0, 1)].some((id) => same(id, mark.id)));
      const written = known();
      if (written) return written;
      if (!now.lines.states().has(name) && now.lines.states().size >= MOST_FILES)
        throw new KithError("too-big", "memory has 1,000 files already");
      await this.#edit(now.folder, name, (bytes) => {
        const end = bytes.length === 0 || bytes.at(-1) === LINE_FEED ? "" : "\n";
        return Buffer.concat([
          bytes,
          Buffer.from(`${end}${this.#marks.write(name, line, mark)}\n`),
        ]);
      });
      await this.#look();
      const found = known();
      if (!found) throw new KithError("internal", "the line that was written is not there");
      return found;
    });
  }

  /**
   * What these words, or this id, mean, with all that was made of it; with `really` it is removed. By `text`, only
   * a line that says so is meant. `before` is awaited when it is known what goes, and ends it by throwing.
   * @throws KithError memory-unknown, id-ambiguous, too-many
   */
  forget(
    what: string,
    really: boolean,
    { text, before }: { readonly text?: string; readonly before?: Before } = {},
  ): Promise<Forgotten> {
    return this.#alone(async (now) => {
      const { lines, edited } = this.#meant(now.lines, what, text);
      if (!really) return { lines, edited, receipt: [] };
      await before?.(lines);
      const receipt = [];
      for (const [name, ids] of byFile(lines)) {
        let removed = 0;
        await this.#rewrite(now.folder, name, (line, raw) => {
          removed += ids.has(line.id) ? 1 : 0;
          return ids.has(line.id) ? undefined : raw;
        });
        receipt.push({ store: [...this.#names, name].join("/"), removed });
      }
      await this.#look();
      const removed = receipt.reduce((sum, one) => sum + one.removed, 0);
      const rows = { store: [...this.#names.slice(0, -1), "memory.db"].join("/"), removed };
      return { lines, edited, receipt: [...receipt, rows] };
    });
  }

  /**
   * The owner has read these lines and vouches for them: from now on they are nobody else's. `by`: whose word it is.
   * @throws KithError memory-unknown, id-ambiguous, bad-args for a line that is too long
   */
  trust(ids: readonly string[], by: string, before?: Before): Promise<readonly Entry[]> {
    return this.#alone(async (now) => {
      const meant = ids.flatMap((id) => this.#named(now.lines, id));
      await before?.(meant);
      const fresh = new Set<string>();
      for (const [name, wanted] of byFile(meant.filter(({ mark }) => !mark?.trusted))) {
        await this.#rewrite(now.folder, name, (line, raw) => {
          if (!wanted.has(line.id)) return raw;
          const { clock, rng } = this.#options;
          const mark = line.mark
            ? { ...line.mark, trusted: true }
            : { id: newId(clock, rng), by, of: line.claims.slice(0, MOST_OF), trusted: true };
          const end = raw.endsWith("\r") ? "\r" : "";
          const whole = this.#marks.write(name, line.text, mark);
          if (Buffer.byteLength(whole) > LINE_BYTES)
            throw new KithError("bad-args", "a line of more than 4 KiB cannot be vouched for");
          fresh.add(mark.id);
          return `${whole}${end}`;
        });
      }
      await this.#look();
      const kept = meant.filter(({ mark }) => mark?.trusted);
      return [...kept, ...now.lines.marked().filter(({ id }) => fresh.has(id))];
    });
  }

  /**
   * Names only files with a line that the owner or an untainted turn put there, since a name and a heading are
   * words as well and this goes where instructions stand; the others are counted.
   */
  index(): Promise<string> {
    return this.#alone(({ lines }) => {
      const all = lines.files();
      if (all.length === 0) return "";
      const known: string[] = [];
      let room = INDEX_CHARS - REST.length - 12;
      for (const { file, trusted, heading } of all) {
        if (trusted === 0) continue;
        const name = file.slice(0, -3);
        const title = saying(heading ?? "").replace(/^#+\s*/, "");
        const told = `${name}${title === "" ? "" : ` (${title.slice(0, 60)})`}, `;
        room -= told.length;
        if (room < 0) break;
        known.push(told.slice(0, -2));
      }
      const rest = all.length - known.length;
      return [known.join(", "), ...(rest > 0 ? [`${rest} ${REST}`] : [])]
        .filter(Boolean)
        .join("; ");
    });
  }

  async close(): Promise<void> {
    await this.#last;
    this.#lines?.close();
    this.#lines = undefined;
  }

  /** One after the other, each after a look at the files. */
  #alone<T>(run: (now: Looked) => T | Promise<T>): Promise<T> {
    const done = this.#last.then(async () => {
      try {
        return await run(await this.#look());
      } catch (error) {
        if (!isDamage(error)) throw error;
        this.#lines?.rebuild();
        return await run(await this.#look());
      }
    });
    this.#last = done.catch(() => {});
    return done;
  }

  /** Brings memory.db up to what the files are now. */
  async #look(): Promise<Looked> {
    const { home, clock } = this.#options;
    const folder = await folderOf(home, this.#names);
    const lines = (this.#lines ??= new LineIndex(join(folder, "..", "memory.db")));
    const { files, more } = await list(folder, clock.now());
    const known = lines.states();
    const unread = more > 0 ? [`${more} files above ${MOST_FILES}`] : [];
    const gone = new Set(known.keys());
    for (const { name, state, changed, young } of files) {
      if (state === undefined) {
        unread.push(name);
        continue;
      }
      const now = `${this.#key}.${state}`;
      if (known.get(name) === now) {
        gone.delete(name);
        continue;
      }
      // Gone or another thing meanwhile, or not ours to read: one such file does not hide the others.
      const file = await read(folder, name).catch(() => undefined);
      if (!file) {
        unread.push(name);
        continue;
      }
      gone.delete(name);
      lines.put(name, {
        state: young || file.state !== state ? "" : now,
        changed: Math.round(changed),
        lines: this.#read(name, file.bytes),
      });
    }
    for (const name of gone) lines.put(name);
    return { folder, lines, unread };
  }

  /** Bytes that are no UTF-8 are shown as U+FFFD. */
  #read(name: string, bytes: Buffer): readonly Line[] {
    const raws = bytes
      .toString()
      .replace(/^\uFEFF/, "")
      .split("\n");
    return raws.map((raw) => this.#marks.read(name, raw));
  }

  /** Changes lines of a file (undefined: removes one); all other bytes stay as they are. */
  #rewrite(
    folder: string,
    name: string,
    change: (line: Line, raw: string) => string | undefined,
  ): Promise<void> {
    return this.#edit(folder, name, (bytes) => {
      const lines = this.#read(name, bytes);
      // A line feed is a line feed in UTF-8 and Latin-1, and Latin-1 keeps every byte.
      const kept = bytes
        .toString("latin1")
        .split("\n")
        .flatMap((raw, at) => {
          const line = lines[at];
          const text = Buffer.from(raw, "latin1").toString();
          const now = line ? change(line, text) : text;
          return now === undefined
            ? []
            : [now === text ? raw : Buffer.from(now).toString("latin1")];
        });
      const whole = kept.join("\n");
      return Buffer.from(whole.trim() === "" ? "" : whole, "latin1");
    });
  }

  async #edit(folder: string, name: string, make: (bytes: Buffer) => Buffer): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const now = await read(folder, name);
      const bytes = make(now?.bytes ?? Buffer.alloc(0));
      if (await replace(folder, name, bytes, now?.state)) return;
    }
    throw new KithError("busy", `${name} is being saved by somebody else all the time`);
  }

  /** @throws KithError memory-unknown, id-ambiguous */
  #named(lines: LineIndex, id: string): readonly Entry[] {
    const found = id.length < LEAST_ID ? [] : lines.named(id.toUpperCase());
    if (found.length === 0) throw new KithError("memory-unknown", `no line has the id ${id}`);
    if (new Set(found.map((one) => one.id)).size > 1)
      throw new KithError("id-ambiguous", `several lines have an id that ends with ${id}`);
    return found;
  }

  #meant(lines: LineIndex, what: string, text?: string): Omit<Forgotten, "receipt"> {
    let first: readonly Entry[] = [];
    if (
      /^[0-9A-Z]+$/i.test(what) &&
      what.length >= LEAST_ID &&
      lines.named(what.toUpperCase()).length > 0
    )
      first = this.#named(lines, what);
    else if (text === undefined) first = lines.find(what, MOST_FORGOTTEN + 1);
    if (text !== undefined) first = first.filter((one) => saying(one.text) === text);
    if (first.length === 0) throw new KithError("memory-unknown", "no line is meant by that");
    const meant = new Map(first.map((one) => [`${one.file}/${one.n}`, one]));
    const gone = new Set(first.flatMap(({ id, claims }) => [id, ...claims.slice(0, 1)]));
    const marked = lines.marked();
    // What was made of what was made of it, too.
    for (let before = -1; before < gone.size;) {
      before = gone.size;
      for (const one of marked) {
        if (!one.mark || !(gone.has(one.id) || one.mark.of.some((id) => gone.has(id)))) continue;
        meant.set(`${one.file}/${one.n}`, one);
        gone.add(one.id);
      }
    }
    if (meant.size > MOST_FORGOTTEN)
      throw new KithError(
        "too-big",
        `that means more than ${MOST_FORGOTTEN} lines; say more words`,
      );
    const edited = marked.filter(
      (one) => !meant.has(`${one.file}/${one.n}`) && one.claims.some((id) => gone.has(id)),
    );
    return { lines: [...meant.values()], edited };
  }
}

interface Looked {
  readonly folder: string;
  readonly lines: LineIndex;
  readonly unread: readonly string[];
}

const LINE_FEED = 0x0a;
const REST = "more files that nobody vouched for yet; memory_search finds what they say";

/** The same 80 random bits. */
const same = (one: string, other: string): boolean => one.slice(10) === other.slice(10);

function byFile(entries: readonly Entry[]): ReadonlyMap<string, ReadonlySet<string>> {
  const files = new Map<string, Set<string>>();
  for (const { file, id } of entries) files.set(file, (files.get(file) ?? new Set()).add(id));
  return files;
}
