/**
 * The simulation is only as good as the faults it has been shown to find. Each mutant is
 * the runtime with one line planted wrong.
 */
import type { Mutant } from "../mutant.ts";

export const mutants: readonly Mutant[] = [
  {
    fault: "effects leave before the commit",
    patches: [
      [
        "gateway/src/runtime/owe.ts",
        "after.push(() => doors.submit(step));",
        "doors.submit(step);",
      ],
    ],
    caught: /left before its commit/,
  },
  {
    fault: "answers leave before the commit",
    patches: [
      [
        "gateway/src/runtime/owe.ts",
        "after.push(() => doors.asks.settle(replyTo, effect.value));",
        "doors.asks.settle(replyTo, effect.value);",
      ],
    ],
    caught: /answered before its commit/,
  },
  {
    fault: "nobody looks whether a message is known",
    patches: [
      ["gateway/src/runtime/runtime.ts", "if (this.#options.store.seen(to, msg)) return;", ""],
    ],
    caught: /handled twice|came after/,
  },
  {
    fault: "an actor keeps its state after a failed commit",
    patches: [["gateway/src/runtime/runtime.ts", "landed();\n        cell.drop();", "landed();"]],
    caught: /holds|has seq|fold/,
  },
  {
    fault: "an actor wakes while turns of its own are in flight",
    patches: [
      [
        "gateway/src/runtime/cell.ts",
        `return this.status === "live" && (awake || this.inFlight === 0);`,
        `return this.status === "live" && (awake || true);`,
      ],
    ],
    caught: /holds|has seq|fold/,
  },
  {
    fault: "timers are in memory only",
    patches: [["gateway/src/runtime/owe.ts", `writes.push({ k: "timer", timer });`, ""]],
    caught: /never fired/,
  },
  {
    fault: "a fire is not compared with the newest setting",
    patches: [
      [
        "gateway/src/runtime/timers.ts",
        "return this.#set.get(keyOf(to, timer)) === msg;",
        "return true;",
      ],
    ],
    caught: /fired, but/,
  },
  {
    fault: "tries are counted in memory only",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "if (attempts > 0) this.#attempts.set(attemptKey(env), attempts);",
        "",
      ],
    ],
    caught: /was tried/,
  },
  {
    fault: "a withdrawn question stays in the queue",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "(env.replyTo !== undefined && !this.#asks.waits(env.replyTo)) ||",
        "",
      ],
      [
        "gateway/src/runtime/runtime.ts",
        "cell.mailbox.remove((waiting) => waiting.replyTo === replyTo);",
        "",
      ],
    ],
    caught: /ran after it was withdrawn/,
  },
  {
    fault: "a question that was rolled back runs although its asker has gone",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "(env.replyTo !== undefined && !this.#asks.waits(env.replyTo)) ||",
        "",
      ],
    ],
    caught: /ran after it was withdrawn/,
  },
  {
    fault: "what follows a commit runs in reversed order",
    patches: [
      [
        "gateway/src/runtime/commit.ts",
        "for (const part of parts) part.after();",
        "for (const part of parts.toReversed()) part.after();",
      ],
    ],
    caught: /came after/,
  },
  {
    fault: "a rollback puts messages back in the wrong order",
    patches: [
      [
        "gateway/src/runtime/commit.ts",
        "for (const part of parts.toReversed()) part.undo(error);",
        "for (const part of parts) part.undo(error);",
      ],
    ],
    caught: /came after/,
  },
  {
    fault: "turns behind a failed commit are kept",
    patches: [
      [
        "gateway/src/runtime/commit.ts",
        "const parts = [...this.#flying, ...this.#gathering];\n    this.#flying = [];\n    this.#gathering = [];",
        "const parts = [...this.#flying];\n    this.#flying = [];",
      ],
    ],
    caught: /./,
  },
  {
    fault: "spilled messages are read while their commit is not confirmed",
    patches: [["gateway/src/runtime/runtime.ts", "this.#unconfirmed.has(attemptKey(env)) || ", ""]],
    caught: /handled twice/,
  },
  {
    fault: "spilled messages are overtaken",
    patches: [
      ["gateway/src/runtime/runtime.ts", "if (env.durable && cell.spilled) return true;", ""],
    ],
    caught: /overtaken|handled twice/,
  },
  {
    fault: "spilled messages are not read again",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "cell.spilled = false;\n    for",
        "for (const _ of []) break;\n    if (cell.id) return;\n    for",
      ],
    ],
    caught: /ended 0 times|wait for ever/,
  },
  {
    fault: "a once step that a crash interrupted runs again",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        `return step.class === "once" && !this.#afterStop;`,
        "return false;",
      ],
    ],
    caught: /once step ran 2 times/,
  },
  {
    fault: "steps are not looked for at the start",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "(step) => this.#resume(step),",
        "() => void this.#resume,",
      ],
    ],
    caught: /has no end|nobody heard/,
  },
  {
    fault: "a result is not committed with its message",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        `writes: [{ k: "stepEnd", id: step.id, state, at }, write],`,
        `writes: [{ k: "stepEnd", id: step.id, state, at }],`,
      ],
    ],
    caught: /nobody heard/,
  },
  {
    fault: "a clean stop forgets what it cut off",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "for (const step of this.#outbox.stop()) this.#doubt(step);",
        "this.#outbox.stop();",
      ],
    ],
    caught: /once step ran 2 times/,
  },
  {
    fault: "old steps are sent after an outage",
    patches: [
      [
        "gateway/src/runtime/outbox.ts",
        "entry.step.expiresAt <= this.#options.clock.now()",
        "entry.step.expiresAt < 0",
      ],
    ],
    caught: /too late/,
  },
  {
    fault: "a new step overtakes those of its order that are still on disk",
    patches: [
      [
        "gateway/src/runtime/backlog.ts",
        "this.#held.push(step);\n    return true;",
        "return false;",
      ],
    ],
    caught: /overtook an older one/,
  },
  {
    fault: "steps of one order run side by side",
    patches: [
      [
        "gateway/src/runtime/outbox.ts",
        "const behind = entry.order === undefined ? undefined : queue.behind.get(entry.order);",
        "const behind = undefined;",
      ],
    ],
    caught: /ran at once/,
  },
  {
    fault: "a table that failed is read from disk instead of from memory",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "cell.table?.reload();\n    const attempts",
        "this.documents.reload();\n    cell.table?.reload();\n    const attempts",
      ],
    ],
    caught: /tally/,
  },
  {
    fault: "a table keeps what was rolled back",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        "      cell.table?.reload();\n      // Their rows",
        "      // Their rows",
      ],
    ],
    caught: /tally/,
  },
  {
    fault: "a dead letter stays in the inbox",
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        `if (env.durable) writes.push({ k: "taken", to: env.to, msg: env.msg, at });\n    if (env.timer`,
        "if (env.timer",
      ],
    ],
    caught: /handled twice|was tried|wait for ever/,
  },
];
