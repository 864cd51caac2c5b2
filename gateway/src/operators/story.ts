/**
 * `kith why`: what is known about one thing, told in order: what was asked, each turn of its
 * actor with the states before and after, the rule that decided, what was owed, how it ended.
 */
import { KithError } from "@kith/shared/errors";
import type { Call } from "../invocations/call.ts";
import { deviceRows } from "../devices/device.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { AuditRow } from "../runtime/store.ts";
import { stateWords } from "./actor-methods.ts";
import type { Answer, MethodsOptions } from "./method.ts";
import { dayTime, time } from "./text.ts";

const SAID: Readonly<Record<string, (data: Readonly<Record<string, unknown>>) => string>> = {
  "approval.asked": () => "the owner was asked",
  "approval.approved": ({ by, for: span }) => `${String(by)} said yes (${String(span)})`,
  "approval.denied": ({ by }) => `${String(by)} said no`,
  "approval.expired": () => "nobody answered in 15 minutes",
  "approval.withdrawn": () => "the question was withdrawn: the call had ended",
  "grant.made": ({ for: span, requester }) =>
    `a permission was made for ${String(requester)} (${String(span)})`,
  "call.ready": ({ rule }) => `it may run by ${String(rule)}; it waits for its turn at the device`,
  "call.sent": ({ rule }) => `it may run by ${String(rule)}; sent to the device`,
  "call.done": () => "the device did it; the result is stored",
  "call.failed": ({ code, effect }) =>
    `it failed (${String(code)}; in the world: ${String(effect)})`,
  "call.denied": ({ code }) => `it was refused (${String(code)})`,
  "call.refused": ({ code }) => `it was refused (${String(code)})`,
  "call.expired": ({ code }) => `it waited too long (${String(code)})`,
  "call.cancelled": ({ code }) => `it was stopped (${String(code)})`,
  "call.replaced": ({ by }) => `the device had lost it; tried again as ${String(by)}`,
  "call.unknown": () => "it may or may not have happened",
};

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

type Parts = Pick<MethodsOptions, "store" | "runtime" | "clock" | "calls">;

/** @throws KithError call-unknown, device-ambiguous */
export function story(said: string, all: boolean, parts: Parts): Answer {
  const { store, runtime, clock } = parts;
  const { id, kind, call, actors } = find(said, parts);
  const limit = all ? MOST : USUAL;
  const rows = store.audit({ about: id, limit });
  const turns = actors.flatMap((actor) => journalOf(actor, limit, store));
  const told: Line[] = [
    ...(call ? [requested(call)] : []),
    ...turns,
    ...rows.map((row) => ({ at: row.at, what: row.what, text: say(row) })),
  ].sort((a, b) => a.at - b.at);
  if (told.length === 0) throw new KithError("call-unknown", `nothing is known about ${said}`);
  const first = told[0]?.at ?? clock.now();
  const now = actors.flatMap((actor) => {
    const live = runtime.actor(actor);
    if (!live) return [`${actor} sleeps.`];
    const state = live.state === undefined ? live.status : stateWords(live.state);
    const fails =
      live.restarts > 0 ? `, ${live.restarts} failures, the last: ${live.lastError ?? ""}` : "";
    return [`${actor} is ${state}, ${live.mailbox} messages wait${fails}.`];
  });
  if (call)
    now.push(
      `Now: ${call.state}${call.failure ? `, ${call.failure.message}` : ""}${(call.streams ?? []).map(({ path }) => `\n${path}`).join("")}`,
    );
  const cut = rows.length === limit || turns.length >= limit;
  return {
    out: { id, kind, story: told, actors: now, cut, ...(call ? { state: call.state } : {}) },
    text: [
      `${id}, ${dayTime(first)}`,
      ...told.map(({ at, text }) => `  ${time(at)}  +${at - first} ms  ${text}`),
      ...(cut && !all ? ["  … older ones are told with --all"] : []),
      ...now,
    ].join("\n"),
  };
}

/** What somebody means: a call or its question, a device by name or id, a chat or session, a grant, any actor. */
function find(
  said: string,
  { store, runtime: { documents }, calls }: Parts,
): { id: string; kind: string; call?: Call; actors: readonly ActorId[] } {
  const bare = said.replace(/^(?:invocation|approval)\//, "");
  const full = widen(
    bare,
    store.documents("call", 200).map((one) => one.id),
  );
  const call = documents.find<Call>("call", full ?? bare);
  if (call) return { id: call.id, kind: "call", call, actors: [`approval/${call.id}`] };
  const chats = documents.openIds("chat").flatMap((place) => {
    const [channel, , chat] = JSON.parse(place) as [string, string, string];
    const row = documents.get<{ session: ActorId }>("chat", place);
    return row ? [{ names: [chat, `${channel}:${chat}`, row.session], session: row.session }] : [];
  });
  const session = chats.find(({ names, session: of }) =>
    [...names, ...(widen(bare, [of.slice(8)]) ? [bare] : [])].includes(said),
  )?.session;
  if (session) return { id: session, kind: "session", actors: [session] };
  if (/^[a-z]+\/./.test(said) && store.load(said as ActorId))
    return { id: said, kind: said.slice(0, said.indexOf("/")), actors: [said as ActorId] };
  const devices = deviceRows(documents);
  const device =
    devices.find(({ id }) => id === said.replace(/^device\//, "")) ??
    devices.find(({ name }) => name.toLowerCase() === said.toLowerCase());
  if (device) return { id: device.id, kind: "device", actors: [`device/${device.id}`] };
  const grants = documents.list<{ id: string }>("grant").map((one) => one.id);
  const open = calls.list().map((one) => one.id);
  return { id: widen(bare, [...open, ...grants]) ?? bare, kind: "row", actors: [] };
}

function journalOf(actor: ActorId, limit: number, store: Parts["store"]): Line[] {
  // One more than is told: the state before the oldest.
  const turns = store.journal(actor, limit + 1).toReversed();
  const lines = turns.map((turn, at): Line => {
    const to = turn.state === undefined ? undefined : stateWords(turn.state);
    const before = turns[at - 1]?.state;
    const from = before === undefined ? undefined : stateWords(before);
    const moved =
      to === undefined ? "" : from === to || from === undefined ? ` (${to})` : ` (${from} → ${to})`;
    const owed = turn.owed && turn.owed.length > 0 ? `; asked for: ${turn.owed.join(", ")}` : "";
    return {
      at: turn.at,
      what: turn.event.type,
      text: `${actor.slice(0, actor.indexOf("/"))} heard ${turn.event.type}${moved}${owed}`,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    };
  });
  return lines.slice(-limit);
}

const requested = (call: Call): Line => ({
  at: call.createdAt,
  what: "call.requested",
  text: `${call.by} asked for ${call.cap} of ${call.name} ${JSON.stringify(call.args)}`,
});

/** People copy the end of an id. */
const widen = (id: string, ids: readonly string[]): string | undefined =>
  id.length >= 4 && id.length < 26 ? ids.find((one) => one.endsWith(id.toUpperCase())) : undefined;

function say({ what, data }: AuditRow): string {
  const known = SAID[what];
  if (known) return known(data);
  const rest = Object.entries(data).map(
    ([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return `${what.replace(".", " ")}: ${rest.join(", ")}`;
}
