/** What a chat puts off, and what it hears of a call that waits for its device. */
import type { Answer } from "@kith/gateway/model/model";
import { expect, test } from "vitest";
import { calls, outcome, photo, replies, said, start, thoughts } from "./chat.ts";

const HOUR_MS = 3_600_000;
const later: Answer = { do: "later", afterMs: HOUR_MS, text: "/photo laptop" };
const list: Answer = { do: "put-off" };

/** A chat that has put the photo off. */
function put(more = {}) {
  const chat = start("/later 1h /photo laptop", more);
  chat.send({ type: "model.answered", answer: later });
  const [promise] = replies(chat.owed());
  expect(promise?.text).toMatch(/^At \d{4}-\d\d-\d\d \d\d:\d\d: \/photo laptop$/);
  return chat;
}
const ask = (chat: ReturnType<typeof put>, answer: Answer): string => {
  chat.send(said("/later"));
  chat.owed();
  chat.send({ type: "model.answered", answer });
  return replies(chat.owed())[0]?.text ?? "";
};

test("the words are said again at their time, once, by whoever said them", () => {
  const chat = put({ by: "telegram:9", owner: false });
  chat.pass(HOUR_MS - 1);
  expect(chat.owed()).toEqual([]);
  chat.pass(1);
  expect(thoughts(chat.owed())).toEqual([{ text: "/photo laptop", owner: false }]);
  chat.send({ type: "model.answered", answer: photo });
  expect(calls(chat.owed())[0]?.request).toMatchObject({ requester: "telegram:9" });
  chat.pass(24 * HOUR_MS);
  expect([thoughts(chat.owed()), chat.timers()]).toEqual([[], {}]);
});

test("words whose time comes in the middle of a thought wait their turn", () => {
  const chat = put();
  chat.send(said("hello"));
  chat.owed();
  chat.pass(HOUR_MS);
  chat.send({ type: "model.answered", answer: { do: "say", text: "hello" } });
  expect(thoughts(chat.owed())).toEqual([{ text: "/photo laptop", owner: true }]);
});

test("it can be listed and taken back by its number", () => {
  const chat = put();
  expect(ask(chat, list)).toMatch(/^ {2}1 {2}At .*: \/photo laptop$/);
  expect(ask(chat, { do: "put-off", drop: 2 })).toMatch(/^ {2}1 {2}At /);
  expect(ask(chat, { do: "put-off", drop: 1 })).toBe("Taken back: /photo laptop");
  expect(ask(chat, list)).toMatch(/^Nothing is put off/);
  expect(chat.timers()).toEqual({});
  chat.pass(HOUR_MS);
  expect(thoughts(chat.owed())).toEqual([]);
});

test("thirty-two can wait, one more is refused, and what is over makes room", () => {
  const chat = put();
  for (let n = 1; n < 32; n++) ask(chat, later);
  expect(ask(chat, later)).toMatch(/^Too much is put off already/);
  expect(Object.keys(chat.timers())).toHaveLength(32);
  chat.pass(HOUR_MS);
  while (chat.state() !== "listening")
    chat.send({ type: "model.answered", answer: { do: "say", text: "done" } });
  chat.owed();
  expect(ask(chat, later)).toMatch(/^At /);
});

test("what is put off has a bound in bytes too, and the chat goes on", () => {
  const chat = put();
  const long: Answer = { ...later, text: `/tell laptop ${"ö".repeat(1_500)}` } as Answer;
  expect(ask(chat, long)).toMatch(/^At /);
  expect(ask(chat, long)).toMatch(/^Too much is put off already/);
  expect(ask(chat, later)).toMatch(/^At /);
});

test("nobody but an owner lists or takes back what another put off", () => {
  const chat = put({ by: "telegram:9", owner: false });
  const other = (answer: Answer): string => {
    chat.send(said("/later", { by: "telegram:7", owner: false }));
    chat.owed();
    chat.send({ type: "model.answered", answer });
    return replies(chat.owed())[0]?.text ?? "";
  };
  expect(other(list)).toMatch(/^Nothing is put off/);
  expect(other({ do: "put-off", drop: 1 })).toMatch(/^Nothing is put off/);
  expect(ask(chat, { do: "put-off", drop: 1 })).toBe("Taken back: /photo laptop");
});

test("whoever asked hears that a call waits, and it is not the last word", () => {
  const chat = start();
  chat.send({ type: "model.answered", answer: { ...photo, deliverMs: HOUR_MS } as Answer });
  const [made] = calls(chat.owed());
  expect(made?.request).toMatchObject({ deliverMs: HOUR_MS });
  const call = made?.to.replace("invocation/", "") ?? "";
  chat.send({
    type: "call.waits",
    locked: false,
    call,
    name: "laptop",
    until: Date.UTC(2026, 0, 2),
  });
  expect(replies(chat.owed())).toMatchObject([
    { final: false, text: expect.stringMatching(/^laptop is away\. It will be done .* \/cancel /) },
  ]);
  chat.send({ type: "call.ended", outcome: outcome(call) });
  expect(replies(chat.owed())).toMatchObject([{ final: true }]);
});
