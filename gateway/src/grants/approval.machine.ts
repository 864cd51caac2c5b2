/**
 * One question to the owner: may this plan run?
 *
 *   asking ─── owner.approved ──► approved
 *     ├─────── owner.denied ────► denied
 *     ├─────── timer.patience ──► expired     (silence means no)
 *     └─────── call.ended ──────► withdrawn
 *
 * One root per question, `approval/<call>`. It only decides: `fx` hands effects to the
 * runtime, which commits them with the new state and then lets them leave.
 */
import type { Failure } from "@kith/shared/errors";
import { setup } from "xstate";
import type { ActorId, Effect, Event } from "../runtime/effect.ts";
import { fx, timed } from "../runtime/fx.ts";
import type { Term } from "./grant.ts";
import type { Value } from "./plan.ts";

/** Fifteen minutes: long enough to find the phone, short enough that nobody forgot why. */
export const PATIENCE_MS = 15 * 60_000;

export interface Question {
  readonly call: string;
  readonly device: string;
  readonly name: string;
  readonly cap: string;
  /** Shown with the question: nobody can say yes to what they did not see. */
  readonly args?: Readonly<Record<string, Value>>;
  readonly planHash: string;
  /** Ms that it may wait for its device. */
  readonly deliverMs?: number;
  readonly unlocked?: true;
  /** What the device said about why it may not work: shown with the question, so that nobody permits in vain. */
  readonly warning?: string;
  /** Rule of decide.ts that wants the question. */
  readonly rule?: string;
  /** Answers that make sense, where those are others than the usual ones. */
  readonly terms?: readonly Term[];
  /** The chat's session to ask in, where there is one. */
  readonly session?: ActorId;
}

export type ApprovalEvent = Event &
  (
    | ({ readonly type: "approval.requested" } & Question)
    | {
        readonly type: "owner.approved";
        readonly for: Term;
        readonly by: string;
        readonly key?: string;
      }
    | { readonly type: "owner.denied"; readonly by: string; readonly key?: string }
    | { readonly type: "call.ended" }
    | { readonly type: "timer.patience" }
  );

interface Input {
  readonly event: { readonly type: "approval.requested" } & Question;
}

/** An action that owes the runtime one effect, made from the question and the event. */
const owe = (effect: (question: Question, event: ApprovalEvent) => Effect) => ({
  type: "fx" as const,
  params: ({ context, event }: { context: Question; event: ApprovalEvent }) =>
    effect(context, event),
});

const note = (what: string) =>
  owe(({ call, device, cap, planHash, rule }, event) => ({
    kind: "audit",
    what: `approval.${what}`,
    data: {
      call,
      device,
      cap,
      plan: planHash,
      ...(what === "asked" && rule !== undefined ? { rule } : {}),
      ...("by" in event ? { by: event.by } : {}),
      ...("for" in event ? { for: event.for } : {}),
    },
  }));

const ask = owe(
  ({ call, device, name, cap, args = {}, session, deliverMs, unlocked, warning, terms }) => ({
    kind: "tell",
    to: session ?? `invocation/${call}`,
    event: {
      type: "approval.asked",
      call,
      device,
      name,
      cap,
      args,
      ...(deliverMs === undefined ? {} : { deliverMs }),
      ...(unlocked && { unlocked }),
      ...(warning === undefined ? {} : { warning }),
      ...(terms && { terms }),
    } as Event,
  }),
);

/** Names the answer, so that the same one said again after a crash is known as the same. */
const keyOf = (event: ApprovalEvent): { readonly key?: string } =>
  "key" in event && event.key !== undefined ? { key: event.key } : {};

const grant = owe(({ call, planHash }, event) => ({
  kind: "tell",
  to: `invocation/${call}`,
  event: {
    type: "approval.approved",
    call,
    planHash,
    for: event.type === "owner.approved" ? event.for : "once",
    by: event.type === "owner.approved" ? event.by : "",
    ...keyOf(event),
  } as Event,
}));

const refuse = (code: Failure["code"], message: string) =>
  owe(({ call }, event) => ({
    kind: "tell",
    to: `invocation/${call}`,
    event: {
      type: "approval.refused",
      call,
      failure: { code, message, effect: "none" },
      ...keyOf(event),
    } as Event,
  }));

/** Whoever gave the answer waits until it is on disk. */
const answer = owe(() => ({ kind: "reply", value: { taken: true } }));

const patience = timed("patience", PATIENCE_MS, "expired");

export const approvalMachine = setup({
  types: { context: {} as Question, input: {} as Input, events: {} as ApprovalEvent },
  actions: { fx },
}).createMachine({
  id: "approval",
  options: { maxIterations: 1_000 },
  context: ({ input: { event } }) => ({
    call: event.call,
    device: event.device,
    name: event.name,
    cap: event.cap,
    planHash: event.planHash,
    ...(event.args === undefined ? {} : { args: event.args }),
    ...(event.deliverMs === undefined ? {} : { deliverMs: event.deliverMs }),
    ...(event.unlocked && { unlocked: event.unlocked }),
    ...(event.warning === undefined ? {} : { warning: event.warning }),
    ...(event.terms && { terms: event.terms }),
    ...(event.rule === undefined ? {} : { rule: event.rule }),
    ...(event.session === undefined ? {} : { session: event.session }),
  }),
  initial: "asking",
  states: {
    asking: {
      entry: [note("asked"), ask, patience.entry],
      exit: patience.exit,
      on: {
        // The birth itself: everything it brings was done by entering.
        "approval.requested": {},
        "owner.approved": "approved",
        "owner.denied": "denied",
        "call.ended": "withdrawn",
        ...patience.on,
      },
    },
    approved: { type: "final", entry: [note("approved"), grant, answer] },
    denied: {
      type: "final",
      entry: [note("denied"), refuse("denied-owner", "the owner said no"), answer],
    },
    expired: {
      type: "final",
      entry: [note("expired"), refuse("owner-silent", "nobody answered in 15 minutes")],
    },
    withdrawn: { type: "final", entry: note("withdrawn") },
  },
});
