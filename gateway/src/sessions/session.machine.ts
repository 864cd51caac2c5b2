/**
 * One chat, `session/<id>`: what was said becomes a tool call, what came back becomes a reply.
 *
 *   listening ─── chat.said ───► thinking ─── model.answered ──► listening   (a call is on its way)
 *     ▲                             ├──────── model.answered ──► operating ── operated ──► listening
 *     └── several devices fit: the next words choose ── step.failed ◄┘
 *
 * "Thinking" is the grammar's, a moment. Calls and a language model's turn (talk.ts) run beside the talk:
 * `/allow` and `/stop` must be heard meanwhile. In any state: approval.asked puts the question, call.ended
 * tells how it ended, model.said goes on. A session that works for another (`from`) tells that one its answer,
 * and nobody else.
 */
import type { Failure } from "@kith/shared/errors";
import { siblingId } from "@kith/shared/ids";
import { assign, setup } from "xstate";
import type { Request } from "../invocations/request.ts";
import type { Outcome } from "../invocations/outcome.ts";
import { MAIN } from "../model/agents.ts";
import type { Answer, Said as ModelSaid, Turn } from "../model/model.ts";
import type { ActorId, Effect, Event } from "../runtime/effect.ts";
import type { Label, ToolResult } from "../tools/tool.ts";
import { fx, fxEach } from "../runtime/fx.ts";
import { type Group, heard, isWhole, renamed, together } from "./group.ts";
import { type PutOff, list, open, promised } from "./later.ts";
import * as talks from "./talk.ts";
import {
  type Asked,
  type ChatMessage,
  type GivenFile,
  choose,
  ended,
  given,
  problem,
  question,
  waits,
} from "./words.ts";

/*
 * All that a chat remembers is part of every snapshot, which has 64 KiB. A chat that outgrew it
 * would answer nothing any more, so everything below has its share, and the shares add up:
 * texts 24, what is put off 4, a choice 6, a group 20 (group.ts), and 10 for ids, names and choices.
 */
/** Texts that may wait while one is thought about; more are refused with a reply. */
const WAITING = 32;
/** Bytes of one text, and of the one that is thought about with all that wait. */
const TEXT_BYTES = 16_384;
const WAITING_BYTES = 24_576;
/** What one chat may put off, and its bytes. */
const PUT_OFF = 32;
const PUT_OFF_BYTES = 4_096;
/** Bytes of a request that waits for the choice of its device, with the choices. */
const CHOICE_BYTES = 6_144;
/** Choices that one chat remembers, and the longest words of one. */
const CHOSEN = 8;
const CHOSEN_BYTES = 64;
/** Calls that one chat may have open. */
const CALLS = 64;
const REPLY_TTL_MS = 3_600_000;
const MODEL_TTL_MS = 120_000;

interface Said {
  readonly text: string;
  readonly by: string;
  readonly owner: boolean;
  /** Of words that are not the speaker's own. */
  readonly labels?: readonly Label[];
  /** Whose they are, for people. */
  readonly source?: string;
  /** The schedule that says them. */
  readonly job?: string;
  /** Words of a model: no command, whatever they look like. */
  readonly direct?: true;
}

interface Chosen {
  readonly words: string;
  readonly cap: string;
  readonly by: string;
  readonly device: string;
}

export interface Session {
  readonly id: ActorId;
  readonly chat: string;
  /** Which assistant it is. */
  readonly agent?: string;
  /** Whom it works for, and the call there that its answer ends. */
  readonly from?: { readonly session: ActorId; readonly call: string };
  readonly waiting: readonly Said[];
  /** What is being thought about. */
  readonly current?: Said;
  /** Calls that have no end yet. */
  readonly calls: readonly string[];
  /** What was put off: the words that a timer will say again, and when (Unix ms). */
  readonly later?: readonly PutOff[];
  /** Calls that one sentence made: they are told together. One at a time; those of a second are told one by one. */
  readonly group?: Group;
  /** What was chosen when words fitted several devices, newest first: the same words mean the same again. */
  readonly chosen?: readonly Chosen[];
  /** The conversation with a model, where there is one. */
  readonly talk?: talks.Talk;
  /** A call that waits for the choice of its device. */
  readonly choosing?: {
    readonly request: Request;
    readonly choices: readonly { readonly id: string; readonly name: string }[];
  };
}

export type SessionEvent = Event & { readonly id: string } & (
    | ({ readonly type: "chat.said"; readonly chat: string; readonly agent?: string } & Said)
    | { readonly type: "model.answered"; readonly answer: Answer }
    /** A language model answered question `n`, or did not. */
    | { readonly type: "model.said"; readonly n: number; readonly said: ModelSaid }
    | { readonly type: "model.failed"; readonly n: number; readonly failure: Failure }
    /** What the gateway or a task did of a call. */
    | {
        readonly type: "tool.ended";
        readonly call: string;
        readonly result?: ToolResult;
        readonly failure?: Failure;
      }
    | {
        readonly type: "task.given";
        readonly text: string;
        readonly from: ActorId;
        readonly call: string;
        readonly by: string;
        readonly chat: string;
        readonly agent: string;
        readonly labels: readonly Label[];
      }
    | { readonly type: "task.stopped"; readonly by: string }
    /** The owner's yes to this call is for the rest of its turn. */
    | {
        readonly type: "turn.permitted";
        readonly call: string;
        readonly device: string;
        readonly cap: string;
      }
    /** From another chat, for people: the model here does not read it. */
    | { readonly type: "message.given"; readonly text: string; readonly file?: GivenFile }
    | { readonly type: "operated"; readonly message: ChatMessage }
    | { readonly type: "step.failed"; readonly op: string; readonly failure: Failure }
    | ({ readonly type: "approval.asked" } & Asked)
    /** A call goes on under another id: the device had lost its first try. */
    | { readonly type: "call.replaced"; readonly call: string; readonly by: string }
    /** The words meant several devices, each of them: the call becomes one for each. */
    | {
        readonly type: "call.spread";
        readonly call: string;
        readonly devices: readonly string[];
        readonly request: Request;
      }
    /** It is permitted, and its device is away. */
    | {
        readonly type: "call.waits";
        readonly call: string;
        readonly name: string;
        /** It is there, and somebody locked it. */
        readonly locked: boolean;
        readonly until: number;
      }
    | { readonly type: "call.ended"; readonly outcome: Outcome }
    | { readonly type: "said" }
  );

type Args = { context: Session; event: SessionEvent };

const bytes = (text: string): number => new TextEncoder().encode(text).length;

const owe = (effect: (args: Args) => Effect) => ({ type: "fx" as const, params: effect });
const change = (made: (args: Args) => Partial<Session>) => ({
  type: "assign" as const,
  params: made,
});

const sayTo = (chat: string, message: ChatMessage): Effect => ({
  kind: "step",
  op: "say",
  class: "idempotent",
  order: chat,
  ttlMs: REPLY_TTL_MS,
  args: { chat, message },
});
/** To the chat, in order; the text is committed with the turn that made it. */
const say = (message: (args: Args) => ChatMessage) =>
  owe((args) => sayTo(args.context.chat, message(args)));

const think = owe(({ context: { current, agent } }) => {
  const turn: Turn = {
    ...{ text: current?.text ?? "", owner: current?.owner ?? false },
    ...(agent !== undefined && { agent }),
    // Words that others may have written are no command either.
    ...((current?.direct || (current?.labels?.length ?? 0) > 0) && { direct: true as const }),
  };
  return { kind: "step", op: "model", class: "read", ttlMs: MODEL_TTL_MS, args: turn };
});

const answerOf = (event: SessionEvent): Answer => {
  if (event.type !== "model.answered") throw new Error("no answer in this event");
  return event.answer;
};
const outcomeOf = (event: SessionEvent): Outcome => {
  if (event.type !== "call.ended") throw new Error("no outcome in this event");
  return event.outcome;
};

const does =
  (what: Answer["do"]) =>
  ({ event }: Args) =>
    answerOf(event).do === what;
const now = ({ event }: Args): number => event.at ?? 0;
const laterOf = (event: SessionEvent): Extract<Answer, { do: "later" }> => {
  const answer = answerOf(event);
  if (answer.do !== "later") throw new Error("nothing is put off in this answer");
  return answer;
};
const putOff = (args: Args): PutOff => {
  const { afterMs, text } = laterOf(args.event);
  const { by = "" } = args.context.current ?? {};
  return { id: args.event.id, at: now(args) + afterMs, text, by };
};
const isFull = (args: Args): boolean => {
  const all = [...open(args.context.later, now(args)), putOff(args)];
  const size = all.reduce((sum, { text, by }) => sum + bytes(text) + bytes(by), 0);
  return all.length > PUT_OFF || size > PUT_OFF_BYTES;
};
/** What whoever speaks may see of it. */
const theirs = (args: Args): readonly PutOff[] => {
  const { by, owner } = args.context.current ?? {};
  return open(args.context.later, now(args)).filter((one) => owner || one.by === by);
};
/** The one that this answer takes back. */
const dropped = (args: Args): PutOff | undefined => {
  const answer = answerOf(args.event);
  if (answer.do !== "put-off" || answer.drop === undefined) return undefined;
  return theirs(args)[answer.drop - 1];
};
/** Nothing is on its way any more once this call is gone, and nothing waits to be thought about. */
const quiet = ({ calls, waiting, talk }: Session, gone?: string) =>
  waiting.length === 0 &&
  calls.every((call) => call === gone) &&
  talk?.turn === undefined &&
  (talk?.after?.length ?? 0) === 0;

const placeOf = ({ id: session, chat, agent = MAIN, from }: Session): talks.Place => ({
  ...{ session, chat, agent },
  ...(from && { task: true }),
});
const talkOf = ({ talk = talks.NO_TALK }: Session): talks.Talk => talk;
const isComplete = ({ talk }: Session): boolean => talk !== undefined && talks.isComplete(talk);

/** What follows in a conversation with a model: its rows, calls and words leave with the turn. */
const follow = (made: (args: Args) => talks.Next) => [
  {
    type: "each" as const,
    params: (args: Args) => {
      const { context } = args;
      const { effects, says = [], answer, talk } = made(args);
      const over = { ...context, talk, calls: [...context.calls] };
      return [
        ...effects,
        ...(context.from
          ? tellParent(context, talk, answer)
          : [
              ...says.map((text) => sayTo(context.chat, { text, final: false })),
              ...(answer === undefined
                ? []
                : [sayTo(context.chat, { text: answer, final: quiet(over) })]),
            ]),
      ];
    },
  },
  change((args) => {
    const { talk, calls = [] } = made(args);
    return { talk, calls: [...args.context.calls, ...calls] };
  }),
];
/** Whoever gave the task has its answer, with the labels of all that was read for it. */
const tellParent = (
  { from }: Session,
  talk: talks.Talk,
  answer: string | undefined,
  failure?: Failure,
): readonly Effect[] => {
  if (!from || (answer === undefined && !failure)) return [];
  const { session: to, call } = from;
  const { labels } = talk;
  const told = { text: answer ?? "", labels, source: talks.sourceOf(talk) };
  const end = failure ? { failure } : { result: told };
  const event = { type: "tool.ended", call, ...end };
  return [{ kind: "tell", to, event: event as Event }];
};
const modelSaid = ({ context, event }: Args): talks.Next => {
  if (event.type !== "model.said") throw new Error("no model answered in this event");
  return talks.answered(placeOf(context), talkOf(context), event.said, event.id);
};
const isAsking = ({ context, event }: Args): boolean => {
  const asking = context.talk?.turn?.asking;
  if (event.type === "step.failed") return event.op === "ask" && asking !== undefined;
  return (event.type === "model.said" || event.type === "model.failed") && asking === event.n;
};
/** Whether a model waits for the end of this call. */
const isPending = ({ context: { talk } }: Args, call: string): boolean =>
  talk !== undefined && talks.pendingOf(talk, call) !== undefined;
/** The model hears of it; people see what it brought. */
const tellModel = [
  {
    type: "each" as const,
    params: (args: Args) => {
      const outcome = outcomeOf(args.event);
      const brought = (outcome.streams?.length ?? 0) > 0;
      return brought ? [say(() => ended(outcome, false)).params(args)] : [];
    },
  },
  ...follow((args) => {
    const outcome = outcomeOf(args.event);
    return talks.heard(
      placeOf(args.context),
      talkOf(args.context),
      outcome.call,
      outcome,
      now(args),
    );
  }),
  change(({ context, event }) => {
    // A yes is followed by what it is for, under the same name.
    const { call } = outcomeOf(event);
    return { calls: context.calls.filter((id) => id !== call) };
  }),
];
/** The same for one that meant several devices: it is not made, and the model may name one. */
const nameOne = follow((args) => {
  const { context, event } = args;
  if (event.type !== "call.spread") throw new Error("nothing was asked in this event");
  const { device: name, cap } = event.request;
  const message = "that means several devices; name one of them in each call";
  const failure: Failure = { code: "device-ambiguous", message, effect: "none" };
  const outcome: Outcome = { call: event.call, state: "denied", device: "", name, cap, failure };
  return talks.heard(placeOf(context), talkOf(context), event.call, outcome, now(args));
});
const isToolPending = (args: Args): boolean =>
  args.event.type === "tool.ended" && isPending(args, args.event.call);
const toolEnded = follow(({ context, event }) => {
  if (event.type !== "tool.ended") throw new Error("no tool ended in this event");
  return talks.brought(placeOf(context), talkOf(context), event.call, event);
});
/** What the model would have said, nobody knows; whoever asked hears why. */
const modelFailed = [
  {
    type: "each" as const,
    params: ({ context, event }: Args) => {
      if (event.type !== "model.failed" && event.type !== "step.failed")
        throw new Error("no failure in this event");
      if (context.talk?.turn?.compact !== undefined && context.talk.turn.rounds === 0) return [];
      const { failure } = event;
      if (context.from) return tellParent(context, talkOf(context), undefined, failure);
      const error = problem(failure);
      const talk = talks.failedTurn(talkOf(context));
      const message = { text: `${error.message}. ${error.remedy}`, error };
      return [sayTo(context.chat, { ...message, final: quiet({ ...context, talk }) })];
    },
  },
  change(({ context }) => {
    const talk = talkOf(context);
    const summing = talk.turn?.compact !== undefined && talk.turn.rounds === 0;
    return { talk: summing ? talks.uncompacted(talk) : talks.failedTurn(talk) };
  }),
];
const stop = (by: (args: Args) => string) => [
  {
    type: "each" as const,
    params: (args: Args) =>
      // What a person asked for by command ends, too.
      args.context.calls
        .filter((call) => !isPending(args, call))
        .map((call) => ({
          kind: "tell" as const,
          to: `invocation/${call}` as const,
          event: { type: "owner.stopped", by: by(args) } as Event,
        })),
  },
  ...follow((args) => talks.stopped(placeOf(args.context), talkOf(args.context), by(args))),
];
const speaker = ({ context }: Args): string => context.current?.by ?? "";

const request = ({ context, event }: Args): Request => {
  const answer = answerOf(event);
  if (answer.do !== "call") throw new Error("no call in this answer");
  const { by = "", owner = false } = context.current ?? {};
  const asked = {
    // Only an owner acts for themselves; anybody else needs a grant of their own.
    requester: owner ? "owner" : by,
    by,
    session: context.id,
    chat: context.chat,
    ...(answer.deliverMs === undefined ? {} : { deliverMs: answer.deliverMs }),
    ...(answer.unlocked && { unlocked: answer.unlocked }),
  };
  const { device, cap, args, onward: next } = answer;
  return { device, cap, args, ...asked, ...(next && { onward: { ...next, ...asked } }) };
};

/** What follows a call that ended well: its content goes on. */
const onward = ({ event }: Args): Request | undefined => {
  const { state, onward: next, streams } = outcomeOf(event);
  const [stream] = streams ?? [];
  if (state !== "done" || !next || !stream) return undefined;
  const { sha256, type, bytes: size } = stream;
  return { ...next, content: { sha256, type, bytes: size } };
};

/** The call's id is the turn's: fresh, and committed with the request. */
const call = (made: (args: Args) => Request | undefined) => [
  owe((args) => ({
    kind: "tell",
    to: `invocation/${args.event.id}`,
    event: { type: "call.requested", request: made(args) } as Event,
  })),
  change(({ context, event }) => ({ calls: [...context.calls, event.id] })),
];

/** The calls that a spread one becomes, by device. */
const spread = ({ event }: Args): readonly { readonly id: string; readonly device: string }[] =>
  event.type === "call.spread"
    ? event.devices.map((device, n) => ({ id: siblingId(event.id, n), device }))
    : [];

const asked = ({ event }: Args): Request => {
  if (event.type !== "call.spread") throw new Error("nothing was asked in this event");
  return event.request;
};

/** The group with the end of this call, where it is one of a group. */
const groupOf = ({ context: { group }, event }: Args): Group | undefined =>
  group?.calls.includes(outcomeOf(event).call) ? heard(group, outcomeOf(event)) : undefined;

const chosen = ({ context, event }: Args): string | undefined => {
  // Whoever asked chooses: another one's “2” is just a word.
  if (event.type !== "chat.said" || event.by !== context.choosing?.request.by) return undefined;
  const words = event.text.trim().toLowerCase();
  const { choices } = context.choosing;
  return (choices[Number(words) - 1] ?? choices.find(({ name }) => name.toLowerCase() === words))
    ?.id;
};
const choice = (args: Args): Request | undefined => {
  const device = chosen(args);
  return args.context.choosing && device ? { ...args.context.choosing.request, device } : undefined;
};

/** The device that the same person chose for the same words before, if it is among the choices again. */
const remembered = ({ context, event }: Args): Request | undefined => {
  const { failure, request: asked, choices = [] } = outcomeOf(event);
  if (failure?.code !== "device-ambiguous" || !asked) return undefined;
  const known = context.chosen?.find(
    ({ words, cap, by }) =>
      words === asked.device.toLowerCase() && cap === asked.cap && by === asked.by,
  );
  const device = choices.find(({ id }) => id === known?.device)?.id;
  return device === undefined ? undefined : { ...asked, device };
};
const remember = change((args) => {
  const { chosen: before = [], choosing } = args.context;
  const device = chosen(args);
  const words = choosing?.request.device.toLowerCase() ?? "";
  if (!choosing || device === undefined || bytes(words) > CHOSEN_BYTES) return {};
  const { cap, by } = choosing.request;
  const others = before.filter((one) => one.words !== words || one.cap !== cap || one.by !== by);
  return { chosen: [{ words, cap, by, device }, ...others].slice(0, CHOSEN) };
});

const saidIn = ({ text, by, owner, labels, source, job, direct }: Said): Said => ({
  ...{ text, by, owner },
  ...(labels && { labels }),
  ...(source !== undefined && { source }),
  ...(job !== undefined && { job }),
  ...(direct && { direct }),
});
const begin = change(({ event }) => (event.type === "chat.said" ? { current: saidIn(event) } : {}));
const forgetChoice = { type: "drop" as const, params: "choosing" as const };
const forgetGroup = { type: "drop" as const, params: "group" as const };
/** A call that has ended is not waited for. */
const without = ({ context, event }: Args) => ({
  calls: context.calls.filter((id) => id !== outcomeOf(event).call),
});
const next = change(({ context }) => {
  const [current, ...waiting] = context.waiting;
  return current ? { current, waiting } : {};
});

/** It worked for another, and nothing of it is under way. */
const isTaskOver = ({ context }: Args): boolean =>
  context.from !== undefined && context.talk !== undefined && !context.current && quiet(context);

/** After each message: what a model waited for, the next one that waits, or silence. */
const settle = [
  {
    guard: ({ context }: Args) =>
      isComplete(context) && (context.talk?.turn?.rounds ?? 0) >= talks.ROUNDS,
    actions: follow(({ context }) => ({
      effects: [],
      talk: talks.failedTurn(talkOf(context)),
      answer: `I asked for things ${talks.ROUNDS} times and came to no end; I stop here. Say how to go on.`,
    })),
  },
  {
    guard: ({ context }: Args) => isComplete(context),
    actions: follow(({ context }) => talks.asked(placeOf(context), talkOf(context))),
  },
  {
    guard: ({ context }: Args) => context.waiting.length > 0,
    target: "thinking",
    actions: next,
    reenter: true,
  },
  {
    guard: ({ context: { talk } }: Args) =>
      talk?.turn === undefined && (talk?.after?.length ?? 0) > 0,
    actions: follow(({ context }) => talks.next(placeOf(context), talkOf(context))),
  },
  { target: "listening", actions: { type: "drop" as const, params: "current" as const } },
] as const;

const tooLong = ({ event }: Args) => event.type === "chat.said" && bytes(event.text) > TEXT_BYTES;
const refuseLong = (final: (context: Session) => boolean) =>
  say(({ context }) => ({
    text: "That is too long for me: a message may have 16 kB. Send it in parts.",
    final: final(context),
  }));
/** Texts that this chat keeps, with one more or none: those that wait, and what goes along with a model's next question. */
const kept = ({ current, waiting, talk }: Session, more: readonly { readonly text: string }[]) =>
  [...more, ...(current ? [current] : []), ...waiting].reduce(
    (sum, { text }) => sum + bytes(text),
    [...(talk?.turn?.steer ?? []), ...(talk?.after ?? []).map(({ text }) => text)].reduce(
      (sum, text) => sum + bytes(text),
      0,
    ),
  );
const hasRoom = ({ context, event }: Args) =>
  context.waiting.length < WAITING &&
  event.type === "chat.said" &&
  kept(context, [event]) <= WAITING_BYTES;
/** What is said while a model works is kept for later, as far as there is room. */
const isMeanwhile = ({ context }: Args) => context.talk?.turn !== undefined;
const heardMeanwhile = ({ context }: Args): talks.Next | undefined =>
  kept(context, []) <= WAITING_BYTES
    ? talks.meanwhile(placeOf(context), talkOf(context), context.current ?? { text: "", by: "" })
    : undefined;
const tooMuch = say(() => ({
  text: "Too much at once: I did not take that in. Say it again in a moment.",
  final: false,
}));

const QUEUED = {
  steer: "What you say while I work, I hear with my next step.",
  followup: "What you say while I work, I hear after it, one by one.",
  collect: "What you say while I work, I hear after it, all together.",
  interrupt: "What you say while I work ends that, and I begin with it.",
} as const;

const wait = [
  { guard: tooLong, actions: refuseLong(() => false) },
  {
    guard: hasRoom,
    actions: change(({ context, event }) =>
      event.type === "chat.said" ? { waiting: [...context.waiting, saidIn(event)] } : {},
    ),
  },
  { actions: tooMuch },
];

export const sessionMachine = setup({
  types: {
    context: {} as Session,
    input: {} as {
      id: ActorId;
      event: Extract<SessionEvent, { type: "chat.said" | "task.given" }>;
    },
    events: {} as SessionEvent,
  },
  actions: {
    fx,
    each: fxEach,
    assign: assign((_, made: Partial<Session>) => made),
    // A plain assign cannot take a key away, so it keeps the key without a value.
    drop: assign(
      (_, key: "choosing" | "current" | "group") => ({ [key]: undefined }) as Partial<Session>,
    ),
  },
}).createMachine({
  id: "session",
  options: { maxIterations: 1_000 },
  context: ({ input: { id, event } }) => ({
    ...{ id, chat: event.chat, waiting: [], calls: [] },
    ...(event.agent !== undefined && { agent: event.agent }),
    ...(event.type === "task.given" && { from: { session: event.from, call: event.call } }),
  }),
  initial: "listening",
  on: {
    "approval.asked": {
      actions: say(({ event }) => {
        if (event.type !== "approval.asked") throw new Error("no question in this event");
        return question(event);
      }),
    },
    "call.spread": [
      {
        guard: (args) => args.event.type === "call.spread" && isPending(args, args.event.call),
        actions: nameOne,
      },
      {
        // One file goes on, and which of several it would be nobody said.
        guard: ({ event }) => event.type === "call.spread" && event.request.onward !== undefined,
        actions: [
          say(({ context, event }) => ({
            text: "Name the one device that it comes from: /copy <device> <path> <device>.",
            final:
              quiet(context, event.type === "call.spread" ? event.call : "") && !context.current,
          })),
          change(({ context, event }) => ({
            calls: context.calls.filter((id) => event.type !== "call.spread" || id !== event.call),
          })),
        ],
      },
      {
        actions: [
          {
            type: "each",
            params: (args) =>
              spread(args).map(({ id, device }) => ({
                kind: "tell",
                to: `invocation/${id}`,
                event: { type: "call.requested", request: { ...asked(args), device } } as Event,
              })),
          },
          change((args) => {
            const calls = spread(args).map(({ id }) => id);
            const { event, context } = args;
            return {
              calls: [
                ...context.calls.filter((id) => event.type !== "call.spread" || id !== event.call),
                ...calls,
              ],
              ...(!context.group && calls.length > 0 && { group: { calls, told: [] } }),
            };
          }),
        ],
      },
    ],
    "call.waits": {
      actions: say(({ event }) => {
        if (event.type !== "call.waits") throw new Error("nothing waits in this event");
        return waits(event.call, event.name, event.until, event.locked);
      }),
    },
    "call.ended": [
      { guard: (args) => isPending(args, outcomeOf(args.event).call), actions: tellModel },
      {
        // One of several: told when the last of them has ended.
        guard: (args) => groupOf(args) !== undefined && !isWhole(groupOf(args) as Group),
        actions: change((args) => ({ ...without(args), group: groupOf(args) as Group })),
      },
      {
        guard: (args) => groupOf(args) !== undefined,
        actions: [
          say((args) =>
            together(
              groupOf(args) as Group,
              quiet(args.context, outcomeOf(args.event).call) && !args.context.current,
            ),
          ),
          change(without),
          forgetGroup,
        ],
      },
      {
        guard: (args) => remembered(args) !== undefined,
        actions: [change(without), ...call(remembered)],
      },
      {
        guard: ({ event }) => outcomeOf(event).failure?.code === "device-ambiguous",
        actions: [
          change((args) => {
            const { choices = [], request: asked } = outcomeOf(args.event);
            const choosing = asked && { request: asked, choices };
            // One that is too large is said again, with the name.
            const small = bytes(JSON.stringify(choosing) ?? "") <= CHOICE_BYTES;
            return { ...without(args), ...(choosing && small && { choosing }) };
          }),
          say(({ context, event }) => ({
            ...choose(outcomeOf(event)),
            final: quiet(context) && !context.current,
          })),
        ],
      },
      {
        guard: (args) => onward(args) !== undefined,
        actions: [
          say(({ event }) => ended(outcomeOf(event), false)),
          change(without),
          ...call(onward),
        ],
      },
      {
        actions: [
          say(({ context, event }) =>
            ended(outcomeOf(event), quiet(context, outcomeOf(event).call) && !context.current),
          ),
          change(without),
        ],
      },
    ],
    "call.replaced": {
      actions: change(({ context, event }) =>
        event.type === "call.replaced"
          ? {
              calls: context.calls.map((id) => (id === event.call ? event.by : id)),
              ...(context.group && { group: renamed(context.group, event.call, event.by) }),
              ...(context.talk && { talk: talks.again(context.talk, event.call, event.by) }),
            }
          : {},
      ),
    },
    // Else a reply that nobody took in time, or a result that came after its session moved on.
    "step.failed": { guard: isAsking, actions: modelFailed },
    said: {},
    "model.said": { guard: isAsking, actions: follow(modelSaid) },
    "model.failed": { guard: isAsking, actions: modelFailed },
    "tool.ended": { guard: (args) => isToolPending(args), actions: toolEnded },
    "message.given": {
      actions: say(({ context, event }) => {
        if (event.type !== "message.given") throw new Error("nothing is given in this event");
        return { ...given(event.text, event.file), final: quiet(context) && !context.current };
      }),
    },
    // Of a turn that is over it permits nothing any more.
    "turn.permitted": {
      guard: (args) => args.event.type === "turn.permitted" && isPending(args, args.event.call),
      actions: change(({ context, event }) =>
        event.type === "turn.permitted" ? { talk: talks.permitted(talkOf(context), event) } : {},
      ),
    },
    "task.stopped": {
      actions: stop(({ event }) => (event.type === "task.stopped" ? event.by : "")),
    },
  },
  states: {
    listening: {
      always: { guard: isTaskOver, target: "over" },
      on: {
        "model.said": { guard: isAsking, target: "settling", actions: follow(modelSaid) },
        "model.failed": { guard: isAsking, target: "settling", actions: modelFailed },
        "step.failed": { guard: isAsking, target: "settling", actions: modelFailed },
        "tool.ended": {
          guard: (args) => isToolPending(args),
          target: "settling",
          actions: toolEnded,
        },
        "task.given": {
          target: "settling",
          actions: follow(({ context, event }) => {
            if (event.type !== "task.given") throw new Error("no task in this event");
            return talks.begun(placeOf(context), talkOf(context), event);
          }),
        },
        // The last of them may be what the model waits for.
        "call.ended": {
          guard: (args) => isPending(args, outcomeOf(args.event).call),
          target: "settling",
          actions: tellModel,
        },
        "call.spread": {
          guard: (args) => args.event.type === "call.spread" && isPending(args, args.event.call),
          target: "settling",
          actions: nameOne,
        },
        "chat.said": [
          { guard: tooLong, actions: refuseLong(quiet) },
          {
            guard: (args) => chosen(args) !== undefined,
            actions: [...call(choice), remember, forgetChoice],
          },
          { target: "thinking", actions: [forgetChoice, begin] },
        ],
      },
    },
    thinking: {
      entry: think,
      on: {
        "chat.said": wait,
        "model.answered": [
          {
            guard: (args) => does("call")(args) && args.context.calls.length >= CALLS,
            target: "settling",
            actions: say(() => ({
              text: `${CALLS} things are under way already. /cancel takes one back that has not begun.`,
              final: false,
            })),
          },
          { guard: does("call"), target: "settling", actions: call(request) },
          {
            guard: (args) => does("ask")(args) && !isMeanwhile(args),
            target: "settling",
            actions: follow(({ context }) =>
              talks.begun(
                placeOf(context),
                talkOf(context),
                context.current ?? { text: "", by: "" },
              ),
            ),
          },
          {
            guard: (args) => does("ask")(args) && heardMeanwhile(args) === undefined,
            target: "settling",
            actions: tooMuch,
          },
          {
            guard: does("ask"),
            target: "settling",
            actions: follow((args) => heardMeanwhile(args) as talks.Next),
          },
          {
            guard: (args) => does("stop")(args) && quiet(args.context),
            target: "settling",
            actions: say(() => ({ text: "Nothing is under way here.", final: true })),
          },
          {
            guard: does("stop"),
            target: "settling",
            actions: [
              ...stop(speaker),
              // Those that were to be heard after it as well.
              change(({ context }) => {
                const { after: _after, ...talk } = talkOf(context);
                return context.talk ? { talk } : {};
              }),
              say(() => ({ text: "Stopped.", final: true })),
            ],
          },
          {
            guard: does("queue"),
            target: "settling",
            actions: [
              change(({ context, event }) => {
                const answer = answerOf(event);
                return answer.do === "queue"
                  ? { talk: { ...talkOf(context), mode: answer.mode } }
                  : {};
              }),
              say(({ context, event }) => {
                const answer = answerOf(event);
                return {
                  text: answer.do === "queue" ? QUEUED[answer.mode] : "",
                  final: quiet(context),
                };
              }),
            ],
          },
          {
            guard: (args) => does("forget")(args) && isMeanwhile(args),
            target: "settling",
            actions: say(() => ({ text: "Something is under way: /stop it first.", final: false })),
          },
          {
            guard: does("forget"),
            target: "settling",
            actions: [
              change(({ context, event }) => {
                const answer = answerOf(event);
                return answer.do === "forget"
                  ? { talk: talks.forgotten(placeOf(context), talkOf(context), answer.what) }
                  : {};
              }),
              {
                type: "each",
                params: ({ context, event }) => {
                  const answer = answerOf(event);
                  return [
                    {
                      kind: "audit",
                      what: "talk.forgotten",
                      data: {
                        ...{ session: context.id, by: context.current?.by ?? "" },
                        ...(answer.do === "forget" && { forgot: answer.what }),
                      },
                    },
                  ];
                },
              },
              say(({ context, event }) => {
                const answer = answerOf(event);
                return {
                  text:
                    answer.do === "forget" && answer.what === "all"
                      ? "I begin anew: what was said here does not go along any more."
                      : "What others may have written does not go along any more; permissions count again.",
                  final: quiet(context),
                };
              }),
            ],
          },
          {
            guard: (args) => does("later")(args) && isFull(args),
            target: "settling",
            actions: say(({ context }) => ({
              text: "Too much is put off already. /later lists it, /later cancel N takes one back.",
              final: quiet(context),
            })),
          },
          {
            guard: does("later"),
            target: "settling",
            actions: [
              owe((args) => {
                const { id, text } = putOff(args);
                const { by = "", owner = false } = args.context.current ?? {};
                return {
                  kind: "timer",
                  name: `later.${id}`,
                  inMs: laterOf(args.event).afterMs,
                  // Said again by whoever said it, with no more rights than then.
                  event: { type: "chat.said", chat: args.context.chat, text, by, owner } as Event,
                };
              }),
              say((args) => ({ text: promised(putOff(args)), final: quiet(args.context) })),
              change((args) => ({
                later: [...open(args.context.later, now(args)), putOff(args)],
              })),
            ],
          },
          {
            guard: (args) => dropped(args) !== undefined,
            target: "settling",
            actions: [
              owe((args) => ({ kind: "untimer", name: `later.${dropped(args)?.id}` })),
              say((args) => ({
                text: `Taken back: ${dropped(args)?.text}`,
                final: quiet(args.context),
              })),
              change((args) => ({
                later: open(args.context.later, now(args)).filter(
                  ({ id }) => id !== dropped(args)?.id,
                ),
              })),
            ],
          },
          {
            guard: does("put-off"),
            target: "settling",
            actions: say((args) => ({
              text: list(theirs(args)),
              final: quiet(args.context),
            })),
          },
          {
            guard: does("operate"),
            target: "operating",
            actions: owe(({ context, event }) => {
              const answer = answerOf(event);
              return {
                kind: "step",
                op: "operate",
                class: "idempotent",
                ttlMs: MODEL_TTL_MS,
                args: {
                  ...(answer.do === "operate" ? { op: answer.op, args: answer.args } : {}),
                  by: context.current?.by ?? "",
                  place: { session: context.id, chat: context.chat },
                },
              };
            }),
          },
          {
            target: "settling",
            actions: say(({ context, event }) => {
              const answer = answerOf(event);
              const text = answer.do === "say" ? answer.text.trim() : "";
              // Nobody is left without an answer, not even by a model that has none.
              const said = {
                text: text || "I have nothing to say to that.",
                final: quiet(context),
              };
              if (answer.do !== "say" || !answer.puzzled) return said;
              return { ...said, error: { code: "not-understood", message: text, remedy: "" } };
            }),
          },
        ],
        "step.failed": {
          guard: ({ event }) => event.type === "step.failed" && event.op === "model",
          target: "settling",
          actions: say(failedStep),
        },
      },
    },
    operating: {
      on: {
        "chat.said": wait,
        operated: {
          target: "settling",
          actions: say(({ context, event }) => {
            if (event.type !== "operated") throw new Error("no reply in this event");
            return { ...event.message, final: quiet(context) };
          }),
        },
        "step.failed": {
          guard: ({ event }) => event.type === "step.failed" && event.op === "operate",
          target: "settling",
          actions: say(failedStep),
        },
      },
    },
    settling: { always: [...settle] },
    // Of a task that was done, failed or stopped: whoever gave it was told.
    over: { type: "final" },
  },
});

function failedStep({ context, event }: Args): ChatMessage {
  if (event.type !== "step.failed") throw new Error("no failure in this event");
  const error = problem(event.failure);
  return { text: `${error.message}. ${error.remedy}`, final: quiet(context), error };
}
