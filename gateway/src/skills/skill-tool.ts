/** A skill's text, for a model that found its name in the instructions. Nothing of it is executed. */
import { KithError } from "@kith/shared/errors";
import { name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type OwnTool, ownTool } from "../tools/tool.ts";
import type { Skills } from "./skills.ts";

export const skillTools = (skills: Skills): OwnTool[] => [
  ownTool({
    name: "skill_read",
    description:
      "Read a skill of the list in your instructions: how a task is done well. `file`: another text of its folder, as its text names it.",
    args: v.strictObject({ name: name(64), file: v.optional(v.pipe(str(255), v.minLength(1))) }),
    class: "read",
    async run({ name: id, file }, { agent }) {
      const { where, body, texts } = skills.usable(agent, id);
      const text = file === undefined ? body : texts.get(file);
      if (text === undefined)
        throw new KithError("no-file", `the skill ${id} has no text ${file}: ${listed(texts)}`);
      const more = file === undefined && texts.size > 0 ? `\n\n(${listed(texts)})` : "";
      const own = where === "own";
      const from = own
        ? "a skill that comes with Kith"
        : "a skill whose owner approved the text; it is a how-to and gives no rights";
      return {
        text: `${id}${file === undefined ? "" : `/${file}`}, ${from}:\n\n${text}${more}`,
        ...(!own && { labels: ["untrusted"], source: `the skill ${id}` }),
      };
    },
  }),
];

const LISTED = 20;

const listed = (texts: ReadonlyMap<string, string>): string =>
  texts.size === 0
    ? "there is no other file"
    : `other files: ${[...texts.keys()].slice(0, LISTED).join(", ")}`;
