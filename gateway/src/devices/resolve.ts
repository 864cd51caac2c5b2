/**
 * Which device a person means: by id or name, then by kind, then by who is there. Pure: the same
 * words and devices always give the same answer.
 */
import type { DeviceRow } from "./device.ts";

/** What decides between devices that fit the words; only asked when there are several. */
export interface Candidate {
  readonly online: boolean;
  /** Whether it offers what is asked for. */
  readonly able: boolean;
}

export type Resolution =
  | { readonly is: "one"; readonly row: DeviceRow }
  | { readonly is: "several"; readonly rows: readonly DeviceRow[] }
  /** Each of them was meant: all that can do it, whether they are there or not. */
  | { readonly is: "all"; readonly rows: readonly DeviceRow[] }
  | { readonly is: "none" };

const ARTICLES: ReadonlySet<string> = new Set(["my", "the", "our", "a", "an"]);

/** What was made of some words: those of a person and the names of devices come again and again. */
const normals = new Map<string, string>();
const REMEMBERED = 4_096;

/** Lower case, without articles, apostrophes and punctuation: `Anna's MacBook` is `annas macbook`. */
function normal(text: string): string {
  let form = normals.get(text);
  if (form !== undefined) return form;
  if (normals.size >= REMEMBERED) normals.clear();
  normals.set(text, (form = normalForm(text)));
  return form;
}

function normalForm(text: string): string {
  const words = text
    .toLowerCase()
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f'’]/g, "")
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);
  const named = words.filter((word) => !ARTICLES.has(word));
  // Nothing but articles is no permission to choose: a device may even be called “A”.
  return (named.length > 0 ? named : words).join(" ");
}

/** Normal forms, so without articles: “all my devices”. A device that is called so comes first. */
const ALL: ReadonlySet<string> = new Set([
  "all",
  "all devices",
  "all cameras",
  "all of them",
  "every device",
  "every camera",
  "each device",
]);

const KIND_WORDS: ReadonlyMap<string, readonly DeviceRow["kind"][]> = new Map([
  ["laptop", ["laptop"]],
  ["notebook", ["laptop"]],
  ["macbook", ["laptop"]],
  ["desktop", ["desktop"]],
  ["computer", ["desktop", "laptop"]],
  ["pc", ["desktop", "laptop"]],
  ["server", ["server"]],
  ["phone", ["phone"]],
  ["mobile", ["phone"]],
  ["browser", ["browser"]],
]);

/** The devices of one list by id and by name, for as long as the list is the same. */
interface Index {
  readonly ids: ReadonlyMap<string, readonly DeviceRow[]>;
  readonly names: ReadonlyMap<string, readonly DeviceRow[]>;
}
const indexes = new WeakMap<readonly DeviceRow[], Index>();

function indexOf(rows: readonly DeviceRow[]): Index {
  let index = indexes.get(rows);
  if (!index) {
    index = {
      ids: Map.groupBy(rows, ({ id }) => id),
      names: Map.groupBy(rows, ({ name }) => normal(name)),
    };
    indexes.set(rows, index);
  }
  return index;
}

/** `words` empty: whichever can do it. */
export function resolve(
  words: string,
  rows: readonly DeviceRow[],
  look: (row: DeviceRow) => Candidate,
): Resolution {
  const paired = (some: readonly DeviceRow[]) => some.filter(({ state }) => state === "paired");
  if (words.trim() === "") return narrow(paired(rows), look);
  const wanted = normal(words);
  if (wanted === "") return { is: "none" };

  const { ids, names } = indexOf(rows);
  const byId = ids.get(words.trim().toLowerCase());
  if (byId) return narrow(byId, look);
  const namesakes = names.get(wanted) ?? [];
  const byName = paired(namesakes);
  if (byName.length > 0) return narrow(byName, look);
  if (ALL.has(wanted)) return everyOne(paired(rows), look);
  const parts = wanted.split(" ");
  const fitting = (alsoKind: boolean) =>
    paired(rows).filter((row) => {
      const name = normal(row.name).split(" ");
      return parts.every(
        (part) => name.includes(part) || (alsoKind && KIND_WORDS.get(part)?.includes(row.kind)),
      );
    });
  const byPart = fitting(false);
  if (byPart.length > 0) return narrow(byPart, look);
  // Every word must fit: “Bob's laptop” is not just any laptop.
  const byKind = fitting(true);
  if (byKind.length > 0) return narrow(byKind, look);
  // A revoked device is named by nobody else's name: say that it is revoked, not that it is unknown.
  const [gone] = namesakes;
  return gone ? { is: "one", row: gone } : { is: "none" };
}

/** Fewer by what they can do, then by who is there; never by guessing. */
function narrow(rows: readonly DeviceRow[], look: (row: DeviceRow) => Candidate): Resolution {
  const [only, other] = rows;
  if (!only) return { is: "none" };
  if (!other) return { is: "one", row: only };
  const able = rows.filter((row) => look(row).able);
  const some = able.length > 0 ? able : rows;
  const online = some.filter((row) => look(row).online);
  const left = online.length > 0 ? online : some;
  const [first, second] = left;
  if (first && !second) return { is: "one", row: first };
  return { is: "several", rows: left };
}

function everyOne(rows: readonly DeviceRow[], look: (row: DeviceRow) => Candidate): Resolution {
  const able = rows.filter((row) => look(row).able);
  // In an order that people know, not that of their keys.
  const meant = (able.length > 0 ? able : rows).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const [only, other] = meant;
  if (!only) return { is: "none" };
  return other ? { is: "all", rows: meant } : { is: "one", row: only };
}

/** A name that no other device has: the second laptop becomes `laptop 2`. */
export function freeName(wish: string, rows: readonly DeviceRow[], id: string): string {
  const taken = new Set(
    rows.filter((row) => row.id !== id && row.state !== "revoked").map(({ name }) => normal(name)),
  );
  if (!taken.has(normal(wish))) return wish;
  for (let at = 2; ; at++) {
    const name = `${wish.slice(0, 56)} ${at}`;
    if (!taken.has(normal(name))) return name;
  }
}
