/**
 * `kith why`: what is known about one thing, told in order: what was asked, each turn of its
 * actor with the states before and after, the rule that decided, what was owed, where it failed
 * and was started again, how it ended.
 */
import { KithError } from "@kith/shared/errors";
import type { Call } from "../invocations/call.ts";
import type { Boots } from "../invocations/boots.ts";
import { CRASHED, type Crashed } from "../runtime/journal.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { Entry } from "../runtime/store.ts";
import { stateWords } from "./actor-methods.ts";
import type { Answer, MethodsOptions } from "./method.ts";
import { hints, rowWords, shortIds } from "./story-words.ts";
import { subject } from "./subject.ts";
import { span } from "../sessions/words.ts";
import { dayTime, time } from "./text.ts";

/** Of each sort, the newest; `all` tells up to the second. */
const USUAL = 60;
const MOST = 1_000;

interface Line {
  readonly at: number;
  readonly what: string;
  readonly text: string;
  /** Where the machine stood before and after it. */
  readonly from?: string;
  readonly to?: string;
}

/** @throws KithError call-unknown, device-ambiguous, id-ambiguous */
export function story(
  said: string,
  all: boolean,
  options: Pick<MethodsOptions, "store" | "runtime" | "calls">,
): Answer {
  const { store, runtime } = options;
  const { id, kind, call, actors } = subject(said, options);
  const limit = all ? MOST : USUAL;
  const rows = store.audit({ about: id, limit });
  const turns = actors.flatMap((actor) => turnsOf(actor, limit, store));
  const known = [
    ...(call ? [requested(call)] : []),
    ...turns,
    ...rows.map((row): Line => ({ at: row.at, what: row.what, text: rowWords(row, id) })),
  ].sort((a, b) => a.at - b.at);
  const [first] = known;
  if (!first) throw new KithError("call-unknown", `nothing is known about ${said}`);
  const boots = runtime.documents.get<Boots>("setting", "boots");
  const told = [...known, ...starts(boots, first.at)].sort((a, b) => a.at - b.at);
  const now = actors.flatMap((actor) => standing(actor, runtime, store));
  if (call) now.push(ending(call));
  const cut = rows.length === limit || turns.length >= limit;
  return {
    out: { id, kind, story: told, actors: now, cut, ...(call ? { state: call.state } : {}) },
    text: [
      `${id}, ${dayTime(first.at)}`,
      ...(cut && !all ? ["  … older ones are told with --all"] : []),
      ...told.map(({ at, text }) => `  ${time(at)}  +${span(at - first.at)}  ${shortIds(text)}`),
      ...now,
    ].join("\n"),
  };
}

function turnsOf(actor: ActorId, limit: number, store: MethodsOptions["store"]): Line[] {
  const who = actor.slice(0, actor.indexOf("/"));
  let before: string | undefined;
  // One more than is told: the state before the oldest.
  const lines = store
    .journal(actor, limit + 1)
    .toReversed()
    .map((turn): Line => {
      if (turn.event.type === CRASHED) return failedLine(who, turn);
      const to = turn.state === undefined ? undefined : stateWords(turn.state);
      const from = before;
      before = to;
      const moved = from === undefined || from === to ? to : `${from} → ${to}`;
      const owed = turn.owed?.length ? `; asked for: ${turn.owed.join(", ")}` : "";
      return {
        at: turn.at,
        what: turn.event.type,
        text: `${who} heard ${turn.event.type}${hints(turn.event)}${moved ? `: ${moved}` : ""}${owed}`,
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
      };
    });
  return lines.slice(-limit);
}

/** A turn that failed left nothing but this. */
function failedLine(who: string, { at, event }: Entry): Line {
  const { on, error, tries } = event as Crashed;
  const text = `${who} failed on ${on} (try ${tries}): ${error}; it woke again from disk`;
  return { at, what: CRASHED, text };
}

/** Starts of the whole gateway since then: what waited was taken up from disk. */
const starts = (boots: Boots | undefined, since: number): Line[] =>
  (boots?.starts ?? [])
    .filter(({ at }) => at > since)
    .map(({ at, clean }) => ({
      ...{ at, what: "gateway.started" },
      text: `the gateway started again, after ${clean ? "an orderly stop" : "a crash or a loss of power"}`,
    }));

const requested = (call: Call): Line => ({
  at: call.createdAt,
  what: "call.requested",
  text: `${call.by} asked for ${call.cap} of ${call.name} ${JSON.stringify(call.args)}`,
});

/** How an actor stands now; nothing of one that has no state of its own. */
function standing(
  actor: ActorId,
  runtime: MethodsOptions["runtime"],
  store: MethodsOptions["store"],
): string[] {
  const live = runtime.actor(actor);
  if (!live) {
    const saved = store.load(actor);
    if (!saved) return [];
    return [`${actor} ${saved.status === "final" ? "is over" : "sleeps"}.`];
  }
  const { state, status, mailbox, restarts, lastError = "unknown" } = live;
  const trouble =
    status === "down"
      ? ` and DOWN: \`kith actors restart ${actor}\` wakes it`
      : status === "backoff"
        ? " and waits before it is tried again"
        : "";
  const waits = mailbox > 0 ? `, ${mailbox} messages wait` : "";
  const failed = restarts > 0 ? `, ${restarts} failures, the last: ${lastError}` : "";
  return [
    `${actor} is ${state === undefined ? "asleep" : stateWords(state)}${trouble}${waits}${failed}.`,
  ];
}

function ending({ state, failure, streams = [] }: Call): string {
  const why = failure ? `, ${failure.message}` : "";
  return `Now: ${state}${why}${streams.map(({ path }) => `\n${path}`).join("")}`;
}
