/** Faults that the world of talks must find; planted only here, by hooks.ts. */
import type { Mutant } from "../mutant.ts";

export const mutants: readonly Mutant[] = [
  {
    fault: "a model's answer is acted on before it is journalled",
    patches: [
      [
        "gateway/src/sessions/talk.ts",
        "...rows(place, talk, items), ...[audit, ...refusals],",
        "...rows(place, talk, items.slice(1)), ...[audit, ...refusals],",
      ],
    ],
    caught: /acted on before/,
  },
  {
    fault: "a yes for once serves the next call as well",
    patches: [
      [
        "gateway/src/grants/register.ts",
        '? { uses: 0, call: call.id, planHash: call.planHash, state: "used" }',
        '? { state: "live" }',
      ],
    ],
    caught: /without a permission/,
  },
  {
    fault: "a standing permission counts after EVIL was read",
    patches: [
      [
        "gateway/src/grants/decide.ts",
        '!tainted || capability.tainted === "allowed" ?',
        "!tainted || capability.tier < 3 ?",
      ],
    ],
    caught: /although it read EVIL/,
  },
  {
    fault: "a summary drops the labels of what it stands for",
    patches: [
      [
        "gateway/src/sessions/talk.ts",
        'talk: { ...talk, from: id, turn: { ...turn, compact: "-" } },',
        'talk: { ...talk, labels: [], from: id, turn: { ...turn, compact: "-" } },',
      ],
    ],
    caught: /although it read EVIL/,
  },
  {
    fault: "a task's report drops the labels of what it read",
    patches: [
      [
        "gateway/src/sessions/session.machine.ts",
        'const told = { text: answer ?? "", labels, source: talks.sourceOf(talk) };',
        'const told = { text: answer ?? "", labels: labels.slice(9), source: talks.sourceOf(talk) };',
      ],
    ],
    caught: /although it read EVIL/,
  },
  {
    fault: "a budget is looked at after the question",
    patches: [
      [
        "gateway/src/model/assistant.ts",
        "await spending.reserve(question, { input: tokens + BESIDE, output: MAX_TOKENS });",
        "spending.reserve(question, { input: tokens + BESIDE, output: MAX_TOKENS }).catch(() => {});",
      ],
    ],
    caught: /more than its budget/,
  },
  {
    fault: "what a cancelled tool brought is used",
    patches: [
      [
        "gateway/src/sessions/talk.ts",
        "talk: { ...without(talk), items: talk.items + items.length },",
        "talk: { ...talk, items: talk.items + items.length },",
      ],
    ],
    caught: /was cancelled and is read|a result of nothing/,
  },
  {
    fault: "one assistant's model answers for another",
    patches: [
      [
        "gateway/src/model/agents.ts",
        "others.get(agent ?? MAIN) ?? main;",
        "others.get(agent ?? MAIN) && main || main;",
      ],
    ],
    caught: /works for another|of another/,
  },
];
