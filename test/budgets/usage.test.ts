/** Budgets of a day: what is reserved and used counts, before anything more may be. */
import { Spending } from "@kith/gateway/budgets/spending";
import { Budget, usageBook } from "@kith/gateway/budgets/book";
import { costOf, priceOf } from "@kith/gateway/budgets/prices";
import { type Limits, UsageLedger, amount, dayOf, used } from "@kith/gateway/budgets/usage";
import type { Question } from "@kith/gateway/model/model";
import { Documents } from "@kith/gateway/runtime/documents";
import type { Effect, Event } from "@kith/gateway/runtime/effect";
import { collect } from "@kith/gateway/runtime/fx";
import { describe, expect, test } from "vitest";
import { Desk } from "../invocations/desk.ts";

const NOON = new Date(2026, 11, 1, 12).getTime();
const DAY_MS = 86_400_000;
const anna = { by: "console:anna", chat: "one" };

function book(limits: Limits) {
  const documents = new Documents({ openDocuments: () => [], document: () => undefined });
  documents.reload();
  const ledger = new UsageLedger(documents, limits);
  const effects: Effect[] = [];
  const turn = (what: (ledger: UsageLedger) => void) =>
    void effects.push(...collect(() => what(ledger)));
  return { documents, ledger, turn, effects };
}
const today = (documents: Documents) => used(documents, dayOf(NOON), "day", anna);

describe("a limit", () => {
  test.for([
    ["day", { by: "console:bert", chat: "two" }],
    ["person", { ...anna, chat: "two" }],
    ["chat", { by: "console:bert", chat: "one" }],
    ["job", { by: "console:bert", chat: "two", job: "J" }],
  ] as const)("of a %s holds, and is said", ([scope, other]) => {
    const { turn } = book({ [scope]: { calls: 2 } });
    const account = { ...anna, job: "J" };
    turn((ledger) => ledger.use(account, { calls: 2 }, NOON));
    expect(() => turn((ledger) => ledger.use(other, { calls: 1 }, NOON))).toThrow(
      /budget .* 2 tool calls; 2 tool calls are used/,
    );
  });

  test("of one person, chat or job is not another's", () => {
    const { turn } = book({ person: { calls: 1 }, chat: { calls: 1 }, job: { calls: 1 } });
    turn((ledger) => ledger.use({ ...anna, job: "J" }, { calls: 1 }, NOON));
    turn((ledger) => ledger.use({ by: "b", chat: "two", job: "K" }, { calls: 1 }, NOON));
    turn((ledger) => ledger.use({ by: "c", chat: "three" }, { calls: 1 }, NOON));
  });

  test("begins anew with the next day, and yesterday's rows are closed", () => {
    const { turn, effects, documents } = book({ day: { calls: 1 } });
    turn((ledger) => ledger.use(anna, { calls: 1 }, NOON));
    turn((ledger) => ledger.use(anna, { calls: 1 }, NOON + DAY_MS));
    expect(effects.filter((one) => one.kind === "put" && !one.open)).toHaveLength(1);
    expect(documents.list("usage")).toHaveLength(1);
  });

  test("holds within one turn, too", () => {
    const { turn } = book({ day: { camera: 1 } });
    expect(() =>
      turn((ledger) => {
        ledger.use(anna, { camera: 1 }, NOON);
        ledger.use(anna, { camera: 1 }, NOON);
      }),
    ).toThrow("1 camera uses");
  });
});

describe("what is reserved", () => {
  test("counts until it is settled; then what it came to counts", () => {
    const { turn, documents } = book({ day: { tokens: 100 } });
    turn((ledger) => ledger.reserve("q", anna, { tokens: 80 }, NOON));
    expect(() => turn((ledger) => ledger.reserve("r", anna, { tokens: 30 }, NOON))).toThrow(
      "100 tokens",
    );
    turn((ledger) => ledger.settle("q", { tokens: 20 }));
    expect(today(documents)).toEqual({ tokens: 20 });
    turn((ledger) => ledger.reserve("r", anna, { tokens: 80 }, NOON));
  });

  test("is reserved once, however often it is tried; and settled once", () => {
    const { turn, documents } = book({ day: { tokens: 100 } });
    for (let n = 0; n < 3; n++) turn((ledger) => ledger.reserve("q", anna, { tokens: 80 }, NOON));
    for (let n = 0; n < 3; n++) turn((ledger) => ledger.settle("q", { tokens: 20 }));
    expect(today(documents)).toEqual({ tokens: 20 });
  });
});

test("whoever asks hears no in words, and the audit keeps it", () => {
  const { ledger } = book({ day: { calls: 0 } });
  const effects = collect(() =>
    usageBook(ledger).receive(
      {
        ...({ to: "usage/book", msg: "m", lane: "normal", durable: false } as const),
        event: { type: "usage.wanted", account: anna, amounts: { calls: 1 } } as never,
      },
      NOON,
      "T",
    ),
  );
  expect(effects).toMatchObject([
    { kind: "audit", what: "budget.refused", data: { by: "console:anna", calls: 1 } },
    { kind: "reply", value: { refused: { code: "budget-spent" } } },
  ]);
});

test("a call of a device is counted for whoever asks, and refused before anybody is asked", () => {
  const desk = new Desk();
  desk.limits = { person: { camera: 1 }, day: { calls: 2 } };
  desk.restart();
  const model = { model: true, chat: "one", session: "session/S" } as const;
  desk.request("A", model);
  expect(desk.state("A")).toBe("asked");
  expect(desk.request("B", model)).toMatchObject({ failure: { code: "budget-spent" } });
  // A person's own command is no tool call, and a list of cameras no use of one.
  expect(desk.request("C", { cap: "camera.list" }).state).toBe("ready");
  expect(desk.request("D", { ...model, cap: "camera.list" }).state).toBe("ready");
  expect(desk.request("E", { ...model, cap: "camera.list" })).toMatchObject({
    failure: { code: "budget-spent" },
  });
});

describe("money", () => {
  test("comes from the longest name that fits, or from the owner's own list", () => {
    const own = { "gpt-5-mini": { input: 1, output: 1 } };
    expect(priceOf("openai", "gpt-5-mini-2026", {})).toMatchObject({ output: 2 });
    expect(priceOf("openai", "gpt-5-mini", own)).toEqual(own["gpt-5-mini"]);
    expect(priceOf("ollama", "llama", {})).toMatchObject({ input: 0 });
    expect(priceOf("openai-compatible", "constructor", {})).toBeUndefined();
    const used = { input: 1_000, cached: 400, output: 100 };
    expect(costOf({ input: 3, cached: 0.3, output: 15 }, used)).toBe(600 * 3 + 120 + 1_500);
    expect(amount("money", 3_420)).toBe("$0.0034");
  });

  const question = { session: "session/S", n: 1, ...anna } as unknown as Question;

  test("that nobody knows is not spent, where there is a budget of it", async () => {
    const budget = { take: () => Promise.resolve(), settle: () => {} } as unknown as Budget;
    const tokens = { input: 1, output: 1 };
    const limited = new Spending(budget, { day: { money: 5 } }, () => undefined);
    await expect(limited.reserve(question, tokens)).rejects.toThrow("nobody knows");
    await new Spending(budget, {}, () => undefined).reserve(question, tokens);
  });
});

describe("whoever asks", () => {
  const account = { by: "console:anna", chat: "console" };
  function asking(limits: Limits) {
    const told: string[] = [];
    const runtime = {
      ask: (_: string, { type }: Event) => {
        told.push(`waits for ${type}`);
        return Promise.resolve({});
      },
      tell: (_: string, { type }: Event) => told.push(type) > 0,
    };
    return { told, budget: new Budget(runtime as never, limits) };
  }

  test("waits until it is on disk, where anything is limited, also to nothing", async () => {
    for (const limits of [{ day: { tokens: 9 } }, { chat: { camera: 0 } }] as const) {
      const { told, budget } = asking(limits);
      await budget.take(account, { calls: 1 });
      expect(told).toEqual(["waits for usage.wanted"]);
    }
  });

  test("waits for nothing where nothing is limited; it is counted all the same", async () => {
    for (const limits of [{}, { day: {} }]) {
      const { told, budget } = asking(limits);
      await budget.take(account, { tokens: 5 }, "session/S/1");
      budget.settle("session/S/1", { tokens: 3 });
      expect(told).toEqual(["usage.wanted", "usage.settled"]);
    }
  });
});
