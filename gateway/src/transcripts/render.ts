/**
 * What was said and done in a chat in one day, as Markdown. A pure function of rows: the same rows are the same
 * bytes, so that a transcript can be made anew at any time.
 */
import { basename } from "node:path";
import { tame } from "@kith/shared/protocol/words";
import type { Outcome } from "../invocations/outcome.ts";
import type { StoredItem } from "../model/model.ts";
import type { Spoken } from "../runtime/store.ts";
import type { ChatMessage } from "../sessions/words.ts";

const RESULT_CHARS = 500;
/** A text that waits in a chat that nobody opens may be long; a file is for people. */
const TEXT_CHARS = 65_536;

/** One row as it is told; undefined: nothing that belongs in a transcript. */
export function told({ op, args }: Spoken): string | undefined {
  if (op === "model") {
    const { text, direct } = args as { text?: unknown; direct?: unknown };
    if (typeof text !== "string" || text === "") return undefined;
    return section(direct ? "Schedule" : "You", quoted(text));
  }
  if (op === "say") {
    const { message } = args as { message: ChatMessage };
    const outcomes = [message.result, ...(message.results ?? [])].filter(
      (one) => one !== undefined,
    );
    // Paths of this machine are links instead.
    const text = message.text
      .split("\n")
      .filter((line) => !outcomes.some((one) => one.streams?.some(({ path }) => path === line)))
      .join("\n");
    return section("Kith", [quoted(text), ...outcomes.flatMap(links)].join("\n\n"));
  }
  const item = args as StoredItem;
  if (item.role === "assistant")
    return item.calls.length === 0
      ? undefined
      : section(
          "Kith uses",
          item.calls
            .map(({ name, args: given }) => `- ${code(`${name} ${JSON.stringify(given ?? {})}`)}`)
            .join("\n"),
        );
  if (item.role !== "tool") return undefined;
  const failed = item.failed ? ", which failed" : "";
  return section(
    `Result of ${tame(item.name, 64)}${failed}`,
    code(item.text.slice(0, RESULT_CHARS).toWellFormed()),
  );
}

/** `Title` stands behind the time. */
const section = (title: string, body: string): string => `${title}\n\n${body}\n`;

/** Each file beside the home's media folder. */
const links = ({ streams = [] }: Outcome): string[] =>
  streams.map(({ type, role, path }) => {
    const file = `../../media/${basename(path)}`;
    return type.startsWith("image/")
      ? `![${tame(role, 64)}](${file})`
      : `[${tame(role, 64)}](${file})`;
  });

/** Nothing in it is Markdown that others wrote: no heading, no link, no comment, no picture from elsewhere. */
const quoted = (text: string): string =>
  text
    .slice(0, TEXT_CHARS)
    .toWellFormed()
    .split("\n")
    .map((line) =>
      tame(line.replaceAll("\t", "  "), TEXT_CHARS).replaceAll(/[\\`*_[\]<>]/g, "\\$&"),
    )
    .map((line) => line.replace(/^(\s*)(#+|[-+=]+|\d+\.)(?=\s|$)/, "$1\\$2"))
    .join("  \n");

/** On one line, in as many backticks as it needs. */
function code(text: string): string {
  const line = tame(text.replaceAll(/\s+/g, " "), TEXT_CHARS);
  const ticks = "`".repeat(
    1 + Math.max(0, ...(line.match(/`+/g) ?? []).map(({ length }) => length)),
  );
  return `${ticks}${ticks.length > 1 ? ` ${line} ` : line}${ticks}`;
}

const two = (number: number): string => String(number).padStart(2, "0");
export const dayOf = (at: number): string => {
  const date = new Date(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
};
const timeOf = (at: number): string => {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
};

/** A whole file. `rows`: of one chat and day, oldest first. Empty where there is nothing to tell. */
export function render(chat: string, day: string, rows: readonly Spoken[]): string {
  const sections = rows.flatMap((row) => {
    const text = told(row);
    return text === undefined ? [] : [`## ${timeOf(row.at)} ${text}`];
  });
  return sections.length === 0 ? "" : [`# ${tame(chat, 64)}, ${day}\n`, ...sections].join("\n");
}
