/**
 * Transcripts of chats, a file for each day: `transcripts/<chat>/<day>.md`. Written behind the commits, some
 * seconds late, always whole; what a crash left out is written when something is said there next, or by `rebuild`.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Chat } from "../channels/inbox.ts";
import { privateFolder } from "../platform.ts";
import type { Documents } from "../runtime/documents.ts";
import type { Spoken, Store } from "../runtime/store.ts";
import { dayOf, render } from "./render.ts";

const DAY_MS = 86_400_000;

export interface TranscriptsOptions {
  readonly home: string;
  readonly store: Pick<Store, "spoken" | "lastStep">;
  readonly documents: () => Pick<Documents, "openIds" | "get">;
}

export class Transcripts {
  readonly #options: TranscriptsOptions;
  /** The newest step that was looked at, and the last one before each of the two newest days. */
  #last = 0;
  readonly #before = new Map<string, number>();

  constructor(options: TranscriptsOptions) {
    this.#options = options;
  }

  /** Writes the days in which something was said since the last look. `now` in Unix ms; late by less than a day. */
  follow(now: number): number {
    const { store } = this.#options;
    const last = store.lastStep();
    // Whatever is told is told by a step, and this costs nothing.
    if (last === this.#last) return 0;
    const yesterday = startOf(now - DAY_MS);
    const fresh = store.spoken(yesterday, now + 1, this.#last).filter(({ n }) => n > 0);
    this.#last = last;
    for (const { n, at } of fresh) {
      const day = dayOf(at);
      if (!this.#before.has(day)) this.#before.set(day, n - 1);
    }
    for (const day of this.#before.keys()) if (day < dayOf(yesterday)) this.#before.delete(day);
    let written = 0;
    for (const day of new Set(fresh.map(({ at }) => dayOf(at)))) {
      const [first] = fresh.filter(({ at }) => dayOf(at) === day);
      const from = startOf(first?.at ?? now);
      written += this.#write(from, from + 2 * DAY_MS, this.#before.get(day) ?? 0, day);
    }
    return written;
  }

  /** All that there are rows for, anew. Returns how many files; those that are older than their rows stay. */
  rebuild(now: number): number {
    return this.#write(0, now + 1, 0);
  }

  #write(from: number, to: number, after: number, only?: string): number {
    const files = new Map<string, { chat: string; day: string; rows: Spoken[] }>();
    const chats = this.#chats();
    for (const row of this.#options.store.spoken(from, to, after)) {
      const day = dayOf(row.at);
      const chat = row.chat ?? chats.get(row.actor);
      if (chat === undefined || (only !== undefined && only !== day)) continue;
      const key = `${folderOf(chat)}/${day}`;
      const file = files.get(key) ?? { chat, day, rows: [] };
      file.rows.push(row);
      files.set(key, file);
    }
    let written = 0;
    for (const { chat, day, rows } of files.values()) {
      const text = render(chat, day, rows);
      if (text === "") continue;
      const folder = join(this.#options.home, "transcripts", folderOf(chat));
      privateFolder(join(this.#options.home, "transcripts"));
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      written += replace(join(folder, `${day}.md`), text) ? 1 : 0;
    }
    return written;
  }

  /** Which chat a session has. */
  #chats(): ReadonlyMap<string, string> {
    const documents = this.#options.documents();
    return new Map(
      documents.openIds("chat").flatMap((id) => {
        const session = documents.get<Chat>("chat", id)?.session;
        const [, , chat] = JSON.parse(id) as string[];
        return session && chat !== undefined ? [[session, chat] as const] : [];
      }),
    );
  }
}

/** A chat's stable id as one name: no separator, no dot at its beginning, and different ids stay different. */
export const folderOf = (chat: string): string =>
  encodeURIComponent(chat.toWellFormed())
    .replaceAll(/[.!~*'()]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)
    .slice(0, 200);

const startOf = (at: number): number => new Date(at).setHours(0, 0, 0, 0);

/** False: it says that already. */
function replace(path: string, text: string): boolean {
  try {
    if (readFileSync(path, "utf8") === text) return false;
  } catch {
    // None is there.
  }
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  const file = openSync(fresh, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
  return true;
}
