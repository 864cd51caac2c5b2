/**
 * A conversation with a model, as its session keeps it: what was said lies in rows of the table "item",
 * in memory are only counts and what is waited for.
 *
 *   said ─► model ─► answered ─┬─ without calls: said to the chat, the turn is over
 *             ▲                └─ with calls: each is an invocation of its own
 *             └── all of them have ended, their results are rows ◄┘
 *
 * What is said meanwhile goes along with the next question to the model.
 */
import { siblingId } from "@kith/shared/ids";
import type { Outcome } from "../invocations/outcome.ts";
import type { Request } from "../invocations/request.ts";
import type { Answer, StoredItem } from "../model/model.ts";
import type { ActorId, Effect, Event } from "../runtime/effect.ts";

/** A call that the model made and that has no end yet. */
export interface Pending {
  /** The invocation. */
  readonly call: string;
  /** The model's own id of it, and the tool's name. */
  readonly id: string;
  readonly tool: string;
  /** The model wants to see the picture. */
  readonly look: boolean;
}

/** What one sentence set going. */
export interface TalkTurn {
  readonly by: string;
  readonly pending: readonly Pending[];
  /** Questions to the model so far. */
  readonly rounds: number;
  /** Said meanwhile. */
  readonly steer: readonly string[];
}

export interface Talk {
  /** Rows so far. */
  readonly items: number;
  readonly turn?: TalkTurn;
  /**
   * Something that others may have written was read: from then on no standing permission counts for what the
   * model asks for, and each call is asked about. Time does not lift it.
   */
  readonly tainted?: true;
}

/** Questions to the model for one sentence: one that goes in circles ends here. */
export const ROUNDS = 16;
/** Texts said while one is worked on. Their bytes count with those that wait. */
export const STEER = 8;
/** Calls of one answer; more are told to the model as failed. */
const CALLS_AT_ONCE = 16;
/** Of one result as the model reads it. */
const RESULT_CHARS = 16_384;

/**
 * Results of numbers and of words from a list, which nobody else can have written; and their fields that are
 * neither, which the model does not read.
 */
const PLAIN: ReadonlyMap<string, string> = new Map([
  ["camera.snap", "camera"],
  ["device.status", "host"],
]);
/** Ends that the gateway gives in its own words. */
const OURS: ReadonlySet<Outcome["state"]> = new Set(["denied", "expired", "cancelled"]);

/** What a turn of the session asks for, and what its conversation is then. */
export interface Next {
  readonly effects: readonly Effect[];
  readonly talk: Talk;
  /** Calls that are under way now. */
  readonly calls: readonly string[];
}

const user = (text: string): StoredItem => ({ role: "user", text });

/** The rows of these items, behind those that are there. */
const rows = (session: ActorId, from: number, items: readonly StoredItem[]): readonly Effect[] =>
  items.map((body, n) => ({
    kind: "put",
    table: "item",
    id: itemId(session, from + n),
    open: false,
    body,
  }));

const itemId = (session: ActorId, n: number): string => `${session}/${String(n).padStart(8, "0")}`;

/** A model answered: what was said and its answer become rows, its calls invocations with ids of this turn. */
export function answered(
  session: ActorId,
  talk: Talk,
  said: { readonly text: string; readonly by: string },
  answer: Extract<Answer, { do: "turn" }>,
  turnId: string,
): Next {
  const asked = talk.turn === undefined ? [user(said.text)] : [];
  const pending: Pending[] = [];
  const refused: StoredItem[] = [];
  const effects: Effect[] = [];
  for (const [n, one] of answer.calls.entries()) {
    const { id, tool } = one;
    const wrong =
      "wrong" in one ? one.wrong : n < CALLS_AT_ONCE ? undefined : "too many calls at once";
    if ("wrong" in one || wrong !== undefined) {
      refused.push(failed(id, tool, wrong ?? ""));
      continue;
    }
    const call = siblingId(turnId, n);
    pending.push({ call, id, tool, look: one.look });
    const request: Request = {
      ...{ device: one.device, cap: one.cap, args: one.args, session },
      // Only an owner speaks with a model.
      ...{ requester: "owner", by: said.by },
      ...(talk.tainted && { tainted: true }),
      ...(one.look && { look: true }),
    };
    effects.push({
      kind: "tell",
      to: `invocation/${call}`,
      event: { type: "call.requested", request } as Event,
    });
  }
  const { text, made, used } = answer;
  const items = [...asked, { role: "assistant", text, calls: made } as const, ...refused];
  const rounds = (talk.turn?.rounds ?? 0) + 1;
  const goesOn = pending.length > 0 || refused.length > 0;
  return {
    effects: [
      ...rows(session, talk.items, items),
      { kind: "audit", what: "model.answered", data: { session, calls: made.length, ...used } },
      ...effects,
    ],
    talk: {
      items: talk.items + items.length,
      ...(goesOn && { turn: { by: said.by, pending, rounds, steer: talk.turn?.steer ?? [] } }),
      ...(talk.tainted && { tainted: true }),
    },
    calls: pending.map(({ call }) => call),
  };
}

/** One of its calls has an end: a row, and one less to wait for. */
export function heard(session: ActorId, talk: Talk, call: string, outcome: Outcome): Next {
  const one = talk.turn?.pending.find((waits) => waits.call === call);
  if (!talk.turn || !one) throw new Error("nobody waits for that call");
  const pending = talk.turn.pending.filter((waits) => waits !== one);
  return {
    effects: rows(session, talk.items, [resultOf(one, outcome)]),
    talk: {
      items: talk.items + 1,
      turn: { ...talk.turn, pending },
      ...((talk.tainted || taints(one, outcome)) && { tainted: true }),
    },
    calls: [],
  };
}

/** All have ended: what was said meanwhile goes along. */
export function goesOn(session: ActorId, talk: Talk): Next {
  const { turn } = talk;
  if (!turn) throw new Error("nothing goes on");
  const { steer } = turn;
  return {
    effects: rows(session, talk.items, steer.map(user)),
    talk: { ...talk, items: talk.items + steer.length, turn: { ...turn, steer: [] } },
    calls: [],
  };
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

const failed = (call: string, name: string, text: string): StoredItem => ({
  ...{ role: "tool", call, name, text },
  failed: true,
  pictures: [],
});

const NO_REASON = { code: "internal", message: "it ended without a reason", effect: "unknown" };

/** How a call ended, for the model: bounded, and without paths of this machine. */
function resultOf(pending: Pending, outcome: Outcome): StoredItem {
  const { state, name, cap, out = {}, streams = [], failure } = outcome;
  const content = streams.map(({ role, type, bytes }) => ({ role, type, bytes }));
  const { id: call, tool, look } = pending;
  if (state !== "done") {
    const { code, message, effect } = failure ?? NO_REASON;
    return failed(call, tool, `${code}: ${message}; effect: ${effect}`);
  }
  const told = { device: name, ...out, ...(content.length > 0 && { content }) };
  const text = JSON.stringify(told, (key, value: unknown) =>
    key !== "" && key === PLAIN.get(cap) ? undefined : value,
  );
  return {
    ...{ role: "tool", call, name: tool },
    text: text.length <= RESULT_CHARS ? text : `${text.slice(0, RESULT_CHARS).toWellFormed()} …`,
    pictures: look
      ? streams
          .filter(({ type }) => type.startsWith("image/"))
          .map(({ sha256, type, bytes }) => ({ sha256, type, bytes }))
      : [],
  };
}

/** Whether others may have written what the model reads of it: a device's own words, also about what went wrong. */
const taints = ({ look }: Pending, { cap, state, streams = [] }: Outcome): boolean => {
  if (state !== "done") return !OURS.has(state);
  return !PLAIN.has(cap) || (look && streams.some(({ type }) => type.startsWith("image/")));
};
