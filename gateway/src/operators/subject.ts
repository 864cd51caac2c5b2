/** What somebody means by an id, a part of one, or a name: for `kith why`. */
import { KithError } from "@kith/shared/errors";
import { deviceRows } from "../devices/device.ts";
import { resolve } from "../devices/resolve.ts";
import type { Call } from "../invocations/call.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { MethodsOptions } from "./method.ts";

export interface Subject {
  readonly id: string;
  readonly kind: string;
  readonly call?: Call;
  /** Whose journals tell of it. */
  readonly actors: readonly ActorId[];
}

/** Ended calls that a part of an id may mean; older ones by their whole id. */
const RECENT = 200;
/** Fewer characters than this are no part of an id. */
const LEAST = 4;
const ID26 = 26;

/** @throws KithError call-unknown, device-ambiguous, id-ambiguous */
export function subject(
  said: string,
  options: Pick<MethodsOptions, "store" | "runtime" | "calls">,
): Subject {
  const { store, calls } = options;
  const { documents } = options.runtime;
  const bare = said.replace(/^(?:invocation|approval)\//, "");
  const call = documents.find<Call>("call", bare);
  if (call) return ofCall(call);

  const chats = documents.openIds("chat").flatMap((place) => {
    const [channel, , chat] = JSON.parse(place) as [string, string, string];
    const row = documents.get<{ session: ActorId }>("chat", place);
    return row ? [{ names: [chat, `${channel}:${chat}`], session: row.session }] : [];
  });
  const chat = chats.find(({ names, session }) => [...names, session].includes(said));
  if (chat) return ofActor(chat.session);
  if (/^[a-z]+\/./.test(said) && store.load(said as ActorId)) return ofActor(said as ActorId);

  const devices = deviceRows(documents);
  const device = devices.find(({ id }) => id === said.replace(/^device\//, ""));
  if (device) return ofDevice(device.id);

  const grants = documents.list<{ id: string }>("grant").map(({ id }) => id);
  if (grants.includes(bare)) return { id: bare, kind: "grant", actors: [] };
  const part = bare.replace(/^session\//, "").toUpperCase();
  if (part.length >= LEAST && part.length < ID26) {
    const recent = store.documents("call", RECENT).map(({ id }) => id);
    const ids = new Set([...recent, ...calls.list().map(({ id }) => id), ...grants]);
    const fits = (id: string) => id.startsWith(part) || id.endsWith(part);
    const found = [
      ...[...ids].filter(fits),
      ...chats.map(({ session }) => session).filter((id) => fits(id.slice("session/".length))),
    ];
    if (found.length > 1)
      throw new KithError("id-ambiguous", `several ids fit ${said}: ${some(found)}`);
    // Whole now: it cannot come here again.
    if (found[0]) return subject(found[0], options);
  }
  const named = resolve(said, devices, () => ({ online: false, able: false }));
  if (named.is === "one") return ofDevice(named.row.id);
  if (named.is === "several") {
    const names = named.rows.map(({ name }) => name);
    throw new KithError("device-ambiguous", `several devices fit: ${some(names)}`);
  }
  // A call that was purged, or never was: the audit trail may know it.
  return { id: bare, kind: "row", actors: [] };
}

const ofCall = (call: Call): Subject => ({
  id: call.id,
  kind: "call",
  call,
  actors: [`approval/${call.id}`, `invocation/${call.id}`],
});
const ofActor = (id: ActorId): Subject => ({
  id,
  kind: id.slice(0, id.indexOf("/")),
  actors: [id],
});
const ofDevice = (id: string): Subject => ({ id, kind: "device", actors: [`device/${id}`] });

const some = (words: readonly string[]): string =>
  words.slice(0, 8).join(", ") + (words.length > 8 ? `, and ${words.length - 8} more` : "");
