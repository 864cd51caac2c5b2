/** What a turn asked for, in the few words that `kith why` tells later. */
import type { Effect } from "./effect.ts";

/** More than any machine of ours asks for in one turn. */
const MOST = 16;

/** Audit rows are told from the audit trail; signals and answers are gone once they are heard. */
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
