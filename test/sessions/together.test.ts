/** One sentence that means several devices: a call for each, and one reply for all. */
import type { Request } from "@kith/gateway/invocations/request";
import type { Outcome } from "@kith/gateway/invocations/outcome";
import { expect, test } from "vitest";
import { type Chat, calls, outcome, photo, refused, replies, said, start } from "./chat.ts";

const devices = ["k1", "k2", "k3"];
const request: Request = {
  ...{ device: "all", cap: "camera.snap", args: {}, requester: "owner" },
  ...{ by: "console:owner", session: "session/S" },
};

/** A photo of all three is asked for. Returns the ids of their calls. */
function everyone(): { chat: Chat; ids: string[] } {
  const chat = start("photo all");
  chat.send({ type: "model.answered", answer: { ...photo, device: "all" } as typeof photo });
  const [first] = calls(chat.owed());
  const call = first?.to.replace("invocation/", "") ?? "";
  chat.send({ type: "call.spread", call, devices, request });
  const made = calls(chat.owed());
  expect(made.map(({ request: asked }) => asked)).toEqual(
    devices.map((device) => ({ ...request, device })),
  );
  const ids = made.map(({ to }) => to.replace("invocation/", ""));
  expect(new Set([call, ...ids]).size).toBe(4);
  return { chat, ids };
}

const end = (chat: Chat, told: Outcome) => {
  chat.send({ type: "call.ended", outcome: told });
  return replies(chat.owed());
};

test("each is a call of its own, and the reply comes with the last of them, in the order of the devices", () => {
  const { chat, ids } = everyone();
  const [a = "", b = "", c = ""] = ids;
  expect(end(chat, outcome(c, { name: "phone" }))).toEqual([]);
  expect(end(chat, { ...refused(b), name: "attic" })).toEqual([]);
  const [reply, ...more] = end(chat, outcome(a, { name: "laptop" }));
  expect(more).toEqual([]);
  expect(reply).toMatchObject({ final: true, results: [{ call: a }, { call: b }, { call: c }] });
  expect(reply?.text.split("\n").map((line) => /^(?:Photo from )?\w+/.exec(line)?.[0])).toEqual([
    "Photo from laptop",
    "Photo from phone",
    "attic",
  ]);
  expect(reply?.error).toBeUndefined();
  // Nothing of it is left behind.
  expect(chat.context()).toMatchObject({ calls: [], group: undefined });
});

test("where none brought anything, programs learn of the first failure", () => {
  const { chat, ids } = everyone();
  const told = ids.flatMap((id) => end(chat, refused(id)));
  expect(told).toMatchObject([{ final: true, error: { code: "device-away" } }]);
});

test("a call that goes on under another id stays one of them", () => {
  const { chat, ids } = everyone();
  const [a = "", b = "", c = ""] = ids;
  chat.send({ type: "call.replaced", call: b, by: "again" });
  const told = [a, "again", c].flatMap((id) => end(chat, outcome(id)));
  expect(told).toMatchObject([{ results: [{ call: a }, { call: "again" }, { call: c }] }]);
});

test("what goes on to another device comes from one: all of them are not asked", () => {
  const chat = start("copy a.txt from all to phone");
  const onward = { cap: "files.write", device: "phone", args: { path: "a.txt" } };
  chat.send({ type: "model.answered", answer: { ...photo, onward } as typeof photo });
  const [first] = calls(chat.owed());
  const call = first?.to.replace("invocation/", "") ?? "";
  chat.send({
    ...{ type: "call.spread", call, devices },
    request: { ...request, onward: { ...request, ...onward } },
  });
  const owed = chat.owed();
  expect([calls(owed), replies(owed)]).toMatchObject([[], [{ final: true }]]);
  expect(chat.context().calls).toEqual([]);
});

test("a second such sentence meanwhile is answered device by device", () => {
  const { chat, ids } = everyone();
  chat.send(said("photo all"));
  chat.send({ type: "model.answered", answer: photo });
  const call = calls(chat.owed())[0]?.to.replace("invocation/", "") ?? "";
  chat.send({ type: "call.spread", call, devices, request });
  const others = calls(chat.owed()).map(({ to }) => to.replace("invocation/", ""));
  expect(ids.flatMap((id) => end(chat, outcome(id)))).toMatchObject([{ final: false }]);
  expect(others.flatMap((id) => end(chat, outcome(id)))).toMatchObject([
    { final: false },
    { final: false },
    { final: true },
  ]);
});

test("one that was in doubt and then is certain is one of them, not two", () => {
  const { chat, ids } = everyone();
  const [a = "", b = "", c = ""] = ids;
  expect(end(chat, { ...refused(a, "unknown"), state: "unknown" })).toEqual([]);
  expect(end(chat, outcome(a))).toEqual([]);
  expect(end(chat, outcome(b))).toEqual([]);
  expect(end(chat, outcome(c))).toMatchObject([{ results: [{ call: a, state: "done" }, {}, {}] }]);
});

test("results that are large do not outgrow the session", () => {
  const { chat, ids } = everyone();
  const out = { text: "x".repeat(30_000) };
  const told = ids.flatMap((id) => end(chat, outcome(id, { cap: "x.long", out })));
  expect(told).toHaveLength(1);
});
