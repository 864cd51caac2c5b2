/**
 * Pairing by ticket: the book of tickets that live, `ticket/book`. One actor, because it bounds
 * how many there are.
 *
 *   owner.invited ──► live ── ticket.presented, by one key ──► used ── the same key again: the same answer
 *                       └──────────────── timer.expiry ─────────┴──► forgotten, its secret with it
 *
 * A ticket that a second key presents was seen by somebody else: refused, and its owner is told.
 */
import type { PairBegin } from "@kith/shared/protocol/pairing";
import type { ErrorCode } from "@kith/shared/errors";
import { assign, setup } from "xstate";
import type { Effect, Event } from "../runtime/effect.ts";
import { fx } from "../runtime/fx.ts";

export const ticketLimits = { live: 8, leastMs: 60_000, mostMs: 86_400_000 } as const;

export interface Ticket {
  readonly id: string;
  /** The `psk` that its bearer proves to have, hex; see shared/noise/ticket.ts. */
  readonly secret: string;
  /** What the device may ever be asked for. */
  readonly ceiling: readonly string[];
  /** Unix ms. */
  readonly until: number;
  /** key16 of the device that came with it. */
  readonly usedBy?: string;
  /** Its owner has heard that another one came with it. */
  readonly warned?: true;
}

export type TicketEvent = Event & { readonly at: number } & (
    | { readonly type: "gateway.started" }
    | { readonly type: "book.read" }
    | {
        readonly type: "owner.invited";
        readonly ticket: Omit<Ticket, "secret" | "usedBy" | "warned">;
        /** Apart, since the journal keeps no `secret`. */
        readonly secret: string;
        readonly by: string;
      }
    | { readonly type: "owner.withdrew"; readonly ticket: string; readonly by: string }
    | {
        readonly type: "ticket.presented";
        readonly ticket: string;
        /** key16 and static public key (hex) of whoever has it. */
        readonly device: string;
        readonly key: string;
        readonly about: Pick<PairBegin, "name" | "kind" | "os" | "arch" | "agent">;
        readonly source: string;
      }
    | { readonly type: "timer.expiry" }
  );

export interface Book {
  readonly tickets: readonly Ticket[];
}

type Args = { context: Book; event: TicketEvent };

const owe = (effect: (args: Args) => Effect) => ({ type: "fx" as const, params: effect });
const change = (made: (args: Args) => Book) => ({ type: "assign" as const, params: made });
const reply = (value: (args: Args) => unknown) =>
  owe((args) => ({ kind: "reply", value: value(args) }));
const refuse = (code: ErrorCode, message: string) => reply(() => ({ refuse: code, message }));
const note = (what: string, data: (args: Args) => Record<string, unknown> = () => ({})) =>
  owe((args) => ({
    kind: "audit",
    what: `ticket.${what}`,
    data: {
      ...("by" in args.event ? { by: args.event.by } : {}),
      ...("source" in args.event ? { source: args.event.source } : {}),
      ...data(args),
    },
  }));

const live = ({ tickets }: Book, at: number) => tickets.filter(({ until }) => until > at);
const named = ({ context, event }: Args): Ticket | undefined =>
  "ticket" in event && typeof event.ticket === "string"
    ? live(context, event.at).find(({ id }) => id === event.ticket)
    : undefined;
const bearer = ({ event }: Args): string => (event.type === "ticket.presented" ? event.device : "");

/** The door learns what there is now, and the next secret is forgotten in time. */
const announce = [
  owe(({ context, event }) => ({
    kind: "signal",
    topic: "tickets.live",
    data: { tickets: live(context, event.at) },
  })),
  owe(({ context, event }) => {
    const next = Math.min(...context.tickets.map(({ until }) => until));
    return Number.isFinite(next)
      ? {
          kind: "timer",
          name: "expiry",
          inMs: Math.max(0, next - event.at),
          event: { type: "timer.expiry" },
        }
      : { kind: "untimer", name: "expiry" };
  }),
];

const forgetOld = change(({ context, event }) => ({ tickets: live(context, event.at) }));

export const ticketMachine = setup({
  types: { context: {} as Book, input: {} as unknown, events: {} as TicketEvent },
  actions: { fx, assign: assign((_, made: Book) => made) },
}).createMachine({
  id: "ticket",
  options: { maxIterations: 1_000 },
  context: { tickets: [] },
  on: {
    "gateway.started": { actions: [forgetOld, ...announce] },
    "timer.expiry": { actions: [forgetOld, ...announce] },
    "book.read": { actions: reply(({ context, event }) => ({ tickets: live(context, event.at) })) },
    "owner.invited": [
      {
        guard: ({ context, event }) => live(context, event.at).length >= ticketLimits.live,
        actions: refuse(
          "pairing-full",
          `${ticketLimits.live} tickets live already; \`kith pair\` lists them`,
        ),
      },
      {
        actions: [
          change(({ context, event }) => ({
            tickets:
              event.type === "owner.invited"
                ? [...live(context, event.at), { ...event.ticket, secret: event.secret }]
                : context.tickets,
          })),
          note("made", ({ event }) =>
            event.type === "owner.invited"
              ? { ticket: event.ticket.id, caps: event.ticket.ceiling }
              : {},
          ),
          ...announce,
          reply(({ event }) => ({
            until: event.type === "owner.invited" ? event.ticket.until : 0,
          })),
        ],
      },
    ],
    "owner.withdrew": [
      {
        guard: (args) => named(args) !== undefined,
        actions: [
          note("withdrawn", (args) => ({ ticket: named(args)?.id })),
          change((args) => ({
            tickets: args.context.tickets.filter(({ id }) => id !== named(args)?.id),
          })),
          ...announce,
          reply(() => ({ withdrawn: true })),
        ],
      },
      { actions: refuse("ticket-unknown", "no ticket of that id lives") },
    ],
    "ticket.presented": [
      {
        guard: (args) => named(args) !== undefined && named(args)?.usedBy === undefined,
        actions: [
          note("used", (args) => ({ ticket: named(args)?.id, device: bearer(args) })),
          owe((args) => ({
            kind: "tell",
            to: `device/${bearer(args)}`,
            event: {
              type: "device.paired",
              device: bearer(args),
              ...(args.event.type === "ticket.presented" && {
                key: args.event.key,
                about: args.event.about,
              }),
              ceiling: named(args)?.ceiling,
              how: "ticket",
            } as Event,
          })),
          reply(() => ({ again: false })),
          change((args) => ({
            tickets: args.context.tickets.map((one) =>
              one.id === named(args)?.id ? { ...one, usedBy: bearer(args) } : one,
            ),
          })),
        ],
      },
      {
        guard: (args) => named(args) !== undefined && named(args)?.usedBy === bearer(args),
        actions: reply(() => ({ again: true })),
      },
      {
        // Said once: whoever has the line can come with ever new keys.
        guard: (args) => named(args)?.warned === true,
        actions: refuse("pairing-refused", "the ticket was used by another device"),
      },
      {
        guard: (args) => named(args) !== undefined,
        actions: [
          change((args) => ({
            tickets: args.context.tickets.map((one) =>
              one.id === named(args)?.id ? { ...one, warned: true as const } : one,
            ),
          })),
          note("twice", (args) => ({ ticket: named(args)?.id, device: bearer(args) })),
          owe(() => ({
            kind: "signal",
            topic: "notice",
            data: {
              text: "A ticket was used twice, the second time by another device, which was refused. If you did not try it on two devices, somebody saw it: check /devices.",
            },
          })),
          refuse("pairing-refused", "the ticket was used by another device"),
        ],
      },
      { actions: refuse("pairing-refused", "no such ticket") },
    ],
  },
});
