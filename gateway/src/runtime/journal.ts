/** What the journal keeps beside events, in the few words that `kith why` tells later. */
import type { ActorId, Effect, Envelope, Event } from "./effect.ts";
import type { Write } from "./store.ts";

/** The type of a row that is no event: a turn that failed and left nothing else. */
export const CRASHED = "runtime.crashed";

export interface Crashed extends Event {
  readonly type: typeof CRASHED;
  /** Type of the event that it failed on, and the how many-th failure of that message. */
  readonly on: string;
  readonly tries: number;
  readonly error: string;
}

const ERROR_CHARS = 200;

/** `seq`: the last turn that did not fail. */
export function crashedRow(
  actor: ActorId,
  seq: number,
  at: number,
  failed: { readonly env: Envelope; readonly tries: number; readonly error: unknown },
): Write {
  const { env, tries, error } = failed;
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const event: Crashed = {
    type: CRASHED,
    on: env.event.type,
    tries,
    error: words.slice(0, ERROR_CHARS),
  };
  return { k: "journal", actor, seq, at, event };
}

/** More than any machine of ours asks for in one turn. */
const MOST = 16;

/** What a turn asked for. Audit rows are told from the audit trail; signals and answers are gone once they are heard. */
export function owedWords(effects: readonly Effect[]): readonly string[] {
  const words: string[] = [];
  for (const effect of effects) {
    if (words.length === MOST) break;
    switch (effect.kind) {
      case "tell":
        words.push(`tell ${effect.to} ${effect.event.type}`);
        break;
      case "step":
        words.push(`step ${effect.op}`);
        break;
      case "timer":
        words.push(`timer ${effect.name}`);
        break;
      case "untimer":
        words.push(`no timer ${effect.name}`);
        break;
      case "put":
        words.push(`keep ${effect.table} ${effect.id}`);
        break;
      case "reply":
      case "audit":
      case "signal":
    }
  }
  return words;
}
