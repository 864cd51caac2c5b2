/** Calls that one sentence made, one for each device it meant: told together, when the last has ended. */
import type { Outcome } from "../invocations/outcome.ts";
import { type ChatMessage, ended } from "./words.ts";

/**
 * Bytes that the ends of one group may have: they are part of the chat's snapshot. Each call has
 * an equal share.
 */
export const GROUP_BYTES = 20_480;

/** How one of them ended: what is said about it, and as much of what it brought as there is room for. */
export interface Told {
  readonly text: string;
  readonly outcome: Outcome;
}

export interface Group {
  readonly calls: readonly string[];
  readonly told: readonly Told[];
}

const bytes = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;

/** The group with this end in it, in the order in which the calls were made; a later word about a call replaces the first. */
export function heard({ calls, told }: Group, outcome: Outcome): Group {
  const others = told.filter((one) => one.outcome.call !== outcome.call);
  const order = ({ outcome: { call } }: Told) => calls.indexOf(call);
  return {
    calls,
    told: [...others, fitted(outcome, Math.floor(GROUP_BYTES / calls.length))].toSorted(
      (a, b) => order(a) - order(b),
    ),
  };
}

function fitted(outcome: Outcome, share: number): Told {
  // At most three bytes a character, and at most half of the share.
  const text = ended(outcome, false)
    .text.slice(0, Math.floor(share / 6))
    .toWellFormed();
  const { out: _out, ...brief } = outcome;
  const { streams: _streams, failure, ...least } = brief;
  const why = failure && { failure: { ...failure, message: failure.message.slice(0, 60) } };
  const forms: readonly Outcome[] = [outcome, brief, { ...least, ...why }];
  return forms
    .map((one) => ({ text, outcome: one }))
    .find((one, at) => at === forms.length - 1 || bytes(one) <= share) as Told;
}

export const isWhole = ({ calls, told }: Group): boolean => told.length >= calls.length;

/** A call of the group goes on under another id. */
export const renamed = ({ calls, told }: Group, call: string, by: string): Group => ({
  calls: calls.map((id) => (id === call ? by : id)),
  told,
});

/** One reply for all: what each brought, and one line for each that did not. */
export function together({ told }: Group, final: boolean): ChatMessage {
  const [brought, others] = [true, false].map((done) =>
    told.filter(({ outcome }) => (outcome.state === "done") === done),
  ) as [Told[], Told[]];
  const lines = [
    ...brought.map(({ text }) => text),
    ...others.map(({ text, outcome: { name } }) =>
      text.startsWith(name) ? text : `${name}: ${text}`,
    ),
  ];
  const [first] = others;
  const error = first && brought.length === 0 ? ended(first.outcome, final).error : undefined;
  return {
    text: lines.join("\n"),
    final,
    results: told.map(({ outcome }) => outcome),
    // Programs that asked learn of a failure where nothing at all was brought.
    ...(error && { error }),
  };
}
