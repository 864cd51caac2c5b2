/**
 * A conversation with a model, as its session keeps it: what was said lies in rows of the table "item",
 * in memory are only counts and what is waited for.
 *
 *   said ─► row ─► question ─► answer ─┬─ without calls: said to the chat, the turn is over
 *                     ▲                └─ with calls: of devices, of the gateway, to the owner, to a task
 *                     └── all of them have ended, their results are rows ◄┘
 *
 * Nothing here waits: the chat hears commands and permissions at any time, and `/stop` ends the turn.
 */
import { siblingId } from "@kith/shared/ids";
import { tame } from "@kith/shared/protocol/words";
import { sha256Hex } from "@kith/shared/sha256";
import type { Failure } from "@kith/shared/errors";
import type { Outcome } from "../invocations/outcome.ts";
import type { Request } from "../invocations/request.ts";
import type { Question, QueueMode, Said, StoredItem, TurnCall } from "../model/model.ts";
import type { ActorId, Effect, Event } from "../runtime/effect.ts";
import type { Account } from "../budgets/usage.ts";
import { union } from "../tools/labels.ts";
import { NO_REASON, cut, failed, resultOf } from "./result.ts";
import { readSummary } from "./summary.ts";
import type { Label, ToolContext, ToolResult } from "../tools/tool.ts";

/** Whose conversation it is. */
export interface Place {
  readonly session: ActorId;
  readonly chat: string;
  readonly agent: string;
  /** It works for another session. */
  readonly task?: true;
}

/** A call that the model made and that has no end yet. */
export interface Pending {
  /** The invocation, the step's call or the task: whatever ends it names this. */
  readonly call: string;
  /** The model's own id of it, and the tool's name. */
  readonly id: string;
  readonly tool: string;
  /** Who has it: a device, the gateway, the owner's next words, a task, or the owner's yes before the gateway has it. */
  readonly at: "device" | "gateway" | "words" | "task" | "yes";
  /** The model wants to see the picture. */
  readonly look?: true;
}

/** What one sentence set going. */
export interface TalkTurn {
  readonly by: string;
  /** The schedule that began it. */
  readonly job?: string;
  /** The number of the question that the model has. */
  readonly asking?: number;
  /** That question asks for what shall stand for older rows: of all before this one. */
  readonly compact?: string;
  readonly pending: readonly Pending[];
  /** Questions to the model so far. */
  readonly rounds: number;
  /** Said meanwhile. */
  readonly steer: readonly string[];
  /** What the owner permitted until this turn is over: `CAPABILITY DEVICE`. */
  readonly permitted?: readonly string[];
  /** What was called in this turn, in short: the same again and again is a circle. */
  readonly made: readonly string[];
}

/** What begins a turn. */
export interface Words {
  readonly text: string;
  readonly by: string;
  readonly labels?: readonly Label[];
  readonly source?: string;
  /** The schedule that says them. */
  readonly job?: string;
}

export interface Talk {
  /** Rows so far. */
  readonly items: number;
  /** Questions so far, of all turns. */
  readonly asked: number;
  /** The first row that goes along. */
  readonly from?: string;
  /** Of rows before this one, what is labelled is left out. */
  readonly clean?: string;
  /** Where the last turns began, oldest first. */
  readonly starts: readonly number[];
  /** Of all that the model may have read. Only the owner takes them away, and time never does. */
  readonly labels: readonly Label[];
  /** Where untrusted words came from, the newest. */
  readonly sources?: readonly string[];
  /** The last question was long: before the next turn, what is old is summed up. */
  readonly full?: true;
  readonly mode?: QueueMode;
  /** Said during a turn, and heard after it. */
  readonly after?: readonly Words[];
  readonly turn?: TalkTurn;
}

export const NO_TALK: Talk = { items: 0, asked: 0, starts: [], labels: [] };

/** Questions to the model for one sentence: one that goes in circles ends here. */
export const ROUNDS = 16;
/** The same call with the same arguments, in one turn; one more and the owner is asked. */
export const REPEATS = 2;
const MADE = 64;
/** Of what the owner permits for a turn, the newest. */
const PERMITTED = 8;
/** Texts said while one is worked on. Their bytes count with those that wait. */
export const STEER = 8;
/** Calls of one answer; more are told to the model as failed. */
const CALLS_AT_ONCE = 16;
/** Turns that are never summed up, the newest; and rows from which on the others are. */
const TURNS_KEPT = 3;
const ROWS = 160;
const ASK_TTL_MS = 600_000;
const TOOL_TTL_MS = 120_000;

/** What a turn of the session asks for, and what its conversation is then. */
export interface Next {
  readonly effects: readonly Effect[];
  readonly talk: Talk;
  /** Calls of devices that are under way now. */
  readonly calls?: readonly string[];
  /** To be said to the chat. */
  readonly says?: readonly string[];
  /** The turn is over, and this is its answer. */
  readonly answer?: string;
}

const itemId = (session: ActorId, n: number): string => `${session}/${String(n).padStart(8, "0")}`;
/** In front of that row and behind the one before: `~` comes after every digit. */
const beforeId = (session: ActorId, n: number): string => `${itemId(session, n - 1)}~`;

const row = (id: string, body: StoredItem): Effect => ({
  ...{ kind: "put", table: "item", id, open: false },
  body,
});
/** The rows of these items, behind those that are there. */
const rows = ({ session }: Place, { items }: Talk, more: readonly StoredItem[]) =>
  more.map((body, n) => row(itemId(session, items + n), body));

/** The turn is over; what was said for its next question, which never comes, begins a turn of its own. */
const without = ({ turn, ...talk }: Talk): Talk =>
  turn && turn.steer.length > 0
    ? { ...talk, after: [{ text: turn.steer.join("\n"), by: turn.by }, ...(talk.after ?? [])] }
    : talk;

/** All that the model asked for has ended, and it is to be asked again. */
export const isComplete = ({ turn }: Talk): boolean =>
  turn !== undefined && turn.asking === undefined && turn.pending.length === 0;

/** Somebody said something that the model shall hear: a turn begins. */
export function begun(
  place: Place,
  talk: Talk,
  { text, by, labels = [], source, job }: Words,
): Next {
  const about = { ...(labels.length > 0 && { labels }), ...(source !== undefined && { source }) };
  // It may help a model that listens; nothing rests on it.
  const theirs =
    source === undefined || place.task
      ? ""
      : `(From ${tame(source, SOURCE_CHARS)}, not the owner's words:)\n`;
  return {
    effects: rows(place, talk, [{ role: "user", text: theirs + text, ...about }]),
    talk: {
      ...talk,
      items: talk.items + 1,
      starts: [...talk.starts, talk.items].slice(-TURNS_KEPT),
      labels: union(talk.labels, labels),
      ...sourcesWith(talk, {
        labels,
        source: source ?? (job === undefined ? "words of others" : "a schedule"),
      }),
      turn: { by, ...(job !== undefined && { job }), pending: [], rounds: 0, steer: [], made: [] },
    },
  };
}

/** The model is asked: first, where it has become too much, for what shall stand for what is old. */
export function asked(place: Place, talk: Talk): Next {
  const { turn, full, from, clean, labels, starts, items } = talk;
  if (!turn) throw new Error("nobody asks");
  const [keep = 0] = starts;
  const first =
    from === undefined ? 0 : Number(from.slice(from.lastIndexOf("/") + 1).replace("~", ""));
  const isLong = full === true || items - first > ROWS;
  const compact =
    turn.rounds === 0 && turn.compact === undefined && isLong && keep > first + 1
      ? itemId(place.session, keep)
      : undefined;
  const n = talk.asked + 1;
  const steer = compact === undefined ? turn.steer : [];
  const question: Question = {
    ...{ n, ...place, by: turn.by, labels },
    ...(turn.job !== undefined && { job: turn.job }),
    ...(from !== undefined && { from }),
    ...(clean !== undefined && { clean }),
    ...(compact !== undefined && { compact }),
  };
  const { full: _answered, ...rest } = talk;
  return {
    effects: [
      ...rows(
        place,
        talk,
        steer.map((text) => ({ role: "user", text })),
      ),
      { kind: "step", op: "ask", class: "read", ttlMs: ASK_TTL_MS, args: question },
    ],
    talk: {
      ...rest,
      items: items + steer.length,
      asked: n,
      turn: {
        ...turn,
        asking: n,
        // "-": once it was tried, the turn goes on in any case.
        ...(compact !== undefined && { compact }),
        rounds: turn.rounds + (compact === undefined ? 1 : 0),
        steer: turn.steer.slice(steer.length),
      },
    },
  };
}

/** A model answered: its answer becomes a row, its calls get ids of this turn and go to whoever does them. */
export function answered(place: Place, talk: Talk, said: Said, turnId: string): Next {
  const { turn } = talk;
  if (!turn) throw new Error("nobody asked");
  const { asking: _asking, ...on } = turn;
  const { text, made, thinking, used } = said;
  const audit: Effect = {
    kind: "audit",
    what: "model.answered",
    data: { session: place.session, calls: made.length, ...used },
  };
  if (turn.compact !== undefined && turn.rounds === 0)
    return summed(place, { ...talk, turn: on }, turn.compact, said, turnId, audit);
  const labels = talk.labels.length > 0 ? { labels: talk.labels } : {};
  const item: StoredItem = {
    ...{ role: "assistant", text, calls: made },
    ...(thinking && { thinking }),
    ...labels,
  };
  const full = used.full && { full: true as const };
  if (made.length === 0)
    return {
      effects: [...rows(place, talk, [item]), audit],
      talk: { ...without(talk), items: talk.items + 1, ...full },
      answer: text.trim() || "I have nothing to say to that.",
    };
  const hashes = made.map(({ name, args }) =>
    sha256Hex(encode(`${name} ${JSON.stringify(args)}`)).slice(0, 8),
  );
  const circles = made.find(
    (_, n) => turn.made.filter((known) => known === hashes[n]).length >= REPEATS,
  );
  const next = circles
    ? said.calls.map((one) => refused(one, "the same call for the third time: it was not made"))
    : said.calls.map((one, n) => start(place, talk, turn, one, siblingId(turnId, n), n));
  const refusals = said.calls.flatMap((one): Effect[] =>
    "wrong" in one
      ? [
          {
            kind: "audit",
            what: "tool.refused",
            data: { session: place.session, tool: tame(one.tool, 64), why: tame(one.wrong, 200) },
          },
        ]
      : [],
  );
  const items = [item, ...next.flatMap((one) => one.item ?? [])];
  const pending = next.flatMap((one) => one.pending ?? []);
  const says = [text.trim(), ...next.flatMap((one) => one.says ?? [])].filter((one) => one !== "");
  const kept: Talk = {
    ...talk,
    items: talk.items + items.length,
    ...full,
    turn: { ...on, pending, made: [...turn.made, ...hashes].slice(-MADE) },
  };
  return {
    effects: [
      ...rows(place, talk, items),
      ...[audit, ...refusals],
      ...next.flatMap((one) => one.effects ?? []),
    ],
    talk: circles ? without(kept) : kept,
    calls: next.flatMap(({ pending: one }) => (one && isInvocation(one.at) ? [one.call] : [])),
    says,
    ...(circles && {
      answer: `I was about to use ${circles.name} for the third time in the same way, and stop here. Say how to go on.`,
    }),
  };
}

/** Whether it is a row of the invocation table. */
const isInvocation = (at: Pending["at"]): boolean => at === "device" || at === "yes";
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Started {
  readonly item?: StoredItem;
  readonly pending?: Pending;
  readonly effects?: readonly Effect[];
  readonly says?: string;
}

const refused = ({ id, tool }: TurnCall, why: string): Started => ({ item: failed(id, tool, why) });

/** Names of tools that the session itself has. */
export const ASK_OWNER = "ask_owner";
export const TASK = "task";

/** One call of an answer sets out. */
function start(
  place: Place,
  talk: Talk,
  turn: TalkTurn,
  one: TurnCall,
  call: string,
  n: number,
): Started {
  const { id, tool } = one;
  if ("wrong" in one) return refused(one, one.wrong);
  if (n >= CALLS_AT_ONCE) return refused(one, "too many calls at once");
  const pending = { call, id, tool };
  const labels = talk.labels.length > 0 ? { labels: talk.labels } : {};
  const by = {
    // Only an owner speaks with a model.
    ...{ session: place.session, requester: "owner", by: turn.by, ...labels },
    ...{ model: true as const, chat: place.chat, agent: place.agent },
    ...(talk.labels.includes("untrusted") && talk.sources && { sources: talk.sources }),
    ...(turn.job !== undefined && { job: turn.job }),
  };
  const request = (
    more: Pick<Request, "device" | "cap" | "args" | "look" | "own" | "turn">,
  ): Effect => ({
    kind: "tell",
    to: `invocation/${call}`,
    event: { type: "call.requested", request: { ...by, ...more } } as Event,
  });
  if ("cap" in one) {
    const { device, cap, args, look } = one;
    const devices = (turn.permitted ?? [])
      .map((one) => one.split(" "))
      .flatMap(([name, id = ""]) => (name === cap ? [id] : []));
    const more = { ...(look && { look }), ...(devices.length > 0 && { turn: devices }) };
    return {
      pending: { ...pending, at: "device", ...(look && { look }) },
      effects: [request({ device, cap, args, ...more })],
    };
  }
  if (tool === ASK_OWNER)
    return { pending: { ...pending, at: "words" }, says: String(one.own.question) };
  if (tool === TASK) {
    const { task } = one.own;
    const given = { type: "task.given", text: task, from: place.session, call, by: turn.by };
    const { chat, agent } = place;
    return {
      pending: { ...pending, at: "task" },
      effects: [
        {
          kind: "tell",
          to: `session/${call}`,
          event: { ...given, labels: talk.labels, source: sourceOf(talk), chat, agent } as Event,
        },
      ],
    };
  }
  if (one.asks !== undefined)
    return {
      pending: { ...pending, at: "yes" },
      effects: [request({ device: "", cap: tool, args: one.own, own: one.asks })],
    };
  return {
    pending: { ...pending, at: "gateway" },
    effects: [run(place, talk, turn, pending, one.own)],
  };
}

/** The gateway does it. */
function run(
  { session, chat, agent }: Place,
  { labels }: Talk,
  { by, job }: TalkTurn,
  { call, tool }: Pick<Pending, "call" | "tool">,
  args: Readonly<Record<string, unknown>>,
): Effect {
  const context: ToolContext = { call, session, chat, by, agent, labels };
  const account = { by, chat, ...(job !== undefined && { job }) };
  return {
    ...{ kind: "step", op: "tool", class: "idempotent", ttlMs: TOOL_TTL_MS },
    args: { tool, args, context, account },
  };
}

/** What the performer of tools is given. */
export interface ToolStep {
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly context: ToolContext;
  readonly account: Account;
}

const SOURCES = 3;
const SOURCE_CHARS = 80;

/** For whoever is told what was made of it: where the newest words of others came from. */
export const sourceOf = ({ sources }: Talk): string => sources?.at(-1) ?? "a task";

/** With where this comes from, if others may have written it. */
function sourcesWith(
  { sources = [] }: Pick<Talk, "sources">,
  { labels, source }: Pick<StoredItem, "labels" | "source">,
): Pick<Talk, "sources"> {
  if (source === undefined || !labels?.includes("untrusted")) return {};
  const name = tame(source, SOURCE_CHARS);
  return { sources: [...sources.filter((one) => one !== name), name].slice(-SOURCES) };
}

/** One of its calls has an end: a row, and one less to wait for. */
function over(place: Place, talk: Talk, one: Pending, item: StoredItem): Next {
  const { turn } = talk;
  if (!turn) throw new Error("nobody waits for that call");
  return {
    effects: rows(place, talk, [item]),
    talk: {
      ...talk,
      items: talk.items + 1,
      labels: union(talk.labels, item.labels),
      ...sourcesWith(talk, item),
      turn: { ...turn, pending: turn.pending.filter((waits) => waits !== one) },
    },
  };
}

export const pendingOf = ({ turn }: Talk, call: string): Pending | undefined =>
  turn?.pending.find((waits) => waits.call === call);

/** The owner permitted this capability of this device until the turn is over. */
export function permitted(talk: Talk, { device, cap }: { device: string; cap: string }): Talk {
  const { turn } = talk;
  if (!turn) return talk;
  const all = [...(turn.permitted ?? []), `${cap} ${device}`].slice(-PERMITTED);
  return { ...talk, turn: { ...turn, permitted: all } };
}

/** A device's call has ended, or the owner's yes is there. */
export function heard(place: Place, talk: Talk, call: string, outcome: Outcome, at: number): Next {
  const one = pendingOf(talk, call);
  if (!one || !talk.turn) throw new Error("nobody waits for that call");
  if (one.at !== "yes" || outcome.state !== "done")
    return over(place, talk, one, resultOf(one, outcome, at));
  // What was approved is what runs: its arguments come from the plan, not from the model again.
  const { args = {} } = (outcome.out ?? {}) as { args?: Readonly<Record<string, unknown>> };
  const pending = talk.turn.pending.map((waits) =>
    waits === one ? { ...one, at: "gateway" as const } : waits,
  );
  return {
    effects: [run(place, talk, talk.turn, one, args)],
    talk: { ...talk, turn: { ...talk.turn, pending } },
  };
}

/** What the gateway, the owner or a task did of it. */
export function brought(
  place: Place,
  talk: Talk,
  call: string,
  end: { readonly result?: ToolResult; readonly failure?: Failure },
): Next {
  const one = pendingOf(talk, call);
  if (!one) throw new Error("nobody waits for that call");
  const { result, failure } = end;
  if (!result) {
    const { code, message, effect } = failure ?? NO_REASON;
    return over(
      place,
      talk,
      one,
      failed(one.id, one.tool, `${code}: ${message}; effect: ${effect}`),
    );
  }
  const { text, labels = [], source, pictures = [] } = result;
  return over(place, talk, one, {
    ...{ role: "tool", call: one.id, name: one.tool, text: cut(text), pictures },
    ...(labels.length > 0 && { labels }),
    ...(source !== undefined && { source }),
  });
}

/** The call that the owner's next words answer. */
export const asksOwner = ({ turn }: Talk): Pending | undefined =>
  turn?.pending.find(({ at }) => at === "words");

/** Something is said during a turn. Undefined: too much of it. */
export function meanwhile(place: Place, talk: Talk, said: Words): Next | undefined {
  const { turn, after = [], mode = "steer" } = talk;
  const { text, by, labels, source, job } = said;
  // What a schedule says, or others wrote, is a turn of its own.
  const own = job !== undefined || (labels?.length ?? 0) > 0;
  if (!turn) throw new Error("nothing is under way");
  const words = asksOwner(talk);
  if (words && !own) return brought(place, talk, words.call, { result: { text } });
  if (turn.steer.length + after.length >= STEER) return undefined;
  const waits: Words = {
    ...{ text, by },
    ...(labels && { labels }),
    ...(source !== undefined && { source }),
    ...(job !== undefined && { job }),
  };
  if (mode === "interrupt" && !own) {
    const stop = stopped(place, talk, by);
    return { ...stop, talk: { ...stop.talk, after: [...(stop.talk.after ?? []), waits] } };
  }
  return {
    effects: [],
    talk:
      mode === "steer" && !own
        ? { ...talk, turn: { ...turn, steer: [...turn.steer, text] } }
        : { ...talk, after: [...after, waits] },
  };
}

/** A turn is over, and something was said meanwhile: the next one begins. Together, where that is wanted. */
export function next(place: Place, talk: Talk): Next {
  const { after = [], mode, ...rest } = talk;
  const [first, ...others] = after;
  if (!first) throw new Error("nothing waits");
  const all = mode === "collect" ? after : [first];
  const left = mode === "collect" ? [] : others;
  return begun(
    place,
    { ...rest, ...(mode && { mode }), ...(left.length > 0 && { after: left }) },
    {
      ...first,
      text: all.map(({ text }) => text).join("\n"),
      labels: union(...all.map(({ labels }) => labels)),
    },
  );
}

/** The turn ends here and now: whoever works for it is told, and what they bring is nobody's any more. */
export function stopped(place: Place, talk: Talk, by: string): Next {
  const { turn } = talk;
  if (!turn) return { effects: [], talk };
  const items: StoredItem[] = [
    ...turn.pending.map(({ id, tool }) =>
      failed(id, tool, "cancelled: the owner stopped it; effect: unknown"),
    ),
    { role: "assistant", text: "(stopped)", calls: [] },
  ];
  return {
    effects: [
      ...rows(place, talk, items),
      ...turn.pending.flatMap(({ call, at }): Effect[] =>
        isInvocation(at)
          ? [
              {
                kind: "tell",
                to: `invocation/${call}`,
                event: { type: "owner.stopped", by } as Event,
              },
            ]
          : at === "task"
            ? [
                {
                  kind: "tell",
                  to: `session/${call}`,
                  event: { type: "task.stopped", by } as Event,
                },
              ]
            : [],
      ),
      { kind: "signal", topic: "session.stopped", data: { session: place.session } },
    ],
    talk: { ...without(talk), items: talk.items + items.length },
  };
}

/** The model gave no answer: what it would have said to that, nobody knows. */
export const failedTurn = (talk: Talk): Talk => without(talk);

/** No summary came: the turn goes on without. */
export const uncompacted = (talk: Talk): Talk => {
  if (!talk.turn) throw new Error("nobody asked");
  const { asking: _asking, ...turn } = talk.turn;
  return { ...talk, turn: { ...turn, compact: "-" } };
};

/** What stands for older rows, in a row in front of those that stay; and what is worth keeping for good. */
function summed(
  place: Place,
  talk: Talk,
  before: string,
  said: Said,
  turnId: string,
  audit: Effect,
): Next {
  const keep = Number(before.slice(before.lastIndexOf("/") + 1));
  const { facts, summary } = readSummary(said.text);
  const { turn } = talk;
  if (!turn) throw new Error("nobody asked");
  const labels = talk.labels.length > 0 ? { labels: talk.labels } : {};
  const id = beforeId(place.session, keep);
  const text = `(What was said before, summed up by you:)\n${cut(summary || "nothing of note")}`;
  const context = { tool: "memory_write" } as const;
  return {
    effects: [
      // Lasting facts are on their way, by rows of their own, before anything is left out.
      ...facts.map((fact, n) =>
        run(
          place,
          talk,
          turn,
          { ...context, call: siblingId(turnId, n) },
          { file: "notes", text: fact, of: [] },
        ),
      ),
      row(id, { role: "user", text, source: "a summary", ...labels }),
      audit,
    ],
    talk: { ...talk, from: id, turn: { ...turn, compact: "-" } },
  };
}

/** The owner has the model forget. */
export function forgotten(place: Place, talk: Talk, what: "all" | "labelled"): Talk {
  const { sources: _sources, ...rest } = talk;
  const here = itemId(place.session, talk.items);
  return what === "all"
    ? { ...rest, from: here, starts: [], labels: [] }
    : { ...rest, clean: here, labels: [] };
}

/** One of its calls goes on under another id. */
export const again = (talk: Talk, call: string, by: string): Talk => ({
  ...talk,
  ...(talk.turn && {
    turn: {
      ...talk.turn,
      pending: talk.turn.pending.map((one) => (one.call === call ? { ...one, call: by } : one)),
    },
  }),
});
