/** One chat: what is said becomes a call, what came back becomes a reply, and nobody is left without one. */
import { type SessionEvent, sessionMachine } from "@kith/gateway/sessions/session.machine";
import { describe, expect, test } from "vitest";
import {
  type Chat,
  said,
  photo,
  outcome,
  ambiguous,
  refused,
  replies,
  thoughts,
  calls,
  start,
  calling,
} from "./chat.ts";

test("a sentence becomes a call of the owner, with the turn's own id", () => {
  const chat = start();
  chat.send({ type: "model.answered", answer: photo });
  expect(calls(chat.owed())).toEqual([
    {
      to: "invocation/turn-2",
      request: {
        device: "laptop",
        cap: "camera.snap",
        args: {},
        requester: "owner",
        by: "console:owner",
        session: "session/S",
        chat: "console",
      },
    },
  ]);
  expect(chat.state()).toBe("listening");
});

test("what a call brought goes on to the next device, as a call of its own for whoever asked", () => {
  const chat = start("copy", { by: "telegram:9", owner: false });
  const id = calling(chat, {
    ...{ do: "call", cap: "files.read", device: "laptop", args: { path: "a.txt" } },
    onward: { cap: "files.write", device: "phone", args: { path: "a.txt" } },
  });
  const stream = { role: "content", type: "text/plain", bytes: 5, sha256: "07", path: "/media/07" };
  const by = { requester: "telegram:9", by: "telegram:9", session: "session/S" } as const;
  const onward = { cap: "files.write", device: "phone", args: { path: "a.txt" }, ...by };
  chat.send({ type: "call.ended", outcome: outcome(id, { onward, streams: [stream] }) });
  const owed = chat.owed();
  expect(replies(owed)).toMatchObject([{ final: false }]);
  expect(calls(owed)).toMatchObject([
    { request: { ...onward, content: { type: "text/plain", bytes: 5, sha256: "07" } } },
  ]);
  const next = calls(owed)[0]?.to.replace("invocation/", "") ?? "";
  chat.send({ type: "call.ended", outcome: outcome(next) });
  expect(replies(chat.owed())).toMatchObject([{ final: true }]);
});

test("a call that brought nothing ends it", () => {
  const chat = start("copy");
  const id = calling(chat);
  const onward = { cap: "files.write", device: "phone", args: {}, requester: "owner", by: "o" };
  chat.send({ type: "call.ended", outcome: { ...refused(id), onward } });
  const owed = chat.owed();
  expect([replies(owed), calls(owed)]).toMatchObject([[{ final: true }], []]);
});

test("a sentence of somebody else is their own request, never the owner's", () => {
  const chat = start("photo", { by: "telegram:9", owner: false });
  chat.send({ type: "model.answered", answer: photo });
  expect(calls(chat.owed())[0]?.request).toMatchObject({
    requester: "telegram:9",
    by: "telegram:9",
  });
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
  chat.send({
    type: "approval.asked",
    call: id,
    device: "k",
    name: "laptop",
    cap: "files.read",
    args: { path: "taxes/2026.pdf", max_bytes: 1 },
  });
  const [question] = replies(chat.owed());
  expect(question).toMatchObject({
    final: false,
    question: { approval: id, call: id, device: "k", cap: "files.read" },
  });
  expect(question?.text).toContain("taxes/2026.pdf");
  chat.send(said("/allow once"));
  expect(thoughts(chat.owed())).toHaveLength(1);
  chat.send({
    type: "model.answered",
    answer: { do: "operate", op: "allow", args: { for: "once" } },
  });
  expect(chat.owed()).toMatchObject([
    {
      kind: "step",
      op: "operate",
      args: { op: "allow", args: { for: "once" }, by: "console:owner" },
    },
  ]);
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
    expect(replies(chat.owed())).toMatchObject([
      { final: true, error: { code: "device-ambiguous" } },
    ]);
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
    expect(calls(chat.owed())).toMatchObject([
      { request: { device, cap: "camera.snap", requester: "owner" } },
    ]);
    chat.send(said(words));
    expect(thoughts(chat.owed())).toHaveLength(1);
  });

  test.for(["0", "3", "-1", "1.5", "", "phone", "constructor", "1 and 2"])(
    "“%s” chooses none: it is a new message",
    (words) => {
      const chat = choosing();
      chat.send(said(words));
      expect(thoughts(chat.owed())).toHaveLength(1);
      chat.send({ type: "model.answered", answer: { do: "say", text: "?" } });
      chat.owed();
      chat.send(said("1"));
      expect(calls(chat.owed())).toEqual([]);
    },
  );

  test("somebody else's “1” chooses nothing", () => {
    const chat = choosing();
    chat.send(said("1", { by: "telegram:9", owner: false }));
    expect(calls(chat.owed())).toEqual([]);
  });

  /** The same question again, by `by`, for this capability; returns what was asked of devices. */
  const again = (chat: Chat, by = "console:owner", told = {}) => {
    chat.send(said("photo", { by }));
    const id = calling(chat);
    chat.send({ type: "call.ended", outcome: { ...ambiguous(id, by), ...told } });
    return chat.owed();
  };

  test("the same words mean the chosen device from then on, for whoever chose", () => {
    const chat = choosing();
    chat.send(said("2"));
    chat.owed();
    const owed = again(chat);
    expect([replies(owed), calls(owed)]).toMatchObject([[], [{ request: { device: "k2" } }]]);
    // Somebody else, another capability, or a choice without it: asked again.
    const { request } = ambiguous("");
    for (const asked of [
      again(chat, "telegram:9"),
      again(chat, undefined, { request: { ...request, cap: "camera.list" } }),
      again(chat, undefined, { choices: [{ id: "k1", name: "Laptop" }] }),
    ])
      expect([replies(asked), calls(asked)]).toMatchObject([
        [{ error: { code: "device-ambiguous" } }],
        [],
      ]);
    // A newer choice takes its place.
    chat.send(said("1"));
    chat.owed();
    expect(calls(again(chat))).toMatchObject([{ request: { device: "k1" } }]);
  });

  test("eight choices are remembered, and long words are not", () => {
    const chat = choosing();
    chat.send(said("2"));
    const { request } = ambiguous("");
    for (let n = 0; n < 9; n++) {
      again(chat, undefined, {
        request: { ...request, device: n === 8 ? "x".repeat(65) : `w${n}` },
      });
      chat.send(said("1"));
      chat.owed();
    }
    expect(chat.context().chosen?.map(({ words }) => words)).toEqual([
      "w7",
      "w6",
      "w5",
      "w4",
      "w3",
      "w2",
      "w1",
      "w0",
    ]);
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

describe("what fails is said", () => {
  const failure = { code: "timeout", message: "no answer", effect: "none" } as const;

  test("a model, with its remedy", () => {
    const chat = start();
    chat.send({ type: "step.failed", op: "model", failure });
    expect(replies(chat.owed())).toMatchObject([
      { final: true, error: { code: "timeout", remedy: expect.stringMatching(/./) } },
    ]);
    expect(chat.state()).toBe("listening");
  });

  test("a method of the gateway", () => {
    const chat = start("/revoke x");
    chat.send({
      type: "model.answered",
      answer: { do: "operate", op: "devices.revoke", args: { device: "x" } },
    });
    chat.owed();
    chat.send({
      type: "step.failed",
      op: "operate",
      failure: { ...failure, code: "device-unknown" },
    });
    expect(replies(chat.owed())).toMatchObject([
      { final: true, error: { code: "device-unknown" } },
    ]);
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
    expect([thoughts(effects), replies(effects)]).toEqual([
      [],
      [{ text: expect.stringMatching(/too long/), final: state === "listening" }],
    ]);
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
  for (const cap of [
    "camera.snap",
    "camera.list",
    "device.info",
    "device.status",
    "files.read",
    "x.other",
  ]) {
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
    ...{
      "chat.said": true,
      "model.answered": true,
      operated: true,
      "model.said": true,
      "model.failed": true,
      "tool.ended": true,
      "task.given": true,
      "task.stopped": true,
      "message.given": true,
      "step.failed": true,
      said: false,
    },
    ...{
      "approval.asked": true,
      "call.ended": true,
      "call.replaced": true,
      "call.spread": true,
      "call.waits": true,
      "turn.permitted": true,
    },
  };
  expect([...sessionMachine.events].toSorted()).toEqual(
    Object.keys(all)
      .filter((type) => all[type as keyof typeof all])
      .toSorted(),
  );
});
