/** A text to another chat of the same assistant: the chat's session says it, once, also after a crash. */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import type { ActorId, Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type OwnTool, ownTool } from "../tools/tool.ts";
import { type Chat, agentOfRow } from "./inbox.ts";

const args = v.strictObject({
  chat: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  text: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(4_000)),
});

export const sendTool = (runtime: Pick<Runtime, "documents" | "accept">): OwnTool =>
  ownTool({
    name: "send_message",
    description: "Send a text to another chat of the owner, by its name. In this chat just answer.",
    args,
    class: "idempotent",
    // What others may have written goes nowhere else unseen.
    asks: ({ chat, text }, labels) =>
      labels.length > 0 ? `send “${text}” to the chat ${chat}` : undefined,
    async run({ chat, text }, { call, agent, session, labels }) {
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
      await runtime.accept(to, { type: "message.given", text, labels } as Event, call);
      return { text: `It was sent to ${chat}.` };
    },
  });
