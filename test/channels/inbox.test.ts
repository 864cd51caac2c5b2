/** Who speaks decides what their words may do, not where they say it first. */
import { type Incoming, inbox } from "@kith/gateway/channels/inbox";
import { Documents } from "@kith/gateway/runtime/documents";
import type { Effect, Event } from "@kith/gateway/runtime/effect";
import type { Runtime } from "@kith/gateway/runtime/runtime";
import { systemClock, systemRng } from "@kith/shared/clock";
import { expect, test } from "vitest";

type Put = Extract<Effect, { kind: "put" }>;

/** An inbox over documents in memory; what it accepts is kept. */
function start(agentOf: (chat: string) => string = () => "main") {
  const documents = new Documents({ openDocuments: () => [], document: () => undefined });
  documents.reload();
  const accepted: (Event & { owner?: boolean; agent?: string })[] = [];
  const sessions: string[] = [];
  const accept = (to: string, event: Event, _msg: string, puts: readonly Put[] = []) => {
    for (const { table, id, open, body } of puts) documents.put(table, id, open, body);
    accepted.push(event);
    sessions.push(to);
    return Promise.resolve();
  };
  const receive = inbox(
    { documents, accept } as unknown as Runtime,
    systemClock,
    systemRng,
    agentOf,
  );
  const said: Incoming = {
    channel: "console",
    account: "local",
    chat: "console",
    messageId: "1",
    from: "owner",
    text: "hello",
  };
  return {
    documents,
    accepted,
    sessions,
    say: (more: Partial<Incoming> = {}) => receive({ ...said, ...more }),
  };
}

test("whoever opened the control socket first is the owner, in every chat of theirs", async () => {
  const { accepted, say } = start();
  await say();
  await say({ chat: "ask-1", messageId: "2" });
  expect(accepted.map(({ owner }) => owner)).toEqual([true, true]);
});

test("somebody who is no owner stays so in a chat that is new", async () => {
  const { documents, accepted, say } = start();
  documents.put("person", "P", true, { id: "P", role: "guest" });
  documents.put("identity", "telegram:9", true, { person: "P" });
  await say({ channel: "telegram", from: "9", chat: "new" });
  await say({ channel: "telegram", from: "9", chat: "new", messageId: "2" });
  expect(accepted.map(({ owner }) => owner)).toEqual([false, false]);
});

test("a sender nobody knows is refused and leaves nothing behind", async () => {
  const { documents, accepted, say } = start();
  await expect(say({ channel: "telegram", from: "9" })).rejects.toMatchObject({
    code: "not-granted",
  });
  expect([accepted, documents.list("chat"), documents.list("identity")]).toEqual([[], [], []]);
});

test("each assistant has conversations of its own, also in a chat that another one had before", async () => {
  let work = "work";
  const { accepted, sessions, say } = start((chat) => (chat === "office" ? work : "main"));
  await say();
  await say({ chat: "office", messageId: "2" });
  await say({ chat: "office", messageId: "3" });
  work = "main";
  await say({ chat: "office", messageId: "4" });
  expect(accepted.map(({ agent }) => agent)).toEqual([undefined, "work", "work", undefined]);
  expect([sessions[1] === sessions[2], new Set(sessions).size]).toEqual([true, 3]);
});

test("words that are not the speaker's own carry their labels and whose they are", async () => {
  const { accepted, say } = start();
  await say({ labels: ["untrusted"], source: "a forwarded message of Ann" });
  await say({ messageId: "2" });
  expect(accepted[0]).toMatchObject({
    labels: ["untrusted"],
    source: "a forwarded message of Ann",
  });
  expect(accepted[1]).not.toHaveProperty("labels");
});
