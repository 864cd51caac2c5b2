/** How a machine states what it wants done, and how the runtime collects it. */
import type { Effect } from "./effect.ts";

let collecting: Effect[] | undefined;

/** The one action that asks for something outside the machine; also what tables call directly. */
export const fx = (_: unknown, effect: Effect): void => emit(effect);

/** The same for as many as a turn makes. */
export const fxEach = (_: unknown, effects: readonly Effect[]): void => effects.forEach(emit);

/** @throws Error outside a turn: an effect nobody would commit is a defect */
export function emit(effect: Effect): void {
  if (!collecting) throw new Error("effect outside a turn");
  collecting.push(effect);
}

/** Runs one turn and returns what it asked for. Throw it away if the turn failed. */
export function collect(turn: () => void): Effect[] {
  const mine: Effect[] = (collecting = []);
  try {
    turn();
  } finally {
    collecting = undefined;
  }
  return mine;
}

/**
 * A state with a durable deadline: spread into the state, merge its `on`. Replaces XState's
 * `after`, which a restart forgets (statelyai/xstate#5331).
 */
export const timed = (name: string, inMs: number, target: string) => ({
  entry: {
    type: "fx" as const,
    params: { kind: "timer" as const, name, inMs, event: { type: `timer.${name}` } },
  },
  exit: { type: "fx" as const, params: { kind: "untimer" as const, name } },
  on: { [`timer.${name}`]: target },
});
