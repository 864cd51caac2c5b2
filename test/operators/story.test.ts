/** `kith why`: what is meant by an id or a name, and how it is told. */
import { story } from "@kith/gateway/operators/story";
import { hints, rowWords, shortIds } from "@kith/gateway/operators/story-words";
import type { AuditRow, Entry } from "@kith/gateway/runtime/store";
import { expect, test } from "vitest";

const ONE = "01K3V9QZ6T0R8M4X2C7B5N1PWD";
const TWO = "01K3V9QZ6T0R8M4X2C7B5N1PWE";
const SESSION = "session/01K3V9QZ6T0R8M4X2C7B5N1PWF";

interface Known {
  readonly starts?: readonly { at: number; clean: boolean }[];
  readonly journal?: readonly Entry[];
  readonly rows?: readonly Partial<AuditRow>[];
}

function start({ journal = [], rows = [], starts = [] }: Known = {}) {
  const call = { state: "done", cap: "camera.snap", name: "laptop", by: "console:owner", args: {} };
  const calls = [ONE, TWO].map((id) => ({ ...call, id, createdAt: 1_000 }));
  const names = ["big phone", "old phone"];
  const devices = names.map((name) => ({
    id: name,
    name,
    state: "paired",
    kind: "phone",
    key: "",
  }));
  const chat = JSON.stringify(["console", "local", "kitchen"]);
  const documents = {
    find: (_: string, id: string) => calls.find((one) => one.id === id),
    get: (_: string, id: string) =>
      id === chat ? { session: SESSION } : id === "boots" ? { starts } : undefined,
    openIds: (table: string) => (table === "chat" ? [chat] : []),
    list: (table: string) => (table === "device" ? devices : []),
  };
  const store = {
    documents: () => calls,
    load: () => undefined,
    audit: ({ about }: { about: string }) =>
      rows.filter(({ data = {} }) => Object.values(data).includes(about)),
    journal: (actor: string) => (actor === SESSION ? journal.toReversed() : []),
  };
  const options = {
    store,
    calls: { list: () => [] },
    runtime: { documents, actor: () => undefined },
  } as never;
  return (said: string, all = false) => story(said, all, options);
}

test("a call is found by its whole id and by an end that only it has", () => {
  const why = start();
  for (const said of [ONE, `invocation/${ONE}`, `approval/${ONE}`, "N1PWD", "1pwd"])
    expect(why(said).out).toMatchObject({ id: ONE, kind: "call", state: "done" });
});

test("a part that several ids have is refused with their names, not guessed", () => {
  const why = start();
  expect(() => why("01K3V9QZ")).toThrow(
    expect.objectContaining({ code: "id-ambiguous", message: expect.stringContaining(SESSION) }),
  );
  expect(() => why("phone")).toThrow(expect.objectContaining({ code: "device-ambiguous" }));
  expect(() => why("PWD")).toThrow(expect.objectContaining({ code: "call-unknown" }));
});

test("a chat is told by its name: events, states, what was asked for, failures", () => {
  const said = { type: "chat.said", text: "a photo\nplease", by: "console:owner" };
  const crashed = { type: "runtime.crashed", on: "chat.said", tries: 1, error: "TypeError: no" };
  const why = start({
    journal: [
      { seq: 1, at: 1_000, event: said, state: "thinking", owed: ["step model"] },
      { seq: 1, at: 2_500, event: crashed },
      { seq: 2, at: 61_000, event: { type: "operated" }, state: { busy: "asking" } },
    ],
  });
  const { out, text } = why("kitchen");
  expect(out).toMatchObject({
    id: SESSION,
    kind: "session",
    cut: false,
    story: [
      { what: "chat.said", to: "thinking" },
      { what: "runtime.crashed" },
      { what: "operated", from: "thinking", to: "busy.asking" },
    ],
  });
  expect(text.split("\n").map((line) => line.slice(12))).toEqual([
    expect.any(String),
    "+0 ms  session heard chat.said (by console:owner, “a photo please”): thinking; asked for: step model",
    "+1.5 s  session failed on chat.said (try 1): TypeError: no; it woke again from disk",
    "+60 s  session heard operated: thinking → busy.asking",
  ]);
  expect(why("console:kitchen").out.id).toBe(SESSION);
});

test("starts of the gateway since then are told among the rest", () => {
  const turn = (seq: number, at: number) => ({ seq, at, event: { type: "said" }, state: "open" });
  const starts = [50, 150, 250].map((at) => ({ at, clean: at === 250 }));
  const { out } = start({ starts, journal: [turn(1, 100), turn(2, 200)] })("kitchen");
  expect((out.story as { what: string; text: string }[]).map(({ text }) => text)).toEqual([
    "session heard said: open",
    "the gateway started again, after a crash or a loss of power",
    "session heard said: open",
    "the gateway started again, after an orderly stop",
  ]);
});

test("what is long is cut, and says how to see the rest", () => {
  const event = { type: "said" };
  const journal = Array.from({ length: 100 }, (_, at) => ({ seq: at, at, event, state: "open" }));
  const why = start({ journal });
  const { out, text } = why("kitchen");
  expect(out.story).toHaveLength(60);
  expect(out.cut).toBe(true);
  expect(text).toContain("--all");
  // The oldest of those that are told still says what was before it.
  expect((out.story as object[])[0]).toMatchObject({ at: 40, from: "open" });
  expect(why("kitchen", true).out.story).toHaveLength(100);
});

test("a row of the audit trail says which call it is of, unless that is whose story is told", () => {
  const row = { what: "call.done", data: { call: ONE, cap: "camera.snap" } } as unknown as AuditRow;
  expect(rowWords(row, ONE)).toBe("the device did it; the result is stored");
  expect(rowWords(row, "device")).toMatch(/stored \(camera\.snap, 5N1PWD\)$/);
});

test("of an event only a few short words are told, and of ids their ends", () => {
  const text = "x".repeat(500);
  const told = hints({ type: "call.ended", outcome: { cap: "a", failure: text, text } } as never);
  expect(told).toBe(` (a, “${"x".repeat(60)}…”)`);
  expect(hints({ type: "said" })).toBe("");
  expect(shortIds(`tell ${SESSION} said`)).toBe("tell session/…5N1PWF said");
});
