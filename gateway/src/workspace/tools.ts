/** The workspace for a model: list, read and write files. What it reads there, anybody may have put there. */
import { extname } from "node:path";
import { KithError } from "@kith/shared/errors";
import { int } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { StoredContent } from "../invocations/content.ts";
import { MAIN } from "../model/agents.ts";
import { type OwnTool, type ToolResult, ownTool } from "../tools/tool.ts";
import { Workspace } from "./workspace.ts";

/** Of a file in one result, with the lines around it. */
const READ_CHARS = 15_000;
const PATH_CHARS = 512;

/** What a model may look at; all else is told by its size. */
const LOOKED_AT: Readonly<Record<string, string>> = {
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".png": "image/png",
  ".webp": "image/webp",
  ".pdf": "application/pdf",
};
export const typeOf = (path: string): string =>
  LOOKED_AT[extname(path).toLowerCase()] ??
  (/\.(?:txt|md|csv|json|yaml|yml|log)$/i.test(path) ? "text/plain" : "application/octet-stream");

export const workspaceOf = (home: string, agent: string): Workspace =>
  new Workspace(home, agent === MAIN ? ["workspace"] : ["agents", agent, "workspace"]);

const path = v.pipe(v.string(), v.minLength(1), v.maxLength(PATH_CHARS));

/** `put` takes a file of this machine in; see media/media.ts. */
export function workspaceTools(
  home: string,
  put: (path: string, type: string, id: string) => Promise<StoredContent>,
): OwnTool[] {
  const theirs = (file: string, result: Pick<ToolResult, "text" | "pictures">): ToolResult => ({
    ...result,
    labels: ["private", "untrusted"],
    source: `the file ${file} of the workspace`,
  });
  return [
    ownTool({
      name: "workspace_list",
      description: "List a folder of the workspace: files that you share with the owner.",
      class: "read",
      args: v.strictObject({ path: v.optional(v.pipe(v.string(), v.maxLength(PATH_CHARS)), "") }),
      async run({ path: folder }, { agent }) {
        const { entries, more } = await workspaceOf(home, agent).list(folder);
        const lines = entries.map(({ name, kind, bytes, changed }) =>
          kind === "folder"
            ? `${name}/`
            : `${name}  ${bytes} bytes, ${new Date(changed).toISOString()}`,
        );
        const rest = more > 0 ? [`and ${more} more`] : [];
        return theirs(folder || "list", { text: [...lines, ...rest].join("\n") || "It is empty." });
      },
    }),
    ownTool({
      name: "workspace_read",
      description: "Read a file of the workspace, a text from a line on, or see a picture or PDF.",
      class: "read",
      args: v.strictObject({ path, line: v.optional(int(1, 1_048_576), 1) }),
      async run({ path: file, line }, { agent, call }) {
        const workspace = workspaceOf(home, agent);
        const type = typeOf(file);
        if (type in PICTURES) {
          const content = await workspace.hold(file, (held) => put(held, type, call));
          return theirs(file, { text: `${file}, ${content.bytes} bytes`, pictures: [content] });
        }
        return theirs(file, { text: part(file, textOf(file, await workspace.read(file)), line) });
      },
    }),
    ownTool({
      name: "workspace_write",
      description: "Write a whole text file of the workspace; an empty text removes it.",
      class: "idempotent",
      // It may be in the place of one that the owner wrote.
      asks: ({ path: file, text }, labels) =>
        labels.includes("untrusted")
          ? text === ""
            ? `remove the file ${file} of the workspace`
            : `write the file ${file} of the workspace, ${text.length} characters: “${text}”`
          : undefined,
      args: v.strictObject({ path, text: v.pipe(v.string(), v.maxLength(30_000)) }),
      async run({ path: file, text }, { agent }) {
        const bytes = new TextEncoder().encode(text);
        await workspaceOf(home, agent).write(file, bytes);
        const done = bytes.length === 0 ? "is removed" : `is written, ${bytes.length} bytes`;
        return { text: `${file} of the workspace ${done}.` };
      },
    }),
  ];
}

const PICTURES = Object.fromEntries(Object.values(LOOKED_AT).map((type) => [type, true]));

/** @throws KithError bad-args for what is no text */
function textOf(file: string, bytes: Uint8Array): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // It is told below.
  }
  throw new KithError("bad-args", `${file} is no text: ${bytes.length} bytes`);
}

function part(file: string, text: string, from: number): string {
  const lines = text.split("\n");
  const told: string[] = [];
  let room = READ_CHARS;
  for (const line of lines.slice(from - 1)) {
    room -= line.length + 1;
    if (room < 0 && told.length > 0) break;
    told.push(line.slice(0, READ_CHARS));
  }
  const next = from + told.length;
  const rest =
    next <= lines.length
      ? `\n(lines ${from} to ${next - 1} of ${lines.length}; read on from line ${next})`
      : "";
  return `${file}:\n${told.join("\n")}${rest}`;
}
