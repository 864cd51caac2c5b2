/** One chat, driven without a runtime, and the words to look at what it owes. */
import type { Outcome } from "@kith/gateway/invocations/outcome";
import type { Answer, Question, Turn } from "@kith/gateway/model/model";
import { type SessionEvent, sessionMachine } from "@kith/gateway/sessions/session.machine";
import type { ChatMessage } from "@kith/gateway/sessions/words";
import { expect } from "vitest";
import { type Driven, type Sent, drive } from "../support/drive.ts";

export type Chat = Driven<typeof sessionMachine>;
type Owed = ReturnType<Chat["owed"]>[number];

export const said = (text: string, more = {}) =>
  ({
    type: "chat.said",
    chat: "console",
    text,
    by: "console:owner",
    owner: true,
    ...more,
  }) as const;
export const photo: Answer = { do: "call", cap: "camera.snap", device: "laptop", args: {} };
export const outcome = (call: string, change: Partial<Outcome> = {}): Outcome => ({
  call,
  state: "done",
  device: "k",
  name: "laptop",
  cap: "camera.snap",
  ...change,
});
export const refused = (call: string, code = "device-away") =>
  outcome(call, {
    state: "denied",
    failure: { code: code as "internal", message: "it sleeps", effect: "none" },
  });
export const choices = [
  { id: "k1", name: "Laptop" },
  { id: "k2", name: "Old phone" },
];
export const ambiguous = (call: string, by = "console:owner") => ({
  ...{ ...refused(call, "device-ambiguous"), choices },
  request: {
    device: "laptop",
    cap: "camera.snap",
    args: {},
    requester: "owner",
    by,
    session: "session/S" as const,
  },
});

export const replies = (effects: Owed[]): ChatMessage[] =>
  effects.flatMap((effect) =>
    effect.kind === "step" && effect.op === "say"
      ? [(effect.args as { message: ChatMessage }).message]
      : [],
  );
/** What the grammar hears. */
export const thoughts = (effects: Owed[]) =>
  effects.flatMap((effect) =>
    effect.kind === "step" && effect.op === "model" ? [effect.args as Turn] : [],
  );
/** What a language model is asked. */
export const questions = (effects: Owed[]) =>
  effects.flatMap((effect) =>
    effect.kind === "step" && effect.op === "ask" ? [effect.args as Question] : [],
  );
export const calls = (effects: Owed[]) =>
  effects.flatMap((effect) =>
    effect.kind === "tell"
      ? [
          {
            to: effect.to,
            request: (effect.event as unknown as { request: Record<string, unknown> }).request,
          },
        ]
      : [],
  );

/** A chat whose first message is being thought about. */
export const start = (text = "photo from my laptop", more = {}): Chat => {
  const chat = drive(sessionMachine, said(text, more), "session/S");
  expect(thoughts(chat.owed())).toEqual([
    { text, owner: (more as { owner?: boolean }).owner ?? true },
  ]);
  return chat;
};
/** A session that works for another. */
export const working = (given: Sent<SessionEvent>): Chat =>
  drive(sessionMachine, given as never, "session/C");
/** Its call is on its way; returns its id. */
export const calling = (chat: Chat, answer: Answer = photo): string => {
  chat.send({ type: "model.answered", answer });
  return calls(chat.owed())[0]?.to.replace("invocation/", "") ?? "";
};
