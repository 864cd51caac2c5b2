/** A chat that remembers as much as it may of everything at once still fits its snapshot: the driver packs each turn. */
import type { Answer } from "@kith/gateway/model/model";
import { expect, test } from "vitest";
import { ambiguous, calls, outcome, photo, replies, said, start } from "./chat.ts";

const by = `telegram:${"9".repeat(56)}`;
/** Three bytes each, which is what a character may take. */
const long = (length: number) => "\u20ac".repeat(length);
const stream = {
  ...{ role: "stdout", type: "text/plain", bytes: 1_000_000, sha256: "a".repeat(64) },
  path: `/home/${"x".repeat(200)}/media/${"a".repeat(64)}.txt`,
};
const rich = (call: string) =>
  outcome(call, {
    ...{ name: long(64), cap: "shell.run", out: { stdout: long(500), stderr: long(500) } },
    streams: [stream, stream, stream],
  });

test("everything at its bound at once: it answers, and the end of the group is told whole", () => {
  const chat = start("first", { by });
  const answer = (made: Answer) => {
    chat.send({ type: "model.answered", answer: made });
    return chat.owed();
  };
  const request = { ...ambiguous("").request, by, args: { text: long(1_500) } };
  // All devices, and the end of all calls but one.
  const [spread] = calls(answer(photo));
  chat.send({
    ...{ type: "call.spread", request, devices: Array.from({ length: 16 }, (_, n) => `k${n}`) },
    call: spread?.to.replace("invocation/", "") ?? "",
  });
  const ids = calls(chat.owed()).map(({ to }) => to.replace("invocation/", ""));
  for (const id of ids.slice(1)) chat.send({ type: "call.ended", outcome: rich(id) });
  // As many calls as there may be.
  for (let n = 1; n < 64; n++) {
    chat.send(said("photo", { by }));
    answer(photo);
  }
  chat.send(said("one more", { by }));
  expect(replies(answer(photo))).toMatchObject([{ text: expect.stringMatching(/^64 things/) }]);
  // As much put off as there may be.
  for (const text of [...Array<string>(31).fill(long(14)), long(300), long(100)]) {
    chat.send(said("/later", { by }));
    answer({ do: "later", afterMs: 1_000, text });
  }
  // A choice, texts that wait, one that is thought about.
  chat.send(said(long(5_461), { by }));
  const choices = Array.from({ length: 8 }, (_, n) => ({ id: `k${n}`, name: long(16) }));
  const told = { ...ambiguous(ids[0] ?? ""), call: "other", choices, request };
  chat.send({ type: "call.ended", outcome: told });
  for (let n = 0; n < 40; n++) chat.send(said(long(80), { by }));
  expect(chat.context()).toMatchObject({ choosing: { choices }, group: { told: { length: 15 } } });
  expect(chat.context().waiting).toHaveLength(32);
  chat.owed();
  chat.send({ type: "call.ended", outcome: rich(ids[0] ?? "") });
  const [reply] = replies(chat.owed());
  expect(reply?.results).toHaveLength(16);
  expect(reply?.text.split("\n").length).toBeGreaterThanOrEqual(16);
});

test("a choice that is too large to be kept is asked for, and said again with its name", () => {
  const chat = start("first", { by });
  chat.send({ type: "model.answered", answer: photo });
  const id = calls(chat.owed())[0]?.to.replace("invocation/", "") ?? "";
  const told = ambiguous(id, by);
  chat.send({
    type: "call.ended",
    outcome: { ...told, request: { ...told.request, args: { text: long(5_000) } } },
  });
  expect(replies(chat.owed())).toMatchObject([{ text: expect.stringMatching(/^Which one/) }]);
  expect(chat.context()).toMatchObject({ calls: [], choosing: undefined });
});
