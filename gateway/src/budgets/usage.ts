/**
 * What was used today, by whom, where and for which job; and whether there may be more. Reserved before
 * anything is used and settled after: a crash in between leaves the reservation, which counts.
 *
 *   reserve ─► open/KEY (counts) ─► settle ─► DAY/… (counts)          use ─► DAY/…
 *
 * Rows of the table "usage". Called within a turn of a table kind; it reads and puts documents at once, so
 * that two of one batch cannot both have the rest.
 */
import { KithError } from "@kith/shared/errors";
import type { Documents } from "../runtime/documents.ts";
import { emit } from "../runtime/fx.ts";

/** What has a budget. Tokens in and out together; money in millionths of a dollar; all else in times. */
export const kinds = [
  "tokens",
  "money",
  "calls",
  "camera",
  "screen",
  "microphone",
  "shell",
] as const;
export type Kind = (typeof kinds)[number];
export type Amounts = { readonly [K in Kind]?: number };

/** Whose it is. */
export interface Account {
  /** Identity of whoever spoke. */
  readonly by: string;
  readonly chat: string;
  /** The schedule that began it. */
  readonly job?: string;
}

/** Limits of a day: of everything together, of one person, of one chat, of one job. */
export const scopes = ["day", "person", "chat", "job"] as const;
export type Scope = (typeof scopes)[number];
export type Limits = { readonly [S in Scope]?: Amounts };

/** A row: `open/KEY` while it is reserved, else `DAY/…`, one for each account. */
export interface Usage extends Account {
  readonly day: string;
  readonly amounts: Amounts;
}

const OPEN = "open/";

/** The day of the gateway's time zone, `2026-12-01`. */
export function dayOf(at: number): string {
  const date = new Date(at);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

const add = (one: Amounts, other: Amounts): Amounts => {
  const sum: { [K in Kind]?: number } = { ...one };
  for (const kind of kinds) if (other[kind]) sum[kind] = (sum[kind] ?? 0) + (other[kind] ?? 0);
  return sum;
};

/** What this scope of the account has used on that day, with what is reserved. */
export function used(documents: Documents, day: string, scope: Scope, account: Account): Amounts {
  return documents
    .list<Usage>("usage")
    .filter(
      (row) =>
        row.day === day &&
        (scope === "day" ||
          (scope === "person" && row.by === account.by) ||
          (scope === "chat" && row.chat === account.chat) ||
          (scope === "job" && account.job !== undefined && row.job === account.job)),
    )
    .reduce((sum, { amounts }) => add(sum, amounts), {} as Amounts);
}

const WHOSE: Readonly<Record<Scope, string>> = {
  day: "of today",
  person: "of this person for today",
  chat: "of this chat for today",
  job: "of this job for today",
};

/** In words: `$1.20`, `12,000 tokens`, `3 camera uses`. */
export function amount(kind: Kind, value: number): string {
  if (kind === "money") return `$${(value / 1e6).toFixed(value < 1e4 ? 4 : 2)}`;
  if (kind === "tokens") return `${value.toLocaleString("en-US")} tokens`;
  return `${value} ${kind === "calls" ? "tool calls" : `${kind} uses`}`;
}

export class UsageLedger {
  readonly #documents: Documents;
  readonly #limits: Limits;

  constructor(documents: Documents, limits: Limits) {
    this.#documents = documents;
    this.#limits = limits;
  }

  /** Whether there is so much left. @throws KithError budget-spent */
  #check(account: Account, want: Amounts, at: number): void {
    const day = dayOf(at);
    for (const scope of scopes) {
      const limit = this.#limits[scope];
      if (!limit || (scope === "job" && account.job === undefined)) continue;
      const spent = used(this.#documents, day, scope, account);
      for (const kind of kinds) {
        const most = limit[kind];
        if (most === undefined || !want[kind] || (spent[kind] ?? 0) + want[kind] <= most) continue;
        throw new KithError(
          "budget-spent",
          `the budget ${WHOSE[scope]} is ${amount(kind, most)}; ${amount(kind, spent[kind] ?? 0)} are used, and this may need ${amount(kind, want[kind])}`,
        );
      }
    }
  }

  /** The same key again is the same reservation. @throws KithError budget-spent */
  reserve(key: string, account: Account, want: Amounts, at: number): void {
    if (this.#documents.get("usage", OPEN + key)) return;
    this.#check(account, want, at);
    this.#put(OPEN + key, { ...account, day: dayOf(at), amounts: want });
  }

  /** What it came to; one that nobody reserved is none. */
  settle(key: string, amounts: Amounts): void {
    const reserved = this.#documents.get<Usage>("usage", OPEN + key);
    if (!reserved) return;
    this.#put(OPEN + key, reserved, false);
    this.#add({ ...reserved, amounts });
  }

  /** Used now, and at once for good. @throws KithError budget-spent */
  use(account: Account, amounts: Amounts, at: number): void {
    this.#check(account, amounts, at);
    this.#add({ ...account, day: dayOf(at), amounts });
  }

  #add({ day, by, chat, job, amounts }: Usage): void {
    const id = [day, by, chat, ...(job === undefined ? [] : [job])].join("/");
    const before = this.#documents.get<Usage>("usage", id);
    if (!before) this.#closeBefore(day);
    const account = { by, chat, ...(job !== undefined && { job }) };
    this.#put(id, { ...account, day, amounts: add(before?.amounts ?? {}, amounts) });
  }

  /** What is of an earlier day counts no more. */
  #closeBefore(day: string): void {
    for (const id of this.#documents.openIds("usage")) {
      const row = this.#documents.get<Usage>("usage", id);
      if (row && row.day < day) this.#put(id, row, false);
    }
  }

  #put(id: string, body: Usage, open = true): void {
    emit({ kind: "put", table: "usage", id, open, body });
    // Within this turn already: what comes next in it must see it.
    this.#documents.put("usage", id, open, body);
  }
}
