/**
 * Pairing by approval code: the desk, `pairing/desk`. One actor, because its limits count over
 * all attempts.
 *
 *   closed ── owner.listened ──► open ── third wrong code, or two equal codes ──► locked
 *     ▲                           │                                               │
 *     └──────── timer.window ◄────┴───────────────── timer.lock ◄─────────────────┘
 *
 * An attempt: begun (a slot is spent, for good) → revealed (its code is known) → typed by the
 * owner → confirmed at the device. Slots bound an attacker who grinds codes, not minutes; a
 * started attempt holds its slot even when it disconnects. See docs/protocol.md "Pairing".
 */
import type { PairBegin } from "@kith/shared/protocol/pairing";
import type { ErrorCode } from "@kith/shared/errors";
import { assign, setup } from "xstate";
import type { Effect, Event } from "../runtime/effect.ts";
import { fx, timed } from "../runtime/fx.ts";

export const pairingLimits = {
  windowMs: 15 * 60_000,
  windowsPerDay: 24,
  slotsPerWindow: 5,
  slotsPerDay: 40,
  pending: 3,
  wrongCodes: 3,
  lockMs: 15 * 60_000,
} as const;
const DAY_MS = 86_400_000;

export interface Attempt {
  readonly id: string;
  /** key16 and static public key (hex) of the device that knocks. */
  readonly device: string;
  readonly key: string;
  readonly about: Pick<PairBegin, "name" | "kind" | "os" | "arch" | "agent">;
  readonly caps: readonly string[];
  readonly source: string;
  readonly since: number;
  readonly code?: string;
  readonly returnCode?: string;
  readonly approvedBy?: string;
}

export type PairingEvent = Event & { readonly at: number } & (
    | { readonly type: "gateway.started" }
    | { readonly type: "desk.read" }
    | { readonly type: "owner.listened"; readonly by: string }
    | { readonly type: "owner.opened"; readonly by: string; readonly address: string }
    | { readonly type: "attempt.begun"; readonly attempt: Omit<Attempt, "since"> }
    | {
        readonly type: "attempt.revealed";
        readonly attempt: string;
        readonly code: string;
        readonly returnCode: string;
      }
    | { readonly type: "owner.typed"; readonly code: string; readonly by: string }
    | { readonly type: "attempt.confirmed"; readonly attempt: string }
    | { readonly type: "attempt.abandoned"; readonly attempt: string }
    | { readonly type: "timer.window" }
    | { readonly type: "timer.lock" }
  );

export interface Desk {
  /** Unix ms of windows opened and slots spent within the last day. */
  readonly windows: readonly number[];
  readonly slots: readonly number[];
  readonly slotsHere: number;
  readonly until: number;
  readonly wrong: number;
  readonly pending: readonly Attempt[];
}

type Args = { context: Desk; event: PairingEvent };

const owe = (effect: (args: Args) => Effect) => ({ type: "fx" as const, params: effect });
const change = (made: (args: Args) => Partial<Desk>) => ({ type: "assign" as const, params: made });
const reply = (value: (args: Args) => unknown) =>
  owe((args) => ({ kind: "reply", value: value(args) }));
const refuse = (code: ErrorCode, message: string) => reply(() => ({ refuse: code, message }));
const note = (what: string, data: (args: Args) => Record<string, unknown> = () => ({})) =>
  owe((args) => ({
    kind: "audit",
    what: `pairing.${what}`,
    data: { ...("by" in args.event ? { by: args.event.by } : {}), ...data(args) },
  }));
const speak = (which: (args: Args) => readonly string[], say: "approved" | "refused", why = "") =>
  owe((args) => ({
    kind: "signal",
    topic: "pairing.speak",
    data: { attempts: which(args), say, why },
  }));
const door = (open: boolean) =>
  owe(() => ({ kind: "signal", topic: "pairing.window", data: { open } }));
const warn = (text: string) => owe(() => ({ kind: "signal", topic: "notice", data: { text } }));

const today = (times: readonly number[], now: number) => times.filter((at) => now - at < DAY_MS);
const named = ({ context, event }: Args): Attempt | undefined =>
  "attempt" in event && typeof event.attempt === "string"
    ? context.pending.find(({ id }) => id === event.attempt)
    : undefined;
const typed = ({ context, event }: Args): Attempt | undefined =>
  event.type === "owner.typed"
    ? context.pending.find(({ code }) => code === event.code)
    : undefined;
const everybody = ({ context }: Args) => context.pending.map(({ id }) => id);
const without = (id: string | undefined, pending: readonly Attempt[]) =>
  pending.filter((one) => one.id !== id);

const spent = ({ context, event }: Args) =>
  context.slotsHere >= pairingLimits.slotsPerWindow ||
  today(context.slots, event.at).length >= pairingLimits.slotsPerDay ||
  context.pending.length >= pairingLimits.pending;

const twin = ({ context, event }: Args) =>
  event.type === "attempt.revealed" &&
  context.pending.some(({ id, code }) => code === event.code && id !== event.attempt);

/** Everybody who waits is told no; the window is gone. */
const dropAll = [
  speak(everybody, "refused", "closed"),
  change(() => ({ pending: [], until: 0, slotsHere: 0, wrong: 0 })),
];

const window = timed("window", pairingLimits.windowMs, "closed");
const lock = timed("lock", pairingLimits.lockMs, "closed");

export const pairingMachine = setup({
  types: { context: {} as Desk, input: {} as unknown, events: {} as PairingEvent },
  actions: { fx, assign: assign((_, made: Partial<Desk>) => made) },
}).createMachine({
  id: "pairing",
  options: { maxIterations: 1_000 },
  context: { windows: [], slots: [], slotsHere: 0, until: 0, wrong: 0, pending: [] },
  initial: "closed",
  on: {
    // Links do not survive a restart, so neither does what waits on them; spent slots do.
    "gateway.started": {
      actions: [
        change(() => ({ pending: [] })),
        owe(({ context, event }) => ({
          kind: "signal",
          topic: "pairing.window",
          data: { open: context.until > event.at },
        })),
      ],
    },
    "desk.read": { actions: reply(({ context }) => context) },
    // It is done already; what is opened stays open, so it is told for good.
    "owner.opened": {
      actions: note("opened", ({ event }) =>
        event.type === "owner.opened" ? { address: event.address } : {},
      ),
    },
    "attempt.abandoned": {
      actions: change((args) => ({ pending: without(named(args)?.id, args.context.pending) })),
    },
    "attempt.revealed": { actions: reply(() => ({ refuse: "pairing-closed" })) },
    "attempt.confirmed": { actions: reply(() => ({ refuse: "pairing-closed" })) },
  },
  states: {
    closed: {
      on: {
        "owner.listened": [
          {
            guard: ({ context, event }) =>
              today(context.windows, event.at).length >= pairingLimits.windowsPerDay,
            actions: refuse("pairing-full", "pairing was opened 24 times today"),
          },
          {
            target: "open",
            actions: change(({ context, event }) => ({
              windows: [...today(context.windows, event.at), event.at],
              until: event.at + pairingLimits.windowMs,
              slotsHere: 0,
              wrong: 0,
              pending: [],
            })),
          },
        ],
        "attempt.begun": { actions: refuse("pairing-closed", "pairing is not open") },
        "owner.typed": { actions: refuse("pairing-closed", "pairing is not open") },
      },
    },
    open: {
      entry: [
        window.entry,
        note("opened"),
        door(true),
        reply(({ context }) => ({ until: context.until })),
      ],
      exit: [window.exit, door(false)],
      on: {
        "timer.window": { target: "closed", actions: dropAll },
        // Asked again while it is open: the same window, said again.
        "owner.listened": { actions: reply(({ context }) => ({ until: context.until })) },
        "attempt.begun": [
          {
            guard: spent,
            actions: refuse("pairing-full", "all attempts of this window or of today are used up"),
          },
          {
            actions: [
              change(({ context, event }) =>
                event.type === "attempt.begun"
                  ? {
                      slots: [...today(context.slots, event.at), event.at],
                      slotsHere: context.slotsHere + 1,
                      pending: [...context.pending, { ...event.attempt, since: event.at }],
                    }
                  : {},
              ),
              note("begun", ({ event }) =>
                event.type === "attempt.begun"
                  ? {
                      device: event.attempt.device,
                      name: event.attempt.about.name,
                      source: event.attempt.source,
                    }
                  : {},
              ),
              reply(({ context, event }) => ({ leftMs: Math.max(0, context.until - event.at) })),
            ],
          },
        ],
        "attempt.revealed": [
          {
            guard: twin,
            target: "locked",
            actions: [
              note("twin"),
              warn(
                "Two devices showed the same pairing code: somebody may be in between. Pairing is closed for 15 minutes.",
              ),
              ...dropAll,
            ],
          },
          {
            // One code for one slot: whoever could show a second one would have two guesses.
            guard: (args) => named(args) !== undefined && named(args)?.code === undefined,
            actions: [
              change((args) => ({
                pending: args.context.pending.map((one) =>
                  one.id === named(args)?.id && args.event.type === "attempt.revealed"
                    ? { ...one, code: args.event.code, returnCode: args.event.returnCode }
                    : one,
                ),
              })),
              owe((args) => ({
                kind: "signal",
                topic: "pairing.waiting",
                data: { name: named(args)?.about.name },
              })),
              reply(() => ({ pending: true })),
            ],
          },
          { actions: reply(() => ({ refuse: "pairing-closed" })) },
        ],
        "owner.typed": [
          {
            guard: (args) => typed(args) !== undefined,
            actions: [
              note("approved", (args) => ({
                device: typed(args)?.device,
                name: typed(args)?.about.name,
              })),
              speak((args) => [typed(args)?.id ?? ""], "approved"),
              reply((args) => ({ attempt: typed(args) })),
              change((args) => ({
                pending: args.context.pending.map((one) =>
                  one.id === typed(args)?.id && args.event.type === "owner.typed"
                    ? { ...one, approvedBy: args.event.by }
                    : one,
                ),
              })),
            ],
          },
          {
            guard: ({ context }) => context.wrong + 1 >= pairingLimits.wrongCodes,
            target: "locked",
            actions: [
              note("wrong-code"),
              refuse("pairing-locked", "that was the third wrong code"),
              ...dropAll,
            ],
          },
          {
            actions: [
              change(({ context }) => ({ wrong: context.wrong + 1 })),
              note("wrong-code"),
              refuse(
                "code-unknown",
                "no device shows that code: it is an old one, or someone is in between",
              ),
            ],
          },
        ],
        "attempt.confirmed": [
          {
            guard: (args) => named(args)?.approvedBy !== undefined,
            actions: [
              owe((args) => {
                const attempt = named(args);
                return {
                  kind: "tell",
                  to: `device/${attempt?.device ?? ""}`,
                  event: {
                    type: "device.paired",
                    device: attempt?.device,
                    key: attempt?.key,
                    about: attempt?.about,
                    ceiling: attempt?.caps,
                    how: "code",
                  } as Event,
                };
              }),
              reply((args) => ({ attempt: named(args) })),
              change((args) => ({
                pending: without(named(args)?.id, args.context.pending),
                wrong: 0,
              })),
            ],
          },
          // A device that confirms what nobody approved is lying.
          { actions: [note("unapproved"), reply(() => ({ refuse: "pairing-refused" }))] },
        ],
      },
    },
    locked: {
      entry: [lock.entry, note("locked")],
      exit: lock.exit,
      on: {
        ...lock.on,
        "owner.listened": {
          actions: refuse("pairing-locked", "three wrong codes closed pairing for 15 minutes"),
        },
        "attempt.begun": { actions: refuse("pairing-locked", "pairing is locked") },
        "owner.typed": { actions: refuse("pairing-locked", "pairing is locked") },
      },
    },
  },
});
