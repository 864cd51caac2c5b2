/** Methods about who may do what: questions and their answers, grants, the lock. */
import { KithError } from "@kith/shared/errors";
import { name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { offer } from "../devices/device.ts";
import { type Grant, terms } from "../grants/grant.ts";
import type { Call } from "../invocations/call.ts";
import { MAIN } from "../model/agents.ts";
import { short } from "../sessions/words.ts";
import { ended } from "./call-methods.ts";
import { ASK, NOTHING, event, lookup, one, words } from "./lookup.ts";
import { type Answer, type Method, type MethodsOptions, method } from "./method.ts";
import { ago, dayTime, table } from "./text.ts";

const duration = v.picklist(terms);

const FOR = {
  once: "once",
  turn: "until this is done",
  "15m": "for 15 minutes",
  "1h": "for an hour",
  today: "until midnight",
} as const;

export function permissionMethods(options: MethodsOptions): [string, Method][] {
  const { runtime, store, calls, waiting, clock } = options;
  const { documents } = runtime;
  const { rows, asked, device } = lookup(options);

  /** The calls whose questions this very order has answered before. */
  const allAnswered = (key: string | undefined): Call[] => {
    if (key === undefined) return [];
    const stored = store.documents("call", 50).map(({ body }) => body as Call);
    const found = [...stored, ...calls.list()].filter(({ answer: by }) => by === key);
    return [...new Map(found.map((call) => [call.id, call])).values()];
  };
  const answered = (key: string | undefined): Call | undefined => allAnswered(key)[0];

  /** Who permitted it here may have to say yes there as well. */
  const asksThere = ({ device: id, cap, name: called }: Call): string =>
    offer(documents, id, cap)?.policy === "ask"
      ? ` ${called} asks whoever sits there, for a minute at most.`
      : "";

  /** Ends a question; the same order again changes nothing. @throws KithError approval-unknown when it is over */
  const answer = async (
    call: Call,
    said: { type: string; by: string; for?: string },
    key: string | undefined,
  ): Promise<void> => {
    if (key !== undefined && call.answer === key) return;
    try {
      await runtime.ask(
        `approval/${call.id}`,
        event({ ...said, ...(key === undefined ? {} : { key }) } as never),
        ASK,
      );
    } catch (error) {
      // The question had ended: by this very order before a crash, or by somebody who was quicker.
      await runtime.settled();
      if (allAnswered(key).some(({ id }) => id === call.id)) return;
      throw new KithError("approval-unknown", "that question is over", { cause: error });
    }
  };

  /** The same of a tool of the gateway: what its owner's lines say, and what stands before them. */
  const explainTool = (
    tool: string,
    how: { readonly [key in "agent" | "chat" | "person"]?: string | undefined },
  ): Answer => {
    const { agent = MAIN, chat = "console", person: by = "console:owner" } = how;
    const found = options.toolsBoundary(tool, { agent, chat, by });
    if (found === "none")
      throw new KithError(
        "unsupported",
        `the gateway has no tool ${tool}; a capability of a device is explained with it: \`kith grants explain DEVICE CAPABILITY\``,
      );
    const { off } = calls.rights;
    const { word, rule } = off ? { word: "deny" as const, rule: "lock" } : found;
    const why = word === "deny" && !off ? "; a model is not offered it" : "";
    return {
      out: { decision: word, rule },
      text: `${agent} and ${tool} of the gateway: ${word} (${rule})${why}`,
    };
  };

  return [
    [
      "approvals.list",
      method(NOTHING, () => {
        const approvals = asked().map((call) => ({
          id: call.id,
          call: call.id,
          device: call.device,
          name: call.name,
          cap: call.cap,
          args: call.args,
          since: call.createdAt,
          expires: call.deadlineAt,
        }));
        const text = approvals
          .map(
            (one) =>
              `${short(one.id)}  ${one.cap} of ${one.name} ${JSON.stringify(one.args)}, asked ${ago(one.since, clock.now())}`,
          )
          .join("\n");
        return { out: { approvals }, text: text || "No question waits for an answer." };
      }),
    ],
    [
      "allow",
      method(
        v.strictObject({
          id: v.optional(str(32)),
          for: v.optional(duration, "once"),
          wait: v.optional(v.boolean(), false),
        }),
        async ({ id, for: wish, wait }, { by, key }) => {
          if (id === "all") {
            const open = [...allAnswered(key), ...asked()];
            if (open.length === 0)
              throw new KithError("approval-unknown", "there is no open question");
            for (const call of open)
              await answer(call, { type: "owner.approved", for: wish, by }, key);
            return {
              out: { calls: open.map((call) => call.id), grant: wish },
              text: `Allowed ${FOR[wish]}: ${open.map((call) => `${call.cap} of ${call.name}`).join(", ")}.`,
            };
          }
          const call = answered(key) ?? one(asked(), id, "approval-unknown", "open question");
          const { end, forget } = waiting.until(call.id);
          try {
            await answer(call, { type: "owner.approved", for: wish, by }, key);
          } catch (error) {
            forget();
            throw error;
          }
          if (wait) return ended(await end);
          forget();
          return {
            out: { approval: call.id, call: call.id, grant: wish },
            text: `Allowed ${FOR[wish]}: ${call.cap} of ${call.name}.${asksThere(call)}`,
          };
        },
      ),
    ],
    [
      "deny",
      method(v.strictObject({ id: v.optional(str(32)) }), async ({ id }, { by, key }) => {
        const call = answered(key) ?? one(asked(), id, "approval-unknown", "open question");
        await answer(call, { type: "owner.denied", by }, key);
        return {
          out: { approval: call.id, call: call.id },
          text: `Refused: ${call.cap} of ${call.name}.`,
        };
      }),
    ],
    [
      "grants.list",
      method(NOTHING, () => {
        const now = clock.now();
        const names = new Map(rows().map((row) => [row.id, row.name]));
        const grants = documents
          .list<Grant>("grant")
          .filter(({ notAfter }) => notAfter === undefined || notAfter > now)
          .map((grant) => ({
            id: grant.id,
            device: grant.device,
            name: names.get(grant.device) ?? grant.device,
            cap: grant.cap,
            requester: grant.requester,
            ...(grant.kept && { kept: grant.kept }),
            since: grant.since,
            ...(grant.uses === undefined ? {} : { uses_left: grant.uses }),
            ...(grant.notAfter === undefined ? {} : { expires: grant.notAfter }),
          }));
        const text = grants
          .map(
            (one) =>
              `${short(one.id)}  ${one.requester} may use ${one.cap} of ${one.name}${one.kept ? `, for ${JSON.stringify(one.kept)}` : ""}${one.expires === undefined ? "" : ` until ${dayTime(one.expires)}`}`,
          )
          .join("\n");
        return { out: { grants }, text: text || "No permission is in force: each use asks." };
      }),
    ],
    [
      "grants.revoke",
      method(v.strictObject({ id: str(32) }), async ({ id }, { by }) => {
        const grant = one(documents.list<Grant>("grant"), id, "grant-unknown", "grant");
        await runtime.ask(
          "invocation/*",
          event({ type: "grant.revoked", grant: grant.id, by } as never),
          ASK,
        );
        return { out: { id: grant.id }, text: `The permission for ${grant.cap} is gone.` };
      }),
    ],
    [
      "grants.explain",
      method(
        v.strictObject({
          ...{ device: v.optional(words), cap: name(64), requester: v.optional(str(64), "owner") },
          ...{ chat: v.optional(str(64)), person: v.optional(str(64)), agent: v.optional(str(64)) },
          ...{ model: v.optional(v.boolean()), tainted: v.optional(v.boolean()) },
          args: v.optional(v.record(str(64), v.unknown())),
        }),
        ({ device: said, cap, requester, ...how }) => {
          if (said === undefined) return explainTool(cap, how);
          const row = device(said);
          const decision = calls.rights.decide(row, cap, requester, clock.now(), how);
          const lines = decision.steps.map(({ rule, verdict }) => [`  ${rule}`, verdict]);
          const why = decision.verdict === "deny" ? `: ${decision.message}` : "";
          return {
            out: {
              decision: decision.verdict,
              rule: decision.rule,
              steps: decision.steps,
              ...(decision.verdict === "deny" ? { code: decision.code } : {}),
            },
            text: `${requester} and ${cap} of ${row.name}: ${decision.verdict}${why}\n${table(lines)}`,
          };
        },
      ),
    ],
    [
      "safe.off",
      method(NOTHING, async (_, { by }) => {
        const { was } = await runtime.ask<{ was: boolean }>(
          "invocation/*",
          event({ type: "safe.ended", by } as never),
          ASK,
        );
        return {
          out: { was },
          text: was ? "Safe mode is over: calls are sent again." : "There is no safe mode.",
        };
      }),
    ],
    [
      "lock",
      method(v.strictObject({ lift: v.optional(v.boolean(), false) }), async ({ lift }, { by }) => {
        await runtime.ask(
          "invocation/*",
          event({ type: "lock.set", locked: !lift, by } as never),
          ASK,
        );
        return {
          out: { locked: !lift },
          text: lift
            ? "The lock is lifted."
            : "Locked: nothing is done on any device until /unlock.",
        };
      }),
    ],
  ];
}
