/** A text or a file to another chat of the same assistant: the chat's session says it, once, also after a crash. */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import type { ActorId, Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { GivenFile } from "../sessions/words.ts";
import { type OwnTool, ownTool } from "../tools/tool.ts";
import { type Chat, agentOfRow } from "./inbox.ts";

const args = v.strictObject({
  chat: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  text: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(4_000)),
  file: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(512))),
});

/** A file of the assistant's workspace, as content that a chat may show. @throws KithError no-file, bad-args */
export type Attach = (agent: string, path: string, id: string) => Promise<GivenFile>;

export const sendTool = (runtime: Pick<Runtime, "documents" | "accept">, attach: Attach): OwnTool =>
  ownTool({
    name: "send_message",
    description:
      "Send a text, or one with a file of the workspace, to another chat of the owner by its name. In this one just answer.",
    args,
    class: "idempotent",
    // What others may have written goes nowhere else unseen.
    asks: ({ chat, text, file }, labels) =>
      labels.length > 0
        ? `send “${text}”${file === undefined ? "" : ` and the file ${file}`} to the chat ${chat}`
        : undefined,
    async run({ chat, text, file: path }, { call, agent, session, labels }) {
      const { documents } = runtime;
      const names: string[] = [];
      let to: ActorId | undefined;
      for (const id of documents.openIds("chat")) {
        const row = documents.get<Chat>("chat", id);
        if (!row || agentOfRow(row) !== agent || row.session === session) continue;
        const [, , name = ""] = JSON.parse(id) as string[];
        names.push(name);
        if (name === chat) to = row.session;
      }
      if (to === undefined)
        throw new KithError(
          "chat-unknown",
          `there is no other chat called “${chat}” here${names.length > 0 ? `; there is ${names.slice(0, 8).join(", ")}` : ""}`,
        );
      const file = path === undefined ? undefined : await attach(agent, path, call);
      const event = { type: "message.given", text, labels, ...(file && { file }) };
      await runtime.accept(to, event as Event, call);
      return { text: `It was sent to ${chat}.` };
    },
  });
