/** Several things at once in one chat: each is answered, and the last word is the last. */
import { describe, expect, test } from "vitest";
import { said, outcome, refused, replies, thoughts, start, calling } from "./chat.ts";

describe("what is said while one message is thought about", () => {
  test("waits its turn, 32 of them, and the 33rd hears that it was not taken", () => {
    const chat = start();
    for (let at = 0; at < 32; at++) chat.send(said(`text ${at}`));
    expect(chat.owed()).toEqual([]);
    chat.send(said("one too many"));
    expect(replies(chat.owed())).toMatchObject([
      { final: false, text: expect.stringMatching(/./) },
    ]);
    const heard: unknown[] = [];
    for (let at = 0; at < 33; at++) {
      chat.send({ type: "model.answered", answer: { do: "say", text: "yes" } });
      const effects = chat.owed();
      heard.push(...thoughts(effects));
      expect(replies(effects)).toEqual([{ text: "yes", final: at === 32 }]);
    }
    expect(heard).toEqual(
      Array.from({ length: 32 }, (_, at) => ({ text: `text ${at}`, owner: true })),
    );
  });

  test("is refused when it is more than a snapshot can hold, and none of it is lost", () => {
    const chat = start();
    const part = "é".repeat(4_096);
    for (let at = 0; at < 2; at++) chat.send(said(part));
    expect(chat.owed()).toEqual([]);
    chat.send(said(part));
    expect(replies(chat.owed())).toMatchObject([
      { final: false, text: expect.stringMatching(/^Too much at once/) },
    ]);
    expect(chat.context().waiting).toHaveLength(2);
  });

  test("also waits for a method of the gateway", () => {
    const chat = start("/devices");
    chat.send({ type: "model.answered", answer: { do: "operate", op: "devices.list", args: {} } });
    chat.owed();
    chat.send(said("hello"));
    expect(chat.owed()).toEqual([]);
    chat.send({ type: "operated", message: { text: "None.", final: true } });
    const effects = chat.owed();
    expect([replies(effects), thoughts(effects)]).toEqual([
      [{ text: "None.", final: false }],
      [{ text: "hello", owner: true }],
    ]);
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
    chat.send({
      type: "call.ended",
      outcome: outcome(id, {
        state: "unknown",
        failure: { code: "internal", message: "it broke", effect: "unknown" },
      }),
    });
    expect(replies(chat.owed())).toMatchObject([
      { text: expect.stringMatching(/^It may or may not have happened/), final: true },
    ]);
    chat.send({ type: "call.ended", outcome: outcome(id) });
    expect(replies(chat.owed())).toMatchObject([{ result: { state: "done" } }]);
  });
});
