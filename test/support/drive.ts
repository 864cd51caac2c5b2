/**
 * One machine without a runtime: each event is a turn, effects are what it owes, durable timers
 * fire when time passes. Between turns it sleeps: it is packed and woken as after a restart, so a
 * context that is not plain data fails here first.
 *
 *   drive(machine, birth) ── send(event) ──► state(), context(), owed(), ended()
 *                         └─ pass(ms) ─────► timers that fall due are sent, earliest first
 */
import { type AnyStateMachine, createActor, type ContextFrom, type EventFrom } from "xstate";
import type { ActorId, Effect, Event } from "@kith/gateway/runtime/effect";
import { collect } from "@kith/gateway/runtime/fx";
import type { MachineKind } from "@kith/gateway/runtime/kind";
import { packSnapshot, unpackSnapshot } from "@kith/gateway/runtime/snapshot";

/** An event as a test writes it: `at` and `id` are given by the turn unless it names them. */
export type Sent<E> = E extends unknown
  ? Omit<E, "at" | "id"> & { readonly at?: number; readonly id?: string }
  : never;

/** Everything a turn owes but its timers, which `pass` looks after. */
export type Owed = Exclude<Effect, { kind: "timer" | "untimer" }>;

export interface Driven<M extends AnyStateMachine> {
  /** Runs one turn. Throws what the machine threw; the state is then that before the turn. */
  send(event: Sent<EventFrom<M>>): void;
  /** What it owes since the last question, in order; asking clears it. */
  owed(): Owed[];
  /** It reached a final state: the runtime lets it go. */
  ended(): boolean;
  /** The state's name; of nested states an object, as XState has it. */
  state(): unknown;
  context(): ContextFrom<M>;
  /** Moves time on by so many ms; what falls due on the way fires at its own moment. */
  pass(ms: number): void;
  /** Names of the timers that are set, with the ms that are left. */
  timers(): Record<string, number>;
  /** Turns that changed nothing: events that the state does not handle. */
  readonly ignored: string[];
}

/** The first moment of every test: any fixed time does. */
export const BIRTH_AT = Date.UTC(2026, 0, 1);

/** `id` is the actor's; its turns are numbered, so the first one's event has the id `turn-1`. */
export function drive<M extends AnyStateMachine>(
  machine: M,
  birth: Sent<EventFrom<M>>,
  id: ActorId = `${machine.id}/1`,
): Driven<M> {
  const kind: MachineKind = {
    name: machine.id,
    machine,
    version: 1,
    migrate: {},
    mailbox: { normal: 1, control: 1 },
    idleMs: 0,
    restart: { max: 0, withinMs: 0, backoffMs: [0, 0] },
  };
  const timers = new Map<string, { due: number; order: number; event: Event }>();
  const ignored: string[] = [];
  let owed: Owed[] = [];
  let now = BIRTH_AT;
  let turns = 0;
  let saved: Uint8Array | undefined;

  function wake(event: Event) {
    let failed: unknown;
    const root = createActor(machine as AnyStateMachine, {
      input: { id, event },
      ...(saved === undefined ? {} : { snapshot: unpackSnapshot(kind, saved) as never }),
    });
    root.subscribe({ error: (error: unknown) => (failed = error ?? new Error("it failed")) });
    root.start();
    return { root, check: () => failed !== undefined && raise(failed) };
  }

  function turn(sent: Event): void {
    const event = { at: now, id: `turn-${turns + 1}`, ...sent };
    let next: Uint8Array | undefined;
    const effects = collect(() => {
      const { root, check } = wake(event);
      check();
      const before = root.getSnapshot();
      root.send(event);
      check();
      if (saved !== undefined && root.getSnapshot() === before) ignored.push(sent.type);
      next = packSnapshot(kind, root.getPersistedSnapshot());
      root.stop();
    });
    turns++;
    saved = next;
    for (const effect of effects) {
      if (effect.kind === "untimer") timers.delete(effect.name);
      else if (effect.kind === "timer")
        timers.set(effect.name, { due: now + effect.inMs, order: turns, event: effect.event });
      else owed.push(effect);
    }
  }

  const snapshot = () => unpackSnapshot(kind, saved as Uint8Array) as Record<string, unknown>;
  turn(birth as unknown as Event);

  return {
    send: (event) => turn(event as unknown as Event),
    owed() {
      const all = owed;
      owed = [];
      return all;
    },
    ended: () => snapshot()["status"] === "done",
    state: () => snapshot()["value"],
    context: () => snapshot()["context"] as ContextFrom<M>,
    pass(ms) {
      const until = now + ms;
      for (;;) {
        const [first] = [...timers].toSorted(([, a], [, b]) => a.due - b.due || a.order - b.order);
        if (!first || first[1].due > until) break;
        const [name, { due, event }] = first;
        now = Math.max(now, due);
        timers.delete(name);
        turn(event);
      }
      now = until;
    },
    timers: () => Object.fromEntries([...timers].map(([name, { due }]) => [name, due - now])),
    ignored,
  };
}

function raise(error: unknown): never {
  throw error;
}
