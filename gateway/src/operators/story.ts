/** `kith why`: what is known about one id, told in order: rows of the audit and the call itself. */
import { KithError } from "@kith/shared/errors";
import type { Call } from "../invocations/call.ts";
import type { AuditRow } from "../runtime/store.ts";
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

export function story(
  id: string,
  { store, runtime, clock }: Pick<MethodsOptions, "store" | "runtime" | "clock">,
): Answer {
  const full =
    widen(
      id,
      store.documents("call", 200).map((one) => one.id),
    ) ?? id;
  const call = runtime.documents.find<Call>("call", full);
  const rows = store.audit({ about: full, limit: 200 }).toSorted((a, b) => a.seq - b.seq);
  if (!call && rows.length === 0)
    throw new KithError("call-unknown", `nothing is known about ${id}`);
  const told = rows.map((row) => ({ at: row.at, what: row.what, text: say(row) }));
  if (call)
    told.unshift({
      at: call.createdAt,
      what: "call.requested",
      text: `${call.by} asked for ${call.cap} of ${call.name} ${JSON.stringify(call.args)}`,
    });
  const first = told[0]?.at ?? clock.now();
  const end = call
    ? `\nNow: ${call.state}${call.failure ? `, ${call.failure.message}` : ""}${(call.streams ?? []).map(({ path }) => `\n${path}`).join("")}`
    : "";
  return {
    out: {
      id: full,
      kind: call ? "call" : (rows[0]?.what.split(".")[0] ?? ""),
      story: told,
      ...(call ? { state: call.state } : {}),
    },
    text: `${full}, ${dayTime(first)}\n${told.map(({ at, text }) => `  ${time(at)}  +${at - first} ms  ${text}`).join("\n")}${end}`,
  };
}

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
