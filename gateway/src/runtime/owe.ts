/** Turns what a turn asked for into what is written now and what happens after the commit. */
import type { Asks } from "./asks.ts";
import type { Documents } from "./documents.ts";
import type { ActorId, Effect, Envelope } from "./effect.ts";
import type { Step, Timer, Write } from "./store.ts";
import type { Timers } from "./timers.ts";

/** One turn that has run and is not yet on disk. */
export interface Turn {
  readonly env: Envelope;
  /** Who owes it: of a table, the row that the message was for. */
  readonly self: ActorId;
  /** Its number among the actor's turns. */
  readonly seq: number;
  readonly at: number;
  readonly id: string;
}

/** The parts of the runtime that effects reach. */
export interface Doors {
  readonly documents: Documents;
  readonly timers: Timers;
  /** Takes over a step that is on disk. */
  readonly submit: (step: Step) => void;
  readonly asks: Asks;
  readonly newId: () => string;
  /** The writes of a durable message; it is queued after their commit. */
  readonly accept: (
    env: Envelope,
    at: number,
  ) => { readonly write: Write; readonly after: () => void };
  readonly signal: (topic: string, data: unknown) => void;
}

/** Nothing of this leaves memory yet: `after` runs in order once `writes` are on disk. */
export function owe(
  effects: readonly Effect[],
  turn: Turn,
  doors: Doors,
): { writes: Write[]; after: (() => void)[] } {
  const writes: Write[] = [];
  const after: (() => void)[] = [];
  const { env, self, at } = turn;
  // Its timer fired and is spent; one that this turn sets anew comes after and stays.
  if (env.timer !== undefined) {
    doors.timers.unset(env.to, env.timer);
    writes.push({ k: "untimer", actor: env.to, name: env.timer });
  }
  for (const [index, effect] of effects.entries()) {
    switch (effect.kind) {
      case "tell": {
        const told: Envelope = {
          to: effect.to,
          event: effect.event,
          msg: `${turn.id}:${index}`,
          lane: "control",
          durable: true,
        };
        const accepted = doors.accept(told, at);
        writes.push(accepted.write);
        after.push(accepted.after);
        break;
      }
      case "step": {
        const step: Step = {
          id: doors.newId(),
          actor: self,
          op: effect.op,
          class: effect.class,
          args: effect.args,
          expiresAt: at + effect.ttlMs,
          ...(effect.order === undefined ? {} : { order: effect.order }),
        };
        writes.push({ k: "step", step, at });
        after.push(() => doors.submit(step));
        break;
      }
      case "reply": {
        const { replyTo } = env;
        if (replyTo !== undefined) after.push(() => doors.asks.settle(replyTo, effect.value));
        break;
      }
      case "timer": {
        const timer: Timer = {
          actor: self,
          name: effect.name,
          due: at + effect.inMs,
          generation: turn.seq,
          event: effect.event,
        };
        doors.timers.set(timer);
        writes.push({ k: "timer", timer });
        after.push(() => doors.timers.arm(timer));
        break;
      }
      case "untimer":
        doors.timers.unset(self, effect.name);
        writes.push({ k: "untimer", actor: self, name: effect.name });
        after.push(() => doors.timers.disarm(self, effect.name));
        break;
      case "audit":
        writes.push({ k: "audit", at, what: effect.what, data: effect.data });
        break;
      case "put": {
        const { table, id, open, body } = effect;
        doors.documents.put(table, id, open, body);
        writes.push({ k: "put", table, id, open, at, body });
        break;
      }
      case "signal":
        after.push(() => doors.signal(effect.topic, effect.data));
        break;
    }
  }
  return { writes, after };
}
