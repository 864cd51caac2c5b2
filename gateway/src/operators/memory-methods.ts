/** What an owner may do with the memory of an assistant. It stays Markdown that any editor changes; see docs/memory.md. */
import { KithError } from "@kith/shared/errors";
import { crockford, newId } from "@kith/shared/ids";
import { int, list, name, str } from "@kith/shared/protocol/words";
import { sha256 } from "@noble/hashes/sha2.js";
import * as v from "valibot";
import type { Entry } from "../memory/line-index.ts";
import { saying } from "../memory/mark.ts";
import type { Before, Forgotten, Memory } from "../memory/memory.ts";
import { lineText, slug } from "../memory/tools.ts";
import { short } from "../sessions/words.ts";
import { begin } from "./deeds.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";
import { dayTime, table } from "./text.ts";

/** Of one answer of memory.show; a line of the socket has 1 MiB. */
const MOST_LINES = 500;
const SHOWN_BYTES = 262_144;

const agent = v.optional(str(64), "main");

/** Of lines that are forgotten or vouched for, so many are named in the audit trail. */
const MOST_NAMED = 32;

export function memoryMethods({ memory, clock, rng, runtime }: MethodsOptions): [string, Method][] {
  const of = (agent: string): Memory => {
    if (!memory) throw new KithError("internal", "this gateway has no memory");
    return memory.of(agent);
  };
  const noted =
    (deed: "memory.trusted" | "memory.forgotten", data: object): Before =>
    (lines) => {
      const ids = lines.slice(0, MOST_NAMED).map(({ id }) => id);
      return begin(runtime, deed, { ids, lines: lines.length, ...data });
    };
  return [
    [
      "memory.search",
      method(v.strictObject({ words: name(256), agent }), async ({ words, agent }) => {
        const { found, more } = await of(agent).search(words);
        const text = found.length > 0 ? texts(found) : "No line of memory has all of these words.";
        return { out: { lines: found.map(line), more }, text: more ? `${text}\n… and more` : text };
      }),
    ],
    [
      "memory.show",
      method(
        v.strictObject({
          file: v.optional(name(255)),
          line: v.optional(int(1, 1_048_576), 1),
          agent,
        }),
        async ({ file, line: from, agent }) => {
          if (file === undefined) {
            const { files, unread } = await of(agent).files();
            const rows = files.map(({ file, lines, trusted }) => ({ file, lines, trusted }));
            const cells = rows.map((row) => [
              row.file,
              `${row.lines} lines`,
              row.trusted < row.lines ? `${row.lines - row.trusted} untrusted` : "",
            ]);
            const text = [
              rows.length > 0 ? table(cells) : "Nothing is remembered yet.",
              ...(unread.length > 0 ? [`Not read: ${unread.join(", ")}`] : []),
            ].join("\n");
            return { out: { files: rows, unread }, text };
          }
          const all = await of(agent).show(file);
          const shown: Entry[] = [];
          let room = SHOWN_BYTES;
          for (const one of all.slice(from - 1, from - 1 + MOST_LINES)) {
            room -= Buffer.byteLength(one.text);
            if (room < 0) break;
            shown.push(one);
          }
          const next = from + shown.length;
          const more = next <= all.length && { next };
          const lines = shown.filter(({ text }) => text !== "");
          return {
            out: { lines: lines.map(line), ...more },
            text: more ? `${texts(lines)}\n… more from line ${next} on` : texts(lines),
          };
        },
      ),
    ],
    [
      "memory.add",
      method(
        v.strictObject({ text: lineText, file: v.optional(slug, "notes"), agent }),
        async ({ text, file, agent }, { by, key }) => {
          const fresh = newId(clock, rng);
          // The same order again is the same line.
          const id =
            key === undefined
              ? fresh
              : fresh.slice(0, 10) + crockford(sha256(new TextEncoder().encode(key)), 16);
          const written = await of(agent).write({ file, text, id, by, of: [], trusted: true });
          return { out: line(written), text: `Remembered in ${written.file}.` };
        },
      ),
    ],
    [
      "memory.trust",
      method(
        v.strictObject({ ids: v.pipe(list(name(26), 64), v.minLength(1)), agent }),
        async ({ ids, agent }, { by }) => {
          const lines = await of(agent).trust(ids, by, noted("memory.trusted", { by, agent }));
          return { out: { lines: lines.map(line) }, text: `You vouch for:\n${texts(lines)}` };
        },
      ),
    ],
    [
      "memory.forget",
      method(
        v.strictObject({ what: name(256), yes: v.optional(v.boolean(), false), agent }),
        async ({ what, yes, agent }, { by }) => {
          const { lines, edited, receipt } = await of(agent).forget(what, yes, {
            before: noted("memory.forgotten", { by, agent }),
          });
          return {
            out: { done: yes, lines: lines.map(line), edited: edited.map(line), receipt },
            text: forgotten({ lines, edited, receipt }, yes),
          };
        },
      ),
    ],
  ];
}

/** A line as programs read it. */
const line = ({ file, n, id, text, at, mark }: Entry) => ({
  ...{ file, line: n, id, text: saying(text), at, trusted: mark?.trusted ?? false },
  ...(mark && { by: mark.by, of: mark.of }),
  ...(mark?.chat !== undefined && { chat: mark.chat }),
});

/** Ids as `kith memory trust` and `forget` take them. */
const texts = (lines: readonly Entry[]): string =>
  lines
    .map(({ file, n, id, text, at, mark }) => {
      const from = mark ? `from ${mark.chat ?? mark.by}` : "by hand or by somebody else";
      const doubt = mark?.trusted ? "" : ", untrusted";
      return `${saying(text)}\n    ${file}:${n}  ${dayTime(at)}, ${from}${doubt}  (${short(id)})`;
    })
    .join("\n");

function forgotten({ lines, edited, receipt }: Forgotten, done: boolean): string {
  const kept = [
    "Edited since it came from one of these, and kept: remove it by its id if you mean it, too.",
    texts(edited),
  ];
  return [
    ...(done ? ["Forgotten:"] : ["This would be forgotten. Say it again with --yes to do it:"]),
    texts(lines),
    ...(edited.length > 0 ? kept : []),
    ...receipt.map(({ store, removed }) => `${store}: ${removed} removed`),
    ...(done
      ? ["Not reached: what was said in chats (kept 90 days), your own copies, Git's history."]
      : []),
  ].join("\n");
}
