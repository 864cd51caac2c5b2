/** What is asked of a model and of the gateway's own tools, at the moment that it would be done. */
import { KithError } from "@kith/shared/errors";
import { type May, performAsk, performTool } from "@kith/gateway/model/performers";
import type { Model, Question } from "@kith/gateway/model/model";
import { ModelFailure } from "@kith/gateway/model/provider";
import { type ToolContext, ownTool } from "@kith/gateway/tools/tool";
import * as v from "valibot";
import { expect, test } from "vitest";

const signal = new AbortController().signal;
const free: May = { off: false, isDenied: () => false };
const context: ToolContext = {
  ...{ call: "C", session: "session/S", chat: "console", by: "console:owner", agent: "main" },
  labels: [],
};

function tools() {
  const ran: unknown[] = [];
  const tool = ownTool({
    ...{ name: "note", description: "", class: "read", args: v.strictObject({}) },
    run: (args) => Promise.resolve(void ran.push(args)).then(() => ({ text: "noted" })),
  });
  const run = (may: May, taken: object[] = []) =>
    performTool(
      [tool],
      () => {},
      { take: (_, amounts) => Promise.resolve(void taken.push(amounts)) },
      may,
      { tool: "note", args: {}, context, account: { by: "console:owner", chat: "console" } },
      signal,
    );
  return { ran, run };
}

test("a tool runs, and what it did is told; it counts before it runs", async () => {
  const { ran, run } = tools();
  const taken: object[] = [];
  expect(await run(free, taken)).toMatchObject({ call: "C", result: { text: "noted" } });
  expect([ran, taken]).toEqual([[{}], [{ calls: 1 }]]);
});

test.for<[string, May]>([
  ["locked", { ...free, off: true }],
  ["not-granted", { ...free, isDenied: (tool, { agent }) => tool === "note" && agent === "main" }],
])("nothing runs or is counted when it is %s by then", async ([code, may]) => {
  const { ran, run } = tools();
  const taken: object[] = [];
  expect(await run(may, taken)).toMatchObject({ type: "tool.ended", failure: { code } });
  expect([ran, taken]).toEqual([[], []]);
});

const asking = (ask: Model["ask"]): Model => ({
  name: "m",
  answer: () => Promise.reject(new Error("not asked here")),
  ask,
});

test("a model is not asked once everything was turned off, also not a second time", async () => {
  let asked = 0;
  let off = false;
  const may = {
    get off() {
      return off;
    },
  };
  const model = asking(() => {
    asked++;
    off = true;
    return Promise.reject(new ModelFailure("model-away", "cut", true));
  });
  const question = { n: 1 } as Question;
  const failed = { type: "model.failed", n: 1, failure: { code: "locked" } };
  expect(await performAsk(model, may, question, signal)).toMatchObject(failed);
  expect(await performAsk(model, may, question, signal)).toMatchObject(failed);
  expect(asked).toBe(1);
});

test("why it was stopped is what is told", async () => {
  const stop = new AbortController();
  const model = asking(() => {
    stop.abort(new KithError("locked", "everything was locked"));
    return Promise.reject(stop.signal.reason);
  });
  expect(await performAsk(model, free, { n: 1 } as Question, stop.signal)).toMatchObject({
    failure: { code: "locked" },
  });
});
