/** One chat: what is said becomes a call, what came back becomes a reply, and nobody is left without one. */
import type { Outcome } from "@kith/gateway/invocations/calls";
import type { Answer } from "@kith/gateway/model/model";
import { type SessionEvent, sessionMachine } from "@kith/gateway/sessions/session.machine";
import type { ChatMessage } from "@kith/gateway/sessions/words";
import { describe, expect, test } from "vitest";
import { type Driven, drive } from "../support/drive.ts";

type Chat = Driven<typeof sessionMachine>;
type Owed = ReturnType<Chat["owed"]>[number];

const said = (text: string, more = {}) => ({ type: "chat.said", chat: "console", text, by: "console:owner", owner: true, ...more }) as const;
const photo: Answer = { do: "call", cap: "camera.snap", device: "laptop", args: {} };
const outcome = (call: string, change: Partial<Outcome> = {}): Outcome => ({ call, state: "done", device: "k", name: "laptop", cap: "camera.snap", ...change });
const refused = (call: string, code = "device-away") =>
  outcome(call, { state: "denied", failure: { code: code as "internal", message: "it sleeps", effect: "none" } });
const choices = [{ id: "k1", name: "Laptop" }, { id: "k2", name: "Old phone" }];
const ambiguous = (call: string, by = "console:owner") => ({
  ...{ ...refused(call, "device-ambiguous"), choices },
  request: { device: "laptop", cap: "camera.snap", args: {}, requester: "owner", by, session: "session/S" as const },
});

const replies = (effects: Owed[]): ChatMessage[] =>
  effects.flatMap((effect) => (effect.kind === "step" && effect.op === "say" ? [(effect.args as { message: ChatMessage }).message] : []));
const thoughts = (effects: Owed[]) => effects.flatMap((effect) => (effect.kind === "step" && effect.op === "model" ? [effect.args] : []));
const calls = (effects: Owed[]) =>
  effects.flatMap((effect) => (effect.kind === "tell" ? [{ to: effect.to, request: (effect.event as unknown as { request: Record<string, unknown> }).request }] : []));

/** A chat whose first message is being thought about. */
const start = (text = "photo from my laptop", more = {}): Chat => {
  const chat = drive(sessionMachine, said(text, more), "session/S");
  expect(thoughts(chat.owed())).toEqual([{ text, owner: (more as { owner?: boolean }).owner ?? true }]);
  return chat;
};
/** Its call is on its way; returns its id. */
const calling = (chat: Chat, answer: Answer = photo): string => {
  chat.send({ type: "model.answered", answer });
  return calls(chat.owed())[0]?.to.replace("invocation/", "") ?? "";
};

test("a sentence becomes a call of the owner, with the turn's own id", () => {
  const chat = start();
  chat.send({ type: "model.answered", answer: photo });
  expect(calls(chat.owed())).toEqual([
    { to: "invocation/turn-2", request: { device: "laptop", cap: "camera.snap", args: {}, requester: "owner", by: "console:owner", session: "session/S" } },
  ]);
  expect(chat.state()).toBe("listening");
});

test("a sentence of somebody else is their own request, never the owner's", () => {
  const chat = start("photo", { by: "telegram:9", owner: false });
  chat.send({ type: "model.answered", answer: photo });
  expect(calls(chat.owed())[0]?.request).toMatchObject({ requester: "telegram:9", by: "telegram:9" });
});

test("a result is the last word when nothing else is on its way", () => {
  const chat = start();
  const id = calling(chat);
  chat.send({ type: "call.ended", outcome: outcome(id) });
  expect(replies(chat.owed())).toMatchObject([{ final: true, result: { call: id } }]);
});

test("a question is put in the chat with what a yes permits, and /allow is heard while the call waits", () => {
  const chat = start();
  const id = calling(chat);
  chat.send({ type: "approval.asked", call: id, device: "k", name: "laptop", cap: "files.read", args: { path: "taxes/2026.pdf", max_bytes: 1 } });
  const [question] = replies(chat.owed());
  expect(question).toMatchObject({ final: false, question: { approval: id, call: id, device: "k", cap: "files.read" } });
  expect(question?.text).toContain("taxes/2026.pdf");
  chat.send(said("/allow once"));
  expect(thoughts(chat.owed())).toHaveLength(1);
  chat.send({ type: "model.answered", answer: { do: "operate", op: "allow", args: { for: "once" } } });
  expect(chat.owed()).toMatchObject([{ kind: "step", op: "operate", args: { op: "allow", args: { for: "once" }, by: "console:owner" } }]);
  chat.send({ type: "operated", message: { text: "Allowed.", final: true } });
  // The call is still on its way.
  expect(replies(chat.owed())).toEqual([{ text: "Allowed.", final: false }]);
  chat.send({ type: "call.ended", outcome: outcome(id) });
  expect(replies(chat.owed())).toMatchObject([{ final: true }]);
});

describe("several devices that fit", () => {
  const choosing = () => {
    const chat = start();
    chat.send({ type: "call.ended", outcome: ambiguous(calling(chat)) });
    expect(replies(chat.owed())).toMatchObject([{ final: true, error: { code: "device-ambiguous" } }]);
    return chat;
  };

  test.for<[string, string]>([
    ["1", "k1"],
    [" 2 ", "k2"],
    ["laptop", "k1"],
    ["OLD PHONE", "k2"],
  ])("“%s” chooses %s, and is asked for once", ([words, device]) => {
    const chat = choosing();
    chat.send(said(words));
    expect(calls(chat.owed())).toMatchObject([{ request: { device, cap: "camera.snap", requester: "owner" } }]);
    chat.send(said(words));
    expect(thoughts(chat.owed())).toHaveLength(1);
  });

  test.for(["0", "3", "-1", "1.5", "", "phone", "constructor", "1 and 2"])("“%s” chooses none: it is a new message", (words) => {
    const chat = choosing();
    chat.send(said(words));
    expect(thoughts(chat.owed())).toHaveLength(1);
    chat.send({ type: "model.answered", answer: { do: "say", text: "?" } });
    chat.owed();
    chat.send(said("1"));
    expect(calls(chat.owed())).toEqual([]);
  });

  test("somebody else's “1” chooses nothing", () => {
    const chat = choosing();
    chat.send(said("1", { by: "telegram:9", owner: false }));
    expect(calls(chat.owed())).toEqual([]);
  });

  test("the choice is for what was asked then, whatever was asked since", () => {
    const chat = start();
    const first = calling(chat);
    chat.send(said("list the cameras of my phone"));
    calling(chat, { do: "call", cap: "camera.list", device: "phone", args: {} });
    chat.send({ type: "call.ended", outcome: ambiguous(first) });
    chat.owed();
    chat.send(said("1"));
    expect(calls(chat.owed())).toMatchObject([{ request: { device: "k1", cap: "camera.snap" } }]);
  });
});

describe("what is said while one message is thought about", () => {
  test("waits its turn, 32 of them, and the 33rd hears that it was not taken", () => {
    const chat = start();
    for (let at = 0; at < 32; at++) chat.send(said(`text ${at}`));
    expect(chat.owed()).toEqual([]);
    chat.send(said("one too many"));
    expect(replies(chat.owed())).toMatchObject([{ final: false, text: expect.stringMatching(/./) }]);
    const heard: unknown[] = [];
    for (let at = 0; at < 33; at++) {
      chat.send({ type: "model.answered", answer: { do: "say", text: "yes" } });
      const effects = chat.owed();
      heard.push(...thoughts(effects));
      expect(replies(effects)).toEqual([{ text: "yes", final: at === 32 }]);
    }
    expect(heard).toEqual(Array.from({ length: 32 }, (_, at) => ({ text: `text ${at}`, owner: true })));
  });

  test("is refused when it is more than a snapshot can hold, and none of it is lost", () => {
    const chat = start();
    const part = "é".repeat(4_096);
    for (let at = 0; at < 4; at++) chat.send(said(part));
    expect(chat.owed()).toEqual([]);
    chat.send(said(part));
    expect(replies(chat.owed())).toMatchObject([{ final: false, text: expect.stringMatching(/^Too much at once/) }]);
    expect(chat.context().waiting).toHaveLength(4);
  });

  test("also waits for a method of the gateway", () => {
    const chat = start("/devices");
    chat.send({ type: "model.answered", answer: { do: "operate", op: "devices.list", args: {} } });
    chat.owed();
    chat.send(said("hello"));
    expect(chat.owed()).toEqual([]);
    chat.send({ type: "operated", message: { text: "None.", final: true } });
    const effects = chat.owed();
    expect([replies(effects), thoughts(effects)]).toEqual([[{ text: "None.", final: false }], [{ text: "hello", owner: true }]]);
  });

  test("keeps a result from being the last word", () => {
    const chat = start();
    const id = calling(chat);
    chat.send(said("and hello"));
    chat.owed();
    chat.send({ type: "call.ended", outcome: outcome(id) });
    expect(replies(chat.owed())).toMatchObject([{ final: false }]);
    chat.send({ type: "model.answered", answer: { do: "say", text: "hello" } });
    expect(replies(chat.owed())).toEqual([{ text: "hello", final: true }]);
  });
});

describe("an end that is none", () => {
  test("two calls: only the end of the second is the last word", () => {
    const chat = start();
    const first = calling(chat);
    chat.send(said("again"));
    const second = calling(chat);
    chat.owed();
    chat.send({ type: "call.ended", outcome: refused(second) });
    expect(replies(chat.owed())).toMatchObject([{ final: false, error: { code: "device-away" } }]);
    chat.send({ type: "call.ended", outcome: outcome(first) });
    expect(replies(chat.owed())).toMatchObject([{ final: true }]);
  });

  test("a call that goes on under another id ends under that", () => {
    const chat = start();
    const id = calling(chat);
    chat.send({ type: "call.replaced", call: id, by: "NEXT" });
    expect(chat.owed()).toEqual([]);
    chat.send({ type: "call.ended", outcome: outcome("NEXT") });
    expect(replies(chat.owed())).toMatchObject([{ final: true }]);
  });

  test("unknown is said so, and what is found out later is said too", () => {
    const chat = start();
    const id = calling(chat);
    chat.send({ type: "call.ended", outcome: outcome(id, { state: "unknown", failure: { code: "internal", message: "it broke", effect: "unknown" } }) });
    expect(replies(chat.owed())).toMatchObject([{ text: expect.stringMatching(/^It may or may not have happened/), final: true }]);
    chat.send({ type: "call.ended", outcome: outcome(id) });
    expect(replies(chat.owed())).toMatchObject([{ result: { state: "done" } }]);
  });
});

describe("what fails is said", () => {
  const failure = { code: "timeout", message: "no answer", effect: "none" } as const;

  test("a model, with its remedy", () => {
    const chat = start();
    chat.send({ type: "step.failed", op: "model", failure });
    expect(replies(chat.owed())).toMatchObject([{ final: true, error: { code: "timeout", remedy: expect.stringMatching(/./) } }]);
    expect(chat.state()).toBe("listening");
  });

  test("a method of the gateway", () => {
    const chat = start("/revoke x");
    chat.send({ type: "model.answered", answer: { do: "operate", op: "devices.revoke", args: { device: "x" } } });
    chat.owed();
    chat.send({ type: "step.failed", op: "operate", failure: { ...failure, code: "device-unknown" } });
    expect(replies(chat.owed())).toMatchObject([{ final: true, error: { code: "device-unknown" } }]);
  });

  test("a reply that nobody took stops nothing", () => {
    const chat = start();
    chat.send({ type: "step.failed", op: "say", failure });
    expect([chat.state(), chat.owed()]).toEqual(["thinking", []]);
  });
});

test("a text of 16 KiB is thought about, a longer one is answered at once, whatever the chat is doing", () => {
  const chat = start("é".repeat(8_192));
  for (const state of ["thinking", "listening"]) {
    expect(chat.state()).toBe(state);
    chat.send(said("é".repeat(8_193)));
    const effects = chat.owed();
    expect([thoughts(effects), replies(effects)]).toEqual([[], [{ text: expect.stringMatching(/too long/), final: state === "listening" }]]);
    chat.send({ type: "model.answered", answer: { do: "say", text: "well" } });
    chat.owed();
  }
});

test("no reply is empty, whatever model, device or method answered", () => {
  const texts: string[] = [];
  const hear = (chat: Chat) => texts.push(...replies(chat.owed()).map(({ text }) => text));
  for (const text of ["", "  ", "\n"]) {
    const chat = start();
    chat.send({ type: "model.answered", answer: { do: "say", text } });
    hear(chat);
  }
  for (const cap of ["camera.snap", "camera.list", "device.info", "device.status", "files.read", "x.other"]) {
    for (const state of ["done", "failed", "denied", "expired", "cancelled", "unknown"] as const) {
      const chat = start();
      const { failure: _, ...bare } = outcome(calling(chat), { state, cap });
      chat.send({ type: "call.ended", outcome: bare });
      hear(chat);
    }
  }
  expect(texts).toHaveLength(3 + 36);
  expect(texts.filter((text) => text.trim() === "")).toEqual([]);
});

test("it handles exactly the events of its type", () => {
  /** False: taken without a word, which XState does not list. */
  const all: Record<SessionEvent["type"], boolean> = {
    ...{ "chat.said": true, "model.answered": true, operated: true, "step.failed": true, said: false },
    ...{ "approval.asked": true, "call.ended": true, "call.replaced": true },
  };
  expect([...sessionMachine.events].toSorted()).toEqual(Object.keys(all).filter((type) => all[type as keyof typeof all]).toSorted());
});
