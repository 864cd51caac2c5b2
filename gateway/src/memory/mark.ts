/**
 * A line of memory, and the mark at its end that says where it comes from.
 *
 *   - Anna's birthday is 3 May <!-- kith ID WRITER [in:CHAT] [of:ID,ID] trusted|untrusted SUM -->
 *
 * SUM is keyed by the home and covers assistant, file, text and all of the mark. A mark that does not fit its
 * line was moved, edited or made up: then nobody knows who wrote the line, and it counts as untrusted.
 */
import { readCrockford } from "@kith/shared/ids";
import { tame } from "@kith/shared/protocol/words";

/** What the gateway wrote behind a line. */
export interface Mark {
  /** id26 of the call or order that made it; its first half is the time. */
  readonly id: string;
  /** `session/…` where a model wrote it, an identity such as `console:owner` where a person did. */
  readonly by: string;
  readonly chat?: string;
  /** Ids of the lines that it was made of. */
  readonly of: readonly string[];
  readonly trusted: boolean;
}

export interface Line {
  /** The mark's id; of a line without a true mark, ten digits that stand for its text and place. */
  readonly id: string;
  /** As the file has it, without the mark. */
  readonly text: string;
  /** A true one. */
  readonly mark?: Mark;
  /** Ids that a false one names: worth nothing but for finding what was edited. */
  readonly claims: readonly string[];
}

/** Bytes of a line; of a longer one the rest is not read, and it can have no true mark. */
export const LINE_BYTES = 4_096;
/** Lines that one line may be made of. */
export const MOST_OF = 20;
const SUM_DIGITS = 20;
const TEXT_DIGITS = 10;

const MARK =
  /^(.*)<!-- kith ([0-9A-HJKMNP-TV-Z]{26}) (\S+?)(?: in:(\S+))?(?: of:([0-9A-Z,]+))? (trusted|untrusted) ([0-9a-f]{20}) -->\s*$/s;

/** One word that can neither end the comment nor be two. */
const word = (text: string): string =>
  encodeURIComponent(text.toWellFormed()).replaceAll(/%(?:3A|2F|40)/g, decodeURIComponent);

/** Reads and writes the lines of one assistant. `fingerprint`: keyed, see audit/fingerprint.ts. */
export function marks(agent: string, fingerprint: (value: unknown) => string) {
  const sum = (file: string, text: string, { id, by, chat, of, trusted }: Mark): string =>
    fingerprint(["line", agent, file, text, id, by, chat ?? null, of, trusted]).slice(
      0,
      SUM_DIGITS,
    );
  return {
    /** `raw`: a line of `file` without its line feed. */
    read(file: string, raw: string): Line {
      const long = Buffer.byteLength(raw) > LINE_BYTES;
      const whole = long ? Buffer.from(raw).subarray(0, LINE_BYTES).toString() : raw;
      const [, before, id = "", by = "", chat, made = "", trust, given] =
        (long ? null : MARK.exec(whole)) ?? [];
      const text = (before ?? whole).trimEnd();
      const unknown = fingerprint(["text", agent, file, text]).slice(0, TEXT_DIGITS).toUpperCase();
      if (before === undefined) return { id: unknown, text, claims: [] };
      const of = made === "" ? [] : made.split(",");
      // Only what `write` made comes through: its words are decoded after the sum was found to fit.
      const mark = {
        id,
        by,
        ...(chat !== undefined && { chat }),
        of,
        trusted: trust === "trusted",
      };
      if (sum(file, text, mark) !== given) return { id: unknown, text, claims: [id, ...of] };
      return {
        ...{ id, text, claims: [] },
        mark: {
          ...{ ...mark, by: decodeURIComponent(by) },
          ...(chat !== undefined && { chat: decodeURIComponent(chat) }),
        },
      };
    },
    write(file: string, text: string, mark: Mark): string {
      const { id, of, trusted, chat } = mark;
      const by = word(mark.by);
      const named = { ...mark, by, ...(chat !== undefined && { chat: word(chat) }) };
      const words = [
        ...["kith", id, by],
        ...(named.chat === undefined ? [] : [`in:${named.chat}`]),
        ...(of.length > 0 ? [`of:${of.join(",")}`] : []),
        trusted ? "trusted" : "untrusted",
        sum(file, text, named),
      ];
      return `${text} <!-- ${words.join(" ")} -->`;
    },
  };
}

/** When an id26 was made, in Unix ms. */
export function timeOf(id: string): number {
  return (readCrockford(id.slice(0, 10)) ?? []).reduce((time, digit) => time * 32 + digit, 0);
}

/** What a line says, for whoever reads it elsewhere: without its place in a list, and nothing hidden in it. */
export const saying = (text: string): string =>
  tame(text.replace(/^\s*(?:[-*+]\s+)?/, "").replaceAll("\t", " "), LINE_BYTES);
