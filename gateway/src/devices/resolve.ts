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

/** Lower case, without articles, apostrophes and punctuation: `Anna's MacBook` is `annas macbook`. */
const normal = (text: string): string =>
  text
    .toLowerCase()
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f'’]/g, "")
    .replaceAll(/[^\p{L}\p{N}]+/gu, " ")
    .replaceAll(/\b(?:my|the|our|a|an)\b/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim();

const KIND_WORDS: Readonly<Record<string, DeviceRow["kind"]>> = {
  laptop: "laptop",
  notebook: "laptop",
  macbook: "laptop",
  desktop: "desktop",
  computer: "desktop",
  pc: "desktop",
  server: "server",
  phone: "phone",
  mobile: "phone",
  browser: "browser",
};

/** `words` empty: whichever can do it. */
export function resolve(words: string, candidates: readonly Candidate[]): Resolution {
  const paired = candidates.filter(({ row }) => row.state === "paired");
  const wanted = normal(words);
  if (wanted === "") return narrow(paired);

  const byId = candidates.filter(({ row }) => row.id === words.trim().toLowerCase());
  if (byId.length > 0) return narrow(byId);
  const byName = paired.filter(({ row }) => normal(row.name) === wanted);
  if (byName.length > 0) return narrow(byName);
  const parts = wanted.split(" ");
  const byPart = paired.filter(({ row }) => {
    const name = normal(row.name).split(" ");
    return parts.every((part) => name.includes(part));
  });
  if (byPart.length > 0) return narrow(byPart);
  const kind = KIND_WORDS[parts.at(-1) ?? ""];
  const byKind = paired.filter(({ row }) => row.kind === kind || (kind === "desktop" && row.kind === "laptop"));
  if (kind && byKind.length > 0) return narrow(byKind);
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
