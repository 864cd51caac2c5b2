/** A chat of 500 turns with tools: its conversation stays within what the model reads at once, and loses no label. */
import { type Row, itemsOf } from "@kith/gateway/model/history";
import type { Question, Said, StoredItem } from "@kith/gateway/model/model";
import { expect, test } from "vitest";
import { type Chat, questions, said, start } from "./chat.ts";

const WINDOW = 8_000;
const TURNS = 500;

test("500 turns, summed up again and again, each request within the model's window", async () => {
  const rows = new Map<string, StoredItem>();
  const calls: { id: string; call: string }[] = [];
  const steps: string[] = [];
  const keep = (chat: Chat): Question[] => {
    const owed = chat.owed();
    for (const effect of owed) {
      if (effect.kind === "put" && effect.table === "item")
        rows.set(effect.id, effect.body as StoredItem);
      if (effect.kind === "step" && effect.op === "tool") {
        const { tool, context } = effect.args as { tool: string; context: { call: string } };
        steps.push(tool);
        if (tool === "memory_read") calls.push({ id: tool, call: context.call });
      }
    }
    return questions(owed);
  };
  const history = {
    rows: (): readonly Row[] =>
      [...rows]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .slice(-512)
        .map(([id, item]) => ({ id, item })),
    picture: () => Promise.reject(new Error("there is none")),
    window: WINDOW,
  };
  const used = { model: "m", input: 1, cached: 0, output: 1, pictures: 0 };
  const tool = { id: "t", name: "memory_read", args: { file: "notes" } };
  const chat = start("turn 0");
  let [question] = [{} as Question] as (Question | undefined)[];
  let summaries = 0;
  let most = 0;
  let labels = 0;
  const send = (event: Parameters<Chat["send"]>[0]) => {
    chat.send(event);
    [question] = keep(chat);
  };
  for (let turn = 0; turn < TURNS; turn++) {
    if (turn > 0) send(said(`turn ${turn}: ${"word ".repeat(20)}`));
    send({ type: "model.answered", answer: { do: "ask" } });
    for (let round = 0; question !== undefined; round++) {
      const { items, full, tokens } = await itemsOf(question, history);
      most = Math.max(most, tokens);
      const owners = items.filter(({ role }) => role === "user");
      expect(items[0]?.role).toBe("user");
      if (question.compact === undefined) expect(owners.at(-1)?.text).toContain(`turn ${turn}`);
      // From the first result on it has read something private, and no summary takes that away.
      expect(question.labels.length >= labels).toBe(true);
      labels = question.labels.length;
      const answer: Said =
        question.compact !== undefined
          ? {
              text: `REMEMBER: fact ${++summaries}\n\nThey spoke of turns.`,
              calls: [],
              made: [],
              used,
            }
          : round === 0 || (round === 1 && summaries > 0 && calls.length === 0)
            ? {
                ...{ text: "", made: [{ ...tool, id: `t${turn}` }] },
                calls: [{ id: `t${turn}`, tool: "memory_read", own: tool.args }],
                used: { ...used, ...(full && { full }) },
              }
            : {
                text: `Answer ${turn}.`,
                calls: [],
                made: [],
                used: { ...used, ...(full && { full }) },
              };
      send({ type: "model.said", n: question.n, said: answer });
      const waits = calls.shift();
      if (waits)
        send({
          ...{ type: "tool.ended", call: waits.call },
          result: { text: "x".repeat(600), labels: ["private"], source: "memory" },
        });
    }
    expect(chat.context().talk?.turn).toBeUndefined();
  }
  expect(most).toBeLessThan(WINDOW * 0.75);
  expect(summaries).toBeGreaterThan(20);
  expect(steps.filter((name) => name === "memory_write")).toHaveLength(summaries);
  expect(chat.context().talk?.labels).toEqual(["private"]);
  const summed = [...rows.values()].filter(({ source }) => source === "a summary");
  expect([
    summed.length,
    summed.slice(1).every(({ labels }) => labels?.includes("private")),
  ]).toEqual([summaries, true]);
  expect(JSON.stringify(chat.context()).length).toBeLessThan(8_192);
}, 60_000);
