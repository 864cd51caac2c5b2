/** What the person at the device reads before they say yes, and what counts as yes. */
import { isOwn } from "@kith/shared/capabilities/own";
import { tame } from "@kith/shared/protocol/words";

const MOST_WORD_BYTES = 160;

/** The arguments that matter to a person, by capability; all others stay unsaid. */
const telling: Readonly<Record<string, readonly string[]>> = {
  "files.read": ["path", "root"],
  "files.list": ["path", "root"],
  "files.stat": ["path", "root"],
  "files.write": ["path", "root", "size", "replaces"],
  "camera.snap": ["camera", "facing"],
  "camera.clip": ["camera", "facing", "seconds"],
  "audio.record": ["seconds"],
  "audio.play": ["size"],
  "shell.run": ["argv", "cwd", "env", "stdin"],
  "screen.snap": ["screen"],
  "screen.record": ["screen", "seconds"],
  "clipboard.write": ["text"],
  "location.get": ["precision"],
  "notify.show": ["title"],
  "speech.say": ["text"],
  "url.open": ["url"],
};

/** Defaults that say nothing. */
const UNSAID: ReadonlySet<unknown> = new Set(["any", "{}", "[]"]);

/** `args` were checked by the capability's schema; their text, and `why`, are still a stranger's. */
export function questionOf(cap: string, args: unknown, why: string): string {
  const given = new Map(Object.entries(args ?? {}));
  // Of what its owner wrote, everything.
  const names = isOwn(cap) ? [...given.keys()] : Object.hasOwn(telling, cap) ? telling[cap]! : [];
  const told = names.flatMap((name) => {
    const value: unknown = given.get(name);
    const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
    return text !== "" && !UNSAID.has(text) ? [`${name}: ${short(text)}`] : [];
  });
  const what = told.length > 0 ? ` (${told.join(", ")})` : "";
  const asked = why && `, ${short(why)}`;
  return `Your assistant wants to use ${cap} here${what}${asked}. Allow it this once?`;
}

/** A long path keeps both ends: what it is in, and what it is. */
function short(text: string): string {
  const safe = tame(text, 4_096);
  if (Buffer.byteLength(safe) <= MOST_WORD_BYTES) return safe;
  const chars = [...safe];
  const tail = tame(chars.slice(-MOST_WORD_BYTES / 4).join(""), MOST_WORD_BYTES);
  return `${tame(safe, MOST_WORD_BYTES / 4)}…${tail}`;
}

export const isYes = (typed: string): boolean => /^(y|\/?yes)$/i.test(typed.trim());
