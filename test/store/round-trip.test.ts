/** Every kind of write comes back as it was given, also after a restart. */
import { describe, expect, test } from "vitest";
import { openStore } from "@kith/gateway/store/store";
import type { Envelope } from "@kith/gateway/runtime/effect";
import type { Step, Store, Timer, Write } from "@kith/gateway/runtime/store";
import { tempHome } from "./home.ts";

const bytes = new Uint8Array([0, 255, 7]);
const sam = "session/sam";

const message = (msg: string): Envelope => ({
  to: sam,
  event: { type: "message.came", at: 5, text: "a\0b", thumb: bytes } as Envelope["event"],
  msg,
  lane: "normal",
  durable: true,
});

const step = (id: string, more: Partial<Step> = {}): Step => ({
  id,
  actor: sam,
  op: "invoke",
  class: "once",
  args: { picture: bytes },
  expiresAt: 9_000_000_000_000,
  ...more,
});

/** Commits, restarts, and hands over a store that only knows what is on disk. */
async function after(...commits: Write[][]): Promise<Store & AsyncDisposable> {
  const home = tempHome();
  const first = openStore(home.path);
  await first.open();
  for (const writes of commits) await first.commit(writes);
  await first.close();
  const store = openStore(home.path);
  await store.open();
  return Object.assign(store, {
    async [Symbol.asyncDispose]() {
      await store.close();
      home[Symbol.dispose]();
    },
  });
}

describe("an actor", () => {
  const saved = { kind: "session", seq: 1, status: "live", snapshot: bytes } as const;

  test("is loaded as its newest write", async () => {
    await using store = await after(
      [{ k: "actor", id: sam, ...saved }],
      [{ k: "actor", id: sam, ...saved, seq: 2, status: "final" }],
    );
    expect(store.load(sam)).toEqual({ ...saved, seq: 2, status: "final" });
    expect(store.load("session/nobody")).toBeUndefined();
  });

  test("is listed under its kind, in the order of ids", async () => {
    await using store = await after([
      { k: "actor", id: "session/b", ...saved },
      { k: "actor", id: "sessions/z", ...saved, kind: "sessions" },
      { k: "actor", id: "session/a", ...saved },
    ]);
    expect(store.actors("session")).toEqual(["session/a", "session/b"]);
  });

  test("has a journal, newest first", async () => {
    const event = { type: "message.came", at: 3 };
    await using store = await after([
      { k: "journal", actor: sam, seq: 1, at: 3, event },
      { k: "journal", actor: sam, seq: 2, at: 4, event },
      { k: "journal", actor: "session/b", seq: 9, at: 5, event },
    ]);
    expect(store.journal(sam, 9)).toEqual([
      { seq: 2, at: 4, event },
      { seq: 1, at: 3, event },
    ]);
    expect(store.journal(sam, 1)).toHaveLength(1);
  });
});

describe("a message", () => {
  test("waits in the inbox with its bytes, oldest first", async () => {
    await using store = await after(
      [{ k: "accept", env: message("2"), at: 1 }],
      [{ k: "accept", env: message("1"), at: 2 }],
    );
    expect(store.inbox()).toEqual([
      { env: message("2"), attempts: 0 },
      { env: message("1"), attempts: 0 },
    ]);
    expect(store.seen(sam, "1")).toBe(true);
    expect(store.seen("session/b", "1")).toBe(false);
  });

  test("that waits already is not accepted again", async () => {
    await using store = await after(
      [{ k: "accept", env: message("1"), at: 1 }],
      [{ k: "accept", env: message("1"), at: 2 }],
    );
    expect(store.inbox()).toHaveLength(1);
  });

  test("that was taken leaves the inbox, stays seen, and is not accepted again", async () => {
    await using store = await after(
      [{ k: "accept", env: message("1"), at: 1 }],
      [{ k: "taken", to: sam, msg: "1", at: 2 }],
      [{ k: "accept", env: message("1"), at: 3 }],
    );
    expect(store.inbox()).toEqual([]);
    expect(store.seen(sam, "1")).toBe(true);
  });

  test("is forgotten 30 days after it was taken, and not a day earlier", async () => {
    const day = 86_400_000;
    const later = (days: number): Write[] => [
      { k: "audit", at: 1 + days * day, what: "x", data: {} },
    ];
    const taken: Write[] = [{ k: "taken", to: sam, msg: "1", at: 1 }];
    await using kept = await after(taken, later(29));
    expect(kept.seen(sam, "1")).toBe(true);
    await using gone = await after(taken, later(31));
    expect(gone.seen(sam, "1")).toBe(false);
  });

  test("that crashes its actor keeps the count of its attempts", async () => {
    await using store = await after(
      [{ k: "accept", env: message("1"), at: 1 }],
      [{ k: "attempt", to: sam, msg: "1", attempts: 2 }],
      [{ k: "attempt", to: sam, msg: "unknown", attempts: 2 }],
    );
    expect(store.inbox()).toEqual([{ env: message("1"), attempts: 2 }]);
  });

  test("that nobody could handle is kept with its error, even one with half a character", async () => {
    await using store = await after([
      { k: "dead", env: message("1"), error: "boom \ud800", at: 4 },
    ]);
    const error = expect.stringMatching(/^boom \ufffd+$/);
    expect(store.dead(5)).toMatchObject([{ n: 1, env: message("1"), error, at: 4 }]);
  });
});

describe("a step", () => {
  test("waits until it ends, oldest first", async () => {
    await using store = await after(
      [
        { k: "step", step: step("b"), at: 1 },
        { k: "step", step: step("a", { order: "chat 1" }), at: 1 },
        { k: "step", step: step("c"), at: 1 },
      ],
      [{ k: "stepEnd", id: "c", state: "unknown", at: 2 }],
    );
    expect([...store.steps()]).toEqual([step("b"), step("a", { order: "chat 1" })]);
    expect([...store.openOrders()]).toEqual(["chat 1"]);
  });

  test("is read page by page, without those that come meanwhile", async () => {
    const ids = Array.from({ length: 1_500 }, (_, n) => `s${n}`);
    await using store = await after(ids.map((id) => ({ k: "step", step: step(id), at: 1 })));
    const reading = store.steps()[Symbol.iterator]();
    const first = reading.next().value as { id: string };
    await store.commit([{ k: "step", step: step("late"), at: 2 }]);
    const rest = [...{ [Symbol.iterator]: () => reading }].map(({ id }) => id);
    expect([first.id, ...rest]).toEqual(ids);
  });
});

describe("a timer", () => {
  const nap: Timer = {
    actor: sam,
    name: "nap",
    due: 7.5,
    generation: 1,
    event: { type: "timer.nap" },
  };

  test("is one per actor and name; setting it again replaces it", async () => {
    await using store = await after([
      { k: "timer", timer: nap },
      { k: "timer", timer: { ...nap, due: 5, generation: 2 } },
      { k: "timer", timer: { ...nap, name: "tea" } },
    ]);
    expect(store.timers()).toEqual([
      { ...nap, due: 5, generation: 2 },
      { ...nap, name: "tea" },
    ]);
  });

  test("is gone once it is unset", async () => {
    await using store = await after([
      { k: "timer", timer: nap },
      { k: "untimer", actor: sam, name: "nap" },
    ]);
    expect(store.timers()).toEqual([]);
  });
});

describe("a document", () => {
  const put = (id: string, open: boolean, at: number): Write => ({
    k: "put",
    table: "call",
    id,
    open,
    at,
    body: { id, key: bytes, none: undefined },
  });
  const body = (id: string) => ({ id, key: bytes, none: undefined });

  test("is read by id, open ones by table, and all of them newest first", async () => {
    await using store = await after([
      put("b", true, 1),
      put("a", true, 2),
      put("c", true, 3),
      put("b", false, 4),
    ]);
    expect(store.document("call", "b")).toEqual(body("b"));
    expect(store.document("grant", "b")).toBeUndefined();
    expect(store.openDocuments("call").map(({ id }) => id)).toEqual(["a", "c"]);
    expect(store.documents("call", 2)).toEqual([
      { id: "b", at: 4, body: body("b") },
      { id: "c", at: 3, body: body("c") },
    ]);
  });

  test("leaves 30 days after it was closed; open ones and settings stay", async () => {
    const late = 31 * 86_400_000;
    await using store = await after(
      [
        put("open", true, 1),
        put("closed", false, 1),
        { k: "put", table: "setting", id: "s", open: false, at: 1, body: 1 },
      ],
      [{ k: "audit", at: late, what: "x", data: {} }],
    );
    expect(store.documents("call", 9).map(({ id }) => id)).toEqual(["open"]);
    expect(store.document("setting", "s")).toBe(1);
  });
});

describe("a series of documents", () => {
  const item = (id: string, at: number) =>
    ({ k: "put", table: "item", id, open: false, at, body: id }) as const;

  test("is its owner's alone, the last of them, in order", async () => {
    const ids = ["session/A/2", "session/A/1", "session/AB/1", "session/A/3", "session/B/1"];
    await using store = await after(ids.map((id) => item(id, 1)));
    expect(store.series("item", "session/A", 9, "session/A/2").map(({ id }) => id)[0]).toBe(
      "session/A/2",
    );
    expect(store.series("item", "session/A", 2)).toEqual([
      { id: "session/A/2", body: "session/A/2" },
      { id: "session/A/3", body: "session/A/3" },
    ]);
  });

  test("of a conversation leaves after 90 days", async () => {
    const days = 86_400_000;
    await using store = await after(
      [item("session/A/1", 1), item("session/A/2", 2 * days)],
      [{ k: "audit", at: 91 * days, what: "x", data: {} }],
    );
    expect(store.series("item", "session/A", 9).map(({ id }) => id)).toEqual(["session/A/2"]);
  });
});

describe("an opening", () => {
  test("says whether the last stop was clean, and the wall time of the newest commit", async () => {
    using home = tempHome();
    const store = openStore(home.path);
    expect(await store.open()).toEqual({ epoch: 1, clean: true, lastWallMs: 0 });
    await store.commit([{ k: "audit", at: 77, what: "x", data: {} }]);
    await store.close();
    expect(await store.open()).toEqual({ epoch: 2, clean: true, lastWallMs: 77 });
    await store.close();
  });
});
