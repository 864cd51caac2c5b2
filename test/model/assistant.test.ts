/** The grammar and a model together: who hears what, and what the model is sent. */
import { KithError } from "@kith/shared/errors";
import { type AssistantOptions, assistant } from "@kith/gateway/model/assistant";
import type { StoredItem, Turn } from "@kith/gateway/model/model";
import type { ModelEvent, ModelRequest } from "@kith/gateway/model/provider";
import { describe, expect, test } from "vitest";

const talk = { session: "session/S", chat: "console" } as const;
const signal = new AbortController().signal;
const content = { sha256: "ab", type: "image/jpeg", bytes: 3 };
const seen = (n: number): StoredItem => ({
  ...{ role: "tool", call: `t${n}`, name: "camera_snap", text: `{"n":${n}}` },
  pictures: [content],
});

function desk(history: readonly StoredItem[] = [], change: Partial<AssistantOptions> = {}) {
  const asked: ModelRequest[] = [];
  const drafts: string[] = [];
  const says: ModelEvent[] = [{ type: "end", why: "done" }];
  let now = 0;
  const model = assistant({
    name: "m",
    provider: {
      async *stream(request) {
        asked.push(request);
        yield* says;
      },
    },
    tools: () => [],
    knows: (words) => /^(?:my )?laptop$/.test(words),
    history: () => history,
    picture: ({ type }) => Promise.resolve({ type, data: new Uint8Array(3) }),
    draft: (_, text) => void drafts.push(text),
    clock: { mono: () => (now += 60) },
    ...change,
  });
  const hear = (text: string, more: Partial<Turn> = {}) =>
    model.answer({ text, owner: true, talk, ...more }, signal);
  return { asked, drafts, says, hear };
}

describe("what the grammar understands whole never reaches the model", () => {
  test.for([
    "/photo laptop",
    "/nonsense",
    "grab a photo from my laptop",
    "lock everything",
    "my devices",
  ])("%s", async (text) => {
    const { asked, hear } = desk();
    expect((await hear(text)).do).not.toBe("turn");
    expect(asked).toEqual([]);
  });

  test.for([
    "grab a photo from my laptop camera and tell me what is on it",
    "take a photo of the cat",
    "what is the capital of France?",
  ])("but %s does", async (text) => {
    const { asked, hear } = desk();
    expect((await hear(text)).do).toBe("turn");
    expect(asked[0]?.items).toEqual([{ role: "user", text }]);
  });
});

test("nobody but an owner speaks with a model", async () => {
  const { asked, hear } = desk();
  expect(await hear("what is the capital of France?", { owner: false })).toMatchObject({
    puzzled: true,
  });
  expect(asked).toEqual([]);
});

test("while it waits for its calls, commands work and all else goes along later", async () => {
  const { asked, hear } = desk();
  expect(await hear("/allow once", { acting: true })).toMatchObject({ do: "operate" });
  expect(await hear("and hurry", { acting: true })).toEqual({ do: "steer" });
  expect(asked).toEqual([]);
});

test("its text comes in drafts, its calls whole, with what they cost", async () => {
  const { drafts, says, hear } = desk();
  const call = { id: "t1", name: "camera_snap", args: { device: "laptop" } };
  says.unshift(
    ...["I ", "will ", "look."].map((text) => ({ type: "text", text }) as const),
    { type: "call", call },
    { type: "usage", input: 10, cached: 4, output: 5 },
  );
  expect(await hear("look at my desk")).toEqual({
    ...{ do: "turn", text: "I will look.", made: [call] },
    calls: [
      {
        id: "t1",
        tool: "camera_snap",
        cap: "camera.snap",
        device: "laptop",
        args: {},
        look: false,
      },
    ],
    used: { model: "m", input: 10, cached: 4, output: 5, pictures: 0 },
  });
  expect(drafts).toEqual(["I ", "I will look."]);
});

describe("the conversation that it is sent", () => {
  const user = { role: "user", text: "look" } as const;

  test("begins with a person, and ends with what was said or came last", async () => {
    const answer = { role: "assistant", text: "", calls: [] } as const;
    const { asked, hear } = desk([seen(0), answer, user, answer, seen(1)]);
    await hear("", { more: true });
    expect(asked[0]?.items.map(({ role }) => role)).toEqual(["user", "assistant", "tool"]);
  });

  test("has the newest four pictures; one that is gone is said to be", async () => {
    const { asked, hear } = desk([user, ...Array.from({ length: 6 }, (_, n) => seen(n))]);
    expect(await hear("", { more: true })).toMatchObject({ used: { pictures: 4 } });
    const pictures = asked[0]?.items.map((item) =>
      item.role === "tool" ? item.pictures.length : 0,
    );
    expect(pictures).toEqual([0, 0, 0, 1, 1, 1, 1]);

    const gone = desk([user, seen(0)], {
      picture: () => Promise.reject(new KithError("gone", "it was removed")),
    });
    await gone.hear("", { more: true });
    expect(gone.asked[0]?.items[1]).toMatchObject({
      pictures: [],
      text: expect.stringContaining("it was removed"),
    });
  });
});

test("an answer that was cut or refused before its first word says so", async () => {
  for (const [why, words] of [
    ["length", "cut"],
    ["refused", "would not"],
  ] as const) {
    const { says, hear } = desk();
    says[0] = { type: "end", why };
    expect(await hear("hello")).toMatchObject({ text: expect.stringContaining(words) });
  }
});
