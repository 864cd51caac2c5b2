/**
 * A reminder, or words that are said again by themselves: `schedule/<id>`.
 *
 *   waiting ─── timer.due ──► waiting | over      (its session is told, once for each time that counts)
 *      └─────── schedule.cancelled ──► over
 *
 * The timer is a row. While the gateway was away, times went by: `missed` says which of them still count.
 */
import { setup, assign } from "xstate";
import type { ActorId, Effect, Event } from "../runtime/effect.ts";
import { fx, fxEach } from "../runtime/fx.ts";
import type { Label } from "../tools/tool.ts";
import { type When, nextRun } from "./when.ts";

/** Of times that went by: none, the last one, or all, the last ten. */
export const policies = ["skip", "once", "all"] as const;
export type Missed = (typeof policies)[number];
const MOST_MISSED = 10;
/** So late it still counts as in time. */
const GRACE_MS = 60_000;

export interface Schedule {
  readonly text: string;
  /** The words are said to the assistant, as by whoever made it; else they are a reminder, told to the chat. */
  readonly run: boolean;
  /** A language model made it: its words are the model's, and no command. */
  readonly model: boolean;
  readonly when: When;
  /** As it was said. */
  readonly words: string;
  /** IANA name. */
  readonly zone: string;
  readonly missed: Missed;
  readonly session: ActorId;
  readonly chat: string;
  readonly by: string;
  readonly owner: boolean;
  /** Of the conversation that made it. */
  readonly labels: readonly Label[];
}

export type ScheduleEvent = Event & { readonly at: number } & (
    | { readonly type: "schedule.made"; readonly schedule: Schedule }
    | { readonly type: "timer.due" }
    | { readonly type: "schedule.cancelled"; readonly by: string }
  );

interface Context {
  readonly id: ActorId;
  readonly schedule: Schedule;
  /** Unix ms; undefined: never again. */
  readonly next: number | undefined;
}
type Args = { context: Context; event: ScheduleEvent };

/** The row by which it is listed. */
export interface ScheduleRow extends Schedule {
  readonly id: string;
  readonly next?: number;
}

const row = ({ id, schedule }: Context, next: number | undefined): Effect => ({
  ...{ kind: "put", table: "schedule", id, open: next !== undefined },
  body: { ...schedule, id, ...(next !== undefined && { next }) } satisfies ScheduleRow,
});

/** Every time up to `at` that was not told yet, oldest first; a clock that was set back brings none again. */
function timesUntil({ schedule: { when, zone }, next }: Context, at: number): number[] {
  const times: number[] = [];
  for (let due = next; due !== undefined && due <= at; due = nextRun(when, due, zone)) {
    times.push(due);
    if (times.length > MOST_MISSED) times.shift();
  }
  return times;
}

function counting(context: Context, at: number): number[] {
  const times = timesUntil(context, at);
  const { missed } = context.schedule;
  if (missed === "all") return times;
  const last = times.slice(-1);
  return missed === "once" ? last : last.filter((due) => at - due <= GRACE_MS);
}

const nextOf = ({ schedule: { when, zone }, next = 0 }: Context, at: number) =>
  next > at ? next : nextRun(when, at, zone);

/** What the session hears of one time. */
function told({ id, schedule }: Context): Effect {
  const { text, run, model, session: to, chat, by, owner, labels } = schedule;
  const said = { type: "chat.said", chat, text, by, owner, job: id };
  const event = run
    ? { ...said, ...(labels.length > 0 && { labels }), ...(model && { direct: true }) }
    : { type: "message.given", text: `Reminder: ${text}`, labels };
  return { kind: "tell", to, event: event as Event };
}

const timer = (next: number | undefined, at: number): readonly Effect[] =>
  next === undefined
    ? []
    : [{ kind: "timer", name: "due", inMs: Math.max(0, next - at), event: { type: "timer.due" } }];

const audit = (what: string, data: Readonly<Record<string, unknown>>): Effect => ({
  ...{ kind: "audit", what: `schedule.${what}`, data },
});

export const scheduleMachine = setup({
  types: {
    context: {} as Context,
    input: {} as { id: ActorId; event: Extract<ScheduleEvent, { type: "schedule.made" }> },
    events: {} as ScheduleEvent,
  },
  actions: { fx, each: fxEach, assign: assign((_, made: Partial<Context>) => made) },
}).createMachine({
  id: "schedule",
  options: { maxIterations: 1_000 },
  context: ({ input: { id, event } }) => ({
    ...{ id, schedule: event.schedule },
    next: nextRun(event.schedule.when, event.at, event.schedule.zone),
  }),
  initial: "waiting",
  states: {
    waiting: {
      on: {
        "schedule.made": {
          actions: {
            type: "each",
            params: ({ context, event }: Args) => [
              row(context, context.next),
              audit("made", {
                schedule: context.id,
                by: context.schedule.by,
                run: context.schedule.run,
              }),
              ...timer(context.next, event.at),
              { kind: "reply", value: { next: context.next } },
            ],
          },
        },
        "timer.due": [
          {
            guard: ({ context, event }: Args) => nextOf(context, event.at) !== undefined,
            actions: [
              {
                type: "each",
                params: ({ context, event }: Args) => {
                  const next = nextOf(context, event.at);
                  return [
                    ...counting(context, event.at).map(() => told(context)),
                    row(context, next),
                    ...timer(next, event.at),
                  ];
                },
              },
              {
                type: "assign",
                params: ({ context, event }: Args) => ({ next: nextOf(context, event.at) }),
              },
            ],
          },
          {
            target: "over",
            actions: {
              type: "each",
              params: ({ context, event }: Args) => [
                ...counting(context, event.at).map(() => told(context)),
                row(context, undefined),
              ],
            },
          },
        ],
        "schedule.cancelled": {
          target: "over",
          actions: {
            type: "each",
            params: ({ context, event }: Args) => [
              row(context, undefined),
              { kind: "untimer", name: "due" },
              audit("cancelled", {
                schedule: context.id,
                by: event.type === "schedule.cancelled" ? event.by : "",
              }),
              { kind: "reply", value: {} },
            ],
          },
        },
      },
    },
    over: { type: "final" },
  },
});
