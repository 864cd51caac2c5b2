/**
 * Which device a person means: by id or name, then by kind, then by who is there. Pure: the same
 * words and devices always give the same answer.
 */
import type { DeviceRow } from "./device.ts";

export interface Candidate {
  readonly row: DeviceRow;
  readonly online: boolean;
  /** Whether it offers what is asked for. */
  readonly able: boolean;
}

export type Resolution =
  | { readonly is: "one"; readonly row: DeviceRow }
  | { readonly is: "several"; readonly rows: readonly DeviceRow[] }
  | { readonly is: "none" };

const ARTICLES: ReadonlySet<string> = new Set(["my", "the", "our", "a", "an"]);

/** Lower case, without articles, apostrophes and punctuation: `Anna's MacBook` is `annas macbook`. */
function normal(text: string): string {
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

/** `words` empty: whichever can do it. */
export function resolve(words: string, candidates: readonly Candidate[]): Resolution {
  const paired = candidates.filter(({ row }) => row.state === "paired");
  if (words.trim() === "") return narrow(paired);
  const wanted = normal(words);
  if (wanted === "") return { is: "none" };

  const byId = candidates.filter(({ row }) => row.id === words.trim().toLowerCase());
  if (byId.length > 0) return narrow(byId);
  const byName = paired.filter(({ row }) => normal(row.name) === wanted);
  if (byName.length > 0) return narrow(byName);
  const parts = wanted.split(" ");
  const fitting = (alsoKind: boolean) =>
    paired.filter(({ row }) => {
      const name = normal(row.name).split(" ");
      return parts.every(
        (part) => name.includes(part) || (alsoKind && KIND_WORDS.get(part)?.includes(row.kind)),
      );
    });
  const byPart = fitting(false);
  if (byPart.length > 0) return narrow(byPart);
  // Every word must fit: “Bob's laptop” is not just any laptop.
  const byKind = fitting(true);
  if (byKind.length > 0) return narrow(byKind);
  // A revoked device is named by nobody else's name: say that it is revoked, not that it is unknown.
  const gone = candidates.filter(({ row }) => normal(row.name) === wanted);
  return gone[0] ? { is: "one", row: gone[0].row } : { is: "none" };
}

/** Fewer by what they can do, then by who is there; never by guessing. */
function narrow(candidates: readonly Candidate[]): Resolution {
  const able = candidates.filter((one) => one.able);
  const some = able.length > 0 ? able : candidates;
  const online = some.filter((one) => one.online);
  const left = online.length > 0 ? online : some;
  const [first, second] = left;
  if (!first) return { is: "none" };
  if (!second) return { is: "one", row: first.row };
  return { is: "several", rows: left.map(({ row }) => row) };
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
