/** A text to another chat: where it may go, and what the owner is asked. */
import { sendTool } from "@kith/gateway/channels/send-tool";
import { Documents } from "@kith/gateway/runtime/documents";
import type { Event } from "@kith/gateway/runtime/effect";
import type { ToolContext } from "@kith/gateway/tools/tool";
import { KithError } from "@kith/shared/errors";
import { expect, test } from "vitest";

function start() {
  const documents = new Documents({ openDocuments: () => [], document: () => undefined });
  documents.reload();
  const chat = (name: string, agent: string) =>
    documents.put("chat", JSON.stringify(["console", "local", name]), true, {
      ...{ session: `session/${name}`, agent },
    });
  chat("console", "kith");
  chat("family", "main");
  chat("office", "work");
  const sent: [string, Event, string][] = [];
  const accept = (to: string, event: Event, msg: string) =>
    Promise.resolve(void sent.push([to, event, msg]));
  const file = { name: "menu.pdf", type: "application/pdf", bytes: 9, sha256: "ab", path: "/m" };
  const attach = (agent: string, path: string) =>
    agent === "main" && path === "menu.pdf"
      ? Promise.resolve(file)
      : Promise.reject(new KithError("no-file", "there is none"));
  const tool = sendTool({ documents, accept } as never, attach);
  const context: ToolContext = {
    ...{ call: "C", session: "session/console", chat: "console", by: "console:owner" },
    ...{ agent: "main", labels: [] },
  };
  const send = (to: string, more = {}) =>
    tool.run({ chat: to, text: "dinner at 7", ...more }, context, new AbortController().signal);
  return { tool, sent, send };
}

test("it goes to the session of that chat, under the name of its call", async () => {
  const { sent, send } = start();
  expect(await send("family")).toEqual({ text: "It was sent to family." });
  expect(sent).toMatchObject([
    ["session/family", { type: "message.given", text: "dinner at 7" }, "C"],
  ]);
});

test("a file of the workspace goes with it; one that is not there ends it before anything is sent", async () => {
  const { sent, send } = start();
  await send("family", { file: "menu.pdf" });
  expect(sent[0]?.[1]).toMatchObject({ text: "dinner at 7", file: { name: "menu.pdf", bytes: 9 } });
  await expect(send("family", { file: "secret.pdf" })).rejects.toMatchObject({ code: "no-file" });
  expect(sent).toHaveLength(1);
});

test.for(["office", "console", "nowhere", "constructor"])(
  "not to %s: another assistant's, this very one, or none",
  async (chat) => {
    const { sent, send } = start();
    await expect(send(chat)).rejects.toMatchObject({
      ...{ code: "chat-unknown", message: expect.stringContaining("there is family") },
    });
    expect(sent).toEqual([]);
  },
);

test("the owner is asked, with every word, once something labelled was read", () => {
  const { tool } = start();
  const args = { chat: "family", text: "dinner at 7" };
  expect(tool.asks?.(args, [])).toBeUndefined();
  for (const label of ["private", "untrusted"] as const)
    expect(tool.asks?.(args, [label])).toBe("send “dinner at 7” to the chat family");
  expect(tool.asks?.({ ...args, file: "menu.pdf" }, ["private"])).toContain(
    "and the file menu.pdf",
  );
});
