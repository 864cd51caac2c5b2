/** Faults that the gateway's world must find; planted only here, by hooks.ts. */
import type { Mutant } from "../mutant.ts";

export const mutants: readonly Mutant[] = [
  {
    fault: "a device forgets at a crash what it had begun",
    patches: [
      [
        "node-agent/src/ledger.ts",
        'if (row.state === "received") this.#forget(row);',
        'if (row.state === "received" || row.state === "running") this.#forget(row);',
      ],
    ],
    caught: /was done 2 times|no effect, but/,
  },
  {
    fault: "a device does not sync what it begins",
    patches: [
      [
        "node-agent/src/ledger.ts",
        'await this.#append([this.#start(row)], row.effect !== "read");',
        "await this.#append([this.#start(row)], false);",
      ],
      [
        "node-agent/src/ledger.ts",
        'const stored = this.#append(bodies, effect !== "read", (offset) => {',
        "const stored = this.#append(bodies, false, (offset) => {",
      ],
    ],
    caught: /was done 2 times|no effect, but/,
  },
  {
    fault: "a ledger that was replaced proves that nothing happened",
    patches: [
      [
        "gateway/src/invocations/calls.ts",
        "proves: event.ledger === call.ledger && (call.n ?? 0) > event.floor,",
        "proves: true,",
      ],
    ],
    caught: /was done 2 times|no effect, but/,
  },
  {
    fault: "a call that was lost is told as one that never happened",
    patches: [
      [
        "gateway/src/invocations/table.ts",
        '? ["unknown", { failure: failure("unknown", message, "unknown") }]',
        '? ["failed", { failure: failure(code, message, "none") }]',
      ],
    ],
    caught: /no effect, but/,
  },
  {
    fault: "a call is sent again without asking the ledger",
    patches: [
      [
        "gateway/src/invocations/table.ts",
        '"link.ready": () => ["sent", {}, "ledger-query"],',
        '"link.ready": (call, { epoch }) => ["failed", { epoch, failure: failure("interrupted", `${call.name} was away`, "none") }],',
      ],
    ],
    caught: /no effect, but/,
  },
  {
    fault: "the same message again is another message",
    patches: [
      [
        "gateway/src/channels/inbox.ts",
        "sha256(new TextEncoder().encode(JSON.stringify([channel, account, chat, messageId]))),",
        "sha256(new TextEncoder().encode(JSON.stringify([channel, account, chat, messageId, fresh()]))),",
      ],
    ],
    caught: /other answers|heard/,
  },
  {
    fault: "deadlines of open calls are forgotten at a restart",
    patches: [["gateway/src/core.ts", "      sending.recover();\n", ""]],
    caught: /never came to rest/,
  },
  {
    fault: "calls of an earlier pairing stand on the new one",
    patches: [
      [
        "gateway/src/invocations/rights.ts",
        'return row?.state === "paired" && row.revocation === revocation;',
        'return row?.state === "paired" && revocation >= 0;',
      ],
      [
        "gateway/src/invocations/calls.ts",
        "return this.#revoked((call) => call.device === event.device && !this.rights.same(call), {",
        "return this.#revoked((call) => call.device === event.device && !this.rights.same(call) && !event, {",
      ],
    ],
    caught: /although its rights had ended/,
  },
  {
    fault: "a result counts before its content is there",
    patches: [
      [
        "gateway/src/invocations/results.ts",
        'if (path === undefined) return { is: "partial" };',
        "if (path === undefined) continue;",
      ],
    ],
    caught: /without its content|is partial/,
  },
  {
    fault: "what a call needs is on its way before it is on disk",
    patches: [
      [
        "gateway/src/invocations/calls.ts",
        'emit({ kind: "put", table: "call", id: call.id, open: !ended.has(call.state), body: call });',
        'if (call.state !== "sent") emit({ kind: "put", table: "call", id: call.id, open: !ended.has(call.state), body: call });',
      ],
    ],
    caught: /left before its row|left as|audit/,
  },
  {
    fault: "a copied key is seen in every restart",
    patches: [
      [
        "gateway/src/devices/device.machine.ts",
        "return returned.at(-1) === true && returned.filter(Boolean).length >= RETURNS;",
        "return returned.length > RETURNS;",
      ],
    ],
    caught: /was kept out/,
  },
];
