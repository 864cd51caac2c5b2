/**
 * What a model may do with its memory. A line that it writes has the labels of all that it read before;
 * what it reads here is private, and untrusted where a line is that nobody vouched for.
 */
import { KithError } from "@kith/shared/errors";
import { id26, int, list, name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type OwnTool, type ToolResult, ownTool } from "../tools/tool.ts";
import type { Entry } from "./line-index.ts";
import { MOST_OF, saying } from "./mark.ts";
import { type Memories, MOST_FOUND, TEXT_BYTES } from "./memory.ts";

/** Of a file, as a model may name it. */
export const slug = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9-]{1,64}$/, "a file's name has a-z, 0-9 and -, 64 at most, without .md"),
);
/** A line as it is written. */
export const lineText = v.pipe(
  name(TEXT_BYTES),
  v.trim(),
  v.minLength(1),
  v.check((text) => !text.includes("<!--"), "no comment: it could not be seen"),
);

/** Of one answer; below what a model is told of a result. */
const READ_CHARS = 15_000;

export function memoryTools(memories: Memories): readonly OwnTool[] {
  return [
    ownTool({
      name: "memory_search",
      description: `Find lines of your long-term memory that have all of these words, best first, at most ${MOST_FOUND}.`,
      class: "read",
      args: v.strictObject({ words: name(256) }),
      async run({ words }, { agent }) {
        const { found, more } = await memories.of(agent).search(words);
        if (found.length === 0) return { text: "No line of memory has all of these words." };
        return told(found, more ? "There are more: search with more words." : "");
      },
    }),
    ownTool({
      name: "memory_read",
      description: "Read a file of your long-term memory, from a line on.",
      class: "read",
      args: v.strictObject({ file: slug, line: v.optional(int(1, 1_048_576), 1) }),
      async run({ file, line }, { agent }) {
        const all = (await memories.of(agent).show(file)).filter(({ text }) => text !== "");
        const rest = all.filter(({ n }) => n >= line);
        const part: Entry[] = [];
        let room = READ_CHARS;
        for (const one of rest) {
          room -= originOf(one).length + one.text.length;
          if (room < 0) break;
          part.push(one);
        }
        const next = rest[part.length];
        return told(part, next ? `More from line ${next.n} on.` : "That is the end of the file.");
      },
    }),
    ownTool({
      name: "memory_write",
      description:
        "Remember one fact as a line of your long-term memory, if it is not there yet. `of`: ids of lines that it is made of.",
      class: "idempotent",
      args: v.strictObject({ file: slug, text: lineText, of: v.optional(list(id26, MOST_OF), []) }),
      async run({ file, text, of }, { agent, call, session, chat, labels }) {
        const trusted = !labels.includes("untrusted");
        const draft = {
          file,
          text,
          id: call,
          by: session,
          of,
          trusted,
          ...(chat !== "" && { chat }),
        };
        const { n, id } = await memories.of(agent).write(draft);
        return { text: `Remembered as line ${n} of ${file}.md, id ${id}.` };
      },
    }),
    ownTool({
      name: "memory_forget",
      description:
        "Remove a line of your long-term memory, with all that was made of it. Give id and text as found.",
      class: "idempotent",
      args: v.strictObject({
        id: v.pipe(str(26), v.regex(/^[0-9A-Z]{10,26}$/)),
        text: name(4_096),
      }),
      asks: ({ text }, labels) =>
        labels.includes("untrusted") ? `forget “${text}” and what was made of it` : undefined,
      async run({ id, text }, { agent }) {
        try {
          const { lines, edited, receipt } = await memories.of(agent).forget(id, true, { text });
          const kept = edited.map(({ file, n }) => `${file}:${n}`).join(", ");
          return {
            text: [
              `Forgotten: ${lines.length} lines, in ${receipt.map(({ store }) => store).join(", ")}.`,
              ...(kept === "" ? [] : [`Edited since, and kept for the owner to decide: ${kept}.`]),
            ].join("\n"),
            labels: edited.length > 0 ? ["untrusted", "private"] : ["private"],
          };
        } catch (error) {
          // Also where an earlier try did it: nobody needs to know which.
          if (!(error instanceof KithError && error.code === "memory-unknown")) throw error;
          return { text: "No such line is there (any more)." };
        }
      },
    }),
  ];
}

/** `people.md:12, 2026-05-03 10:20 UTC, from the chat console, id …`. */
function originOf({ file, n, id, at, mark }: Entry): string {
  const when = `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const from = mark
    ? `from ${mark.chat === undefined ? mark.by : `the chat ${mark.chat}`}`
    : "by an unknown hand";
  return `${file}:${n}, ${when}, ${from}, id ${id}${mark?.trusted ? "" : ", untrusted"}`;
}

function told(lines: readonly Entry[], end: string): ToolResult {
  const foreign = lines.find(({ mark }) => !mark?.trusted);
  return {
    text: [...lines.map((one) => `[${originOf(one)}] ${saying(one.text)}`), end]
      .filter(Boolean)
      .join("\n"),
    labels: foreign ? ["untrusted", "private"] : ["private"],
    ...(foreign && { source: `line ${foreign.n} of ${foreign.file} in memory` }),
  };
}
