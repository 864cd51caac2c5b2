/**
 * An actor that does what its messages say: it writes down each text, asks for the effects that
 * come with it, and fails when a test has told it to.
 */
import { assign, setup } from "xstate";
import { Unpackr } from "msgpackr";
import type { ActorId, Effect, Event } from "@kith/gateway/runtime/effect";
import { emit } from "@kith/gateway/runtime/fx";
import type { MachineKind } from "@kith/gateway/runtime/kind";
import { Outside, type World, World as Worlds, type WorldOptions } from "../support/world.ts";

export interface Note extends Event {
  readonly type: "note";
  readonly text: string;
  readonly effects?: readonly Effect[];
}

export const note = (text: string, ...effects: Effect[]): Note => ({ type: "note", text, effects });
/** Asks for what was written so far; the question itself is written too. */
export const read = (text = "read"): Note => note(text, { kind: "reply", value: text });

/** How often a text still makes the machine fail; set by a test, spent by turns. */
export const failing = new Map<string, number>();
/** Who hears of each failure. */
export const failures = { heard: (_text: string): void => {} };

export function failAt(text: string): void {
  const left = failing.get(text) ?? 0;
  if (left <= 0) return;
  failing.set(text, left - 1);
  failures.heard(text);
  throw new Error(`cannot take "${text}"`);
}

type Context = { log: readonly string[] };
export type Events = Note | { type: "end" } | { type: "step.failed"; failure: { code: string } };

export const textOf = (event: Events): string =>
  event.type === "note" ? event.text : event.type === "step.failed" ? event.failure.code : "end";

export const diaryMachine = setup({
  types: { context: {} as Context, events: {} as Events },
  actions: {
    fail: ({ event }) => failAt(textOf(event)),
    perform: ({ event }) => {
      if (event.type === "note") for (const effect of event.effects ?? []) emit(effect);
    },
    write: assign({ log: ({ context, event }) => [...context.log, textOf(event)] }),
  },
}).createMachine({
  id: "diary",
  context: { log: [] },
  initial: "open",
  states: {
    open: {
      on: {
        // The effects first: a failure after them must leave none.
        note: { actions: ["perform", "fail", "write"] },
        "step.failed": { actions: "write" },
        end: { target: "closed", actions: "write" },
      },
    },
    closed: { type: "final" },
  },
});

export const diary: MachineKind = {
  name: "diary",
  machine: diaryMachine,
  version: 1,
  migrate: {},
  mailbox: { normal: 4, control: 2 },
  idleMs: 60_000,
  restart: { max: 5, withinMs: 60_000, backoffMs: [100, 30_000] },
};

export const ANN: ActorId = "diary/ann";
export const BEN: ActorId = "diary/ben";

/** A world with diaries in it, and one op `do` whose runs the test answers as it likes. */
export async function start(options: Partial<WorldOptions> = {}) {
  failing.clear();
  const outside = new Outside();
  const answers = { how: () => ({ ms: 10, event: note("done") }) } as {
    how: Parameters<Outside["performer"]>[2];
  };
  const world: World = await Worlds.start({
    kinds: [diary],
    performers: [
      outside.performer(
        () => world,
        "do",
        (run) => answers.how(run),
      ),
    ],
    ...options,
  });
  return { world, outside, answers };
}

const packr = new Unpackr({ useRecords: false });

/** The log in a stored snapshot. */
export function logOf(snapshot: Uint8Array): string[] {
  const { state } = packr.unpack(snapshot) as { state: { context: { log: string[] } } };
  return state.context.log;
}

/** What is on disk of an actor: nobody's memory is asked. */
export function stored(world: World, id: ActorId): string[] {
  const saved = world.disk.actors.get(id);
  return saved ? logOf(saved.snapshot) : [];
}

export const timer = (name: string, inMs: number, text = name): Effect => ({
  kind: "timer",
  name,
  inMs,
  event: note(text),
});

export const step = (
  effect: "read" | "idempotent" | "once",
  order?: string,
  ttlMs = 60_000,
): Effect => ({
  kind: "step",
  op: "do",
  class: effect,
  args: {},
  ttlMs,
  ...(order === undefined ? {} : { order }),
});

/** Sends these notes as messages from outside, each under its own text as its id. */
export async function accept(world: World, to: ActorId, ...notes: Note[]): Promise<void> {
  const all = notes.map((one) => world.runtime.accept(to, one, one.text));
  await world.idle();
  await Promise.all(all);
}
