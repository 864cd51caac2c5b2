/**
 * One paired device, `device/<key16>`.
 *
 *   paired ─── boots.alternated ──► held      (a copied key: nobody gets in until the owner decides)
 *     │  ▲───── owner.released ──────┘
 *     └──────── owner.revoked ─────► revoked  (for good: a device comes back only by pairing again)
 *
 * In every state device.paired, with both codes, begins anew and ends all earlier rights.
 * It numbers the device's links: the new epoch is on disk before `welcome` leaves, so a
 * process that was replaced can never outrank the one that replaced it. Which link is live
 * now is nobody's state but the socket's (presence.ts).
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { ceilingAfter } from "@kith/shared/tailnet/ceiling";
import type { PairBegin } from "@kith/shared/protocol/pairing";
import type { Hello, Offered } from "@kith/shared/protocol/session";
import { assign, setup } from "xstate";
import type { Effect, Event } from "../runtime/effect.ts";
import { fx } from "../runtime/fx.ts";
import type { DeviceKind, DeviceRow, OfferedSet, TailnetFacts } from "./device.ts";

/** A, B, A, B: as many boots that come back within a minute mean a copied key. */
const RETURNS = 2;
const ALTERNATION_MS = 60_000;

type About = Pick<PairBegin, "name" | "kind" | "os" | "arch" | "agent">;

export type DeviceEvent = Event & { readonly at: number } & (
    | {
        readonly type: "device.paired";
        readonly id: string;
        readonly device: string;
        readonly key: string;
        readonly about: About;
        readonly ceiling: readonly string[];
        readonly how: "code" | "ticket" | "local";
      }
    | { readonly type: "link.asked"; readonly hello: Hello; readonly tailnet?: TailnetFacts }
    | { readonly type: "tailnet.changed"; readonly tailnet: TailnetFacts }
    | { readonly type: "link.up"; readonly epoch: number }
    | { readonly type: "link.down"; readonly epoch: number; readonly why: string }
    | {
        readonly type: "caps.advertised";
        readonly hash: Uint8Array;
        readonly caps: readonly Offered[];
        readonly locked?: boolean;
        readonly epoch: number;
      }
    | { readonly type: "device.offended"; readonly how: "claim" | "break" }
    | { readonly type: "owner.renamed"; readonly name: string; readonly by: string }
    | { readonly type: "owner.widened"; readonly cap: string; readonly by: string }
    | { readonly type: "owner.released"; readonly by: string }
    | { readonly type: "owner.revoked"; readonly by: string }
  );

interface Context {
  readonly row: DeviceRow;
  /** When its owner was last told that our data is older than the device's memory, Unix ms. */
  readonly warnedAt?: number;
  /** When its owner was last told that it says what is not its to say, Unix ms. */
  readonly offendedAt?: number;
  /** Recent starts of the device's agent: a key that was copied shows here. */
  readonly boots: readonly { readonly boot: string; readonly at: number }[];
}

type Args = { context: Context; event: DeviceEvent };

const owe = (effect: (args: Args) => Effect) => ({ type: "fx" as const, params: effect });

const keep = owe(({ context: { row } }) => ({
  kind: "put",
  table: "device",
  id: row.id,
  open: true,
  body: row,
}));

const note = (what: string, more: (args: Args) => Record<string, unknown> = () => ({})) =>
  owe((args) => ({
    kind: "audit",
    what: `device.${what}`,
    data: {
      device: args.context.row.id,
      name: args.context.row.name,
      ...("by" in args.event ? { by: args.event.by } : {}),
      ...more(args),
    },
  }));

const reply = (value: (args: Args) => unknown) =>
  owe((args) => ({ kind: "reply", value: value(args) }));

const change = (row: (args: Args) => Partial<DeviceRow>) => ({
  type: "assign" as const,
  params: (args: Args) => ({ row: { ...args.context.row, ...row(args) } }),
});

const hello = (event: DeviceEvent): Hello => {
  if (event.type !== "link.asked") throw new Error("no hello in this event");
  return event.hello;
};

/** A node that lies about it again and again fills neither the chat nor the audit. */
const WARN_AGAIN_MS = 3_600_000;

/** A node that saw a higher epoch than we have stored: our data is older than its memory. */
const restored = ({ context, event }: Args) =>
  hello(event).last_epoch > context.row.epoch &&
  event.at - (context.warnedAt ?? -WARN_AGAIN_MS) >= WARN_AGAIN_MS;

const offendedAgain = ({ context, event }: Args) =>
  event.at - (context.offendedAt ?? -WARN_AGAIN_MS) >= WARN_AGAIN_MS;

/** Boots that came back after another one had taken over; a hello that was late on its way does so once. */
const alternating = ({ context, event }: Args): boolean => {
  const recent = context.boots.filter(({ at }) => event.at - at < ALTERNATION_MS);
  const boots = [...recent.map(({ boot }) => boot), hello(event).boot];
  const returned = boots.map(
    (boot, at) => boot !== boots[at - 1] && boots.slice(0, Math.max(0, at - 1)).includes(boot),
  );
  return returned.at(-1) === true && returned.filter(Boolean).length >= RETURNS;
};

const numberLink = change(({ context: { row }, event }) => {
  const { last_epoch, name: _, kind, os, arch, agent, ledger } = hello(event);
  const epoch = Math.max(row.epoch, last_epoch) + 1;
  const tailnet = event.type === "link.asked" ? event.tailnet : undefined;
  return {
    epoch,
    ...(tailnet && { tailnet: { ...learnt(row, tailnet), epoch } }),
    kind: kind as DeviceKind,
    os,
    arch,
    agent,
    ledger,
    seenAt: event.at,
  };
});

const rememberBoot = {
  type: "assign" as const,
  params: ({ context, event }: Args) => ({
    boots: [...context.boots.slice(-7), { boot: hello(event).boot, at: event.at }],
  }),
};

const welcome = reply(({ context: { row } }) => ({ epoch: row.epoch }));

/** Calls that wait may be beyond what the tailnet's policy permits now. */
const capped = owe(() => ({
  kind: "tell",
  to: "invocation/*",
  event: { type: "ceiling.changed" } as Event,
}));

/**
 * What is known after the tailnet said that. Where a ceiling was seen, another machine in its place permits
 * nothing, and is not taken for it: its owner pairs the device anew.
 */
const learnt = ({ tailnet: before }: DeviceRow, now: TailnetFacts): TailnetFacts => {
  const may = ceilingAfter(before, now);
  const known = before?.may && before.node !== now.node ? before : now;
  return { ...known, ...(may && { may }) };
};

const differs = (one: unknown, other: unknown) => JSON.stringify(one) !== JSON.stringify(other);

/** Another ceiling, or another machine that is taken for it: that is told, once. */
const otherCeiling = ({ context: { row }, event }: Args): boolean => {
  if (event.type !== "tailnet.changed" || !row.tailnet) return false;
  const now = learnt(row, event.tailnet);
  return differs(row.tailnet.may, now.may) || row.tailnet.node !== now.node;
};

/** Another name or another person: only kept, since a device's name is its own to change, all day long. */
const otherNames = ({ context: { row }, event }: Args): boolean => {
  if (event.type !== "tailnet.changed" || !row.tailnet) return false;
  const { epoch } = row.tailnet;
  return differs(row.tailnet, { ...learnt(row, event.tailnet), epoch });
};

const learn = change(({ context: { row }, event }) =>
  event.type === "tailnet.changed" && row.tailnet
    ? { tailnet: { ...learnt(row, event.tailnet), epoch: row.tailnet.epoch } }
    : {},
);

const birth = (event: DeviceEvent): DeviceRow => {
  if (event.type !== "device.paired") throw new Error("a device begins by pairing");
  return {
    ...event.about,
    id: event.device,
    key: event.key,
    state: "paired",
    ceiling: event.ceiling,
    // Not paired before: the first pairing raises nothing.
    pairedAt: 0,
    seenAt: event.at,
    epoch: 0,
    revocation: 0,
  };
};

/** Paired, for the first time or anew: no right of an earlier pairing is left, whatever the clock says. */
const pair = {
  type: "assign" as const,
  params: ({ context: { row }, event }: Args) => {
    // Nor what a tailnet said of it: whoever is paired now may be another machine.
    const { tailnet: _, ...rest } = row;
    return { row: { ...rest, ...afresh(row, event) } };
  },
};
const afresh = (row: DeviceRow, event: DeviceEvent): Partial<DeviceRow> =>
  event.type === "device.paired"
    ? {
        ...event.about,
        state: "paired",
        ceiling: event.ceiling,
        revocation: row.revocation + (row.pairedAt === 0 ? 0 : 1),
        pairedAt: event.at,
        seenAt: event.at,
      }
    : {};
/**
 * Until the device says what it offers now, what it named while pairing is taken as there: it is
 * usable at once, and it has the last word on its own policy anyway.
 */
const presumed = (ceiling: readonly string[]): OfferedSet => ({
  hash: new Uint8Array(32),
  caps: ceiling.flatMap((cap) => {
    const known = catalogue.get(cap);
    if (!known) return [];
    const { version, effect, ttlMs } = known;
    const now = { state: "ready", policy: "allow", foreground: false, parallel: 1 } as const;
    return [{ cap, v: version, effect, ...now, max_ms: ttlMs, max_bytes: 0 }];
  }),
});

const paired = [
  pair,
  keep,
  owe(({ context: { row } }) => ({
    kind: "put",
    table: "device",
    id: `caps/${row.id}`,
    open: true,
    body: presumed(row.ceiling),
  })),
  note("paired", ({ event }) =>
    event.type === "device.paired" ? { how: event.how, caps: event.ceiling } : {},
  ),
  // Calls and grants that rest on the earlier pairing end with it.
  owe(({ context: { row } }) => ({
    kind: "tell",
    to: "invocation/*",
    event: { type: "device.revoked", device: row.id } as Event,
  })),
  reply(({ context }) => context.row),
  owe(({ context: { row }, event }) => ({
    kind: "signal",
    topic: "device.paired",
    data: { row, how: event.type === "device.paired" ? event.how : "" },
  })),
];

export const deviceMachine = setup({
  types: { context: {} as Context, input: {} as { event: DeviceEvent }, events: {} as DeviceEvent },
  actions: { fx, assign: assign((_, change: Partial<Context>) => change) },
}).createMachine({
  id: "device",
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ row: birth(input.event), boots: [] }),
  initial: "paired",
  on: {
    "owner.renamed": {
      actions: [
        change(({ context, event }) => ({
          name: event.type === "owner.renamed" ? event.name : context.row.name,
        })),
        keep,
        note("renamed"),
        reply(({ context }) => context.row),
      ],
    },
    "owner.widened": {
      actions: [
        change(({ context: { row }, event }) =>
          event.type === "owner.widened" && !row.ceiling.includes(event.cap)
            ? { ceiling: [...row.ceiling, event.cap] }
            : {},
        ),
        keep,
        note("widened", ({ event }) => (event.type === "owner.widened" ? { cap: event.cap } : {})),
        reply(({ context }) => context.row),
      ],
    },
  },
  states: {
    paired: {
      on: {
        // The birth, and the same device pairing again: its rights start anew, its history stays.
        "device.paired": { actions: paired },
        "link.asked": [
          {
            guard: alternating,
            target: "held",
            actions: [
              rememberBoot,
              change(() => ({ state: "held" })),
              keep,
              note("held"),
              owe(({ context: { row } }) => ({
                kind: "signal",
                topic: "device.held",
                data: { device: row.id },
              })),
              owe(({ context: { row } }) => ({
                kind: "signal",
                topic: "notice",
                data: {
                  text: `Two agents take turns with the key of ${row.name}: it may have been copied. Both are kept out: /revoke ${row.name}, or \`kith devices release ${row.name}\` if it was you.`,
                },
              })),
              reply(() => ({ refuse: "duplicate" })),
            ],
          },
          {
            guard: restored,
            actions: [
              { type: "assign" as const, params: ({ event }: Args) => ({ warnedAt: event.at }) },
              note("restored", ({ context, event }) => ({
                stored: context.row.epoch,
                seen: hello(event).last_epoch,
              })),
              numberLink,
              rememberBoot,
              keep,
              owe(({ context }) => ({
                kind: "signal",
                topic: "notice",
                data: {
                  text: `${context.row.name} remembers more than this gateway: its data is an older copy. Open calls are checked with the device first.`,
                },
              })),
              welcome,
            ],
          },
          { actions: [numberLink, rememberBoot, keep, welcome] },
        ],
        "link.up": {
          actions: note("connected", ({ context: { row }, event }) => {
            if (event.type !== "link.up") return {};
            const { epoch } = event;
            return { epoch, ...(row.tailnet?.epoch === epoch && { tailnet: row.tailnet }) };
          }),
        },
        "tailnet.changed": [
          {
            guard: otherCeiling,
            actions: [
              learn,
              keep,
              note("tailnet", ({ context: { row }, event }) => ({
                tailnet: row.tailnet,
                ...(event.type === "tailnet.changed" &&
                  event.tailnet.node !== row.tailnet?.node && { found: event.tailnet }),
              })),
              capped,
            ],
          },
          { guard: otherNames, actions: [learn, keep] },
        ],
        "link.down": {
          actions: [
            change(({ event }) => ({ seenAt: event.at })),
            keep,
            note("disconnected", ({ event }) =>
              event.type === "link.down" ? { epoch: event.epoch, why: event.why } : {},
            ),
          ],
        },
        "caps.advertised": {
          actions: [
            owe(({ context: { row }, event }) => ({
              kind: "put",
              table: "device",
              id: `caps/${row.id}`,
              open: true,
              body:
                event.type === "caps.advertised"
                  ? {
                      ...{ hash: event.hash, caps: event.caps },
                      ...(event.locked && { locked: true }),
                    }
                  : {},
            })),
            owe(({ context: { row }, event }) => ({
              kind: "signal",
              topic: "caps.stored",
              data: { device: row.id, epoch: event.type === "caps.advertised" ? event.epoch : 0 },
            })),
          ],
        },
        // Cut off by its link already; here it is only said, and no more often than people can bear.
        "device.offended": {
          guard: offendedAgain,
          actions: [
            { type: "assign" as const, params: ({ event }: Args) => ({ offendedAt: event.at }) },
            note("offended", ({ event }) =>
              event.type === "device.offended" ? { how: event.how } : {},
            ),
            owe(({ context: { row } }) => ({
              kind: "signal",
              topic: "notice",
              data: {
                text: `${row.name} keeps sending what is not its to say, and is cut off for a minute each time. Nothing came of it. If it goes on, look at the device, or /revoke ${row.name}.`,
              },
            })),
          ],
        },
        "owner.revoked": "revoked",
      },
    },
    held: {
      on: {
        "device.offended": {},
        "link.asked": { actions: reply(() => ({ refuse: "duplicate" })) },
        "owner.released": {
          target: "paired",
          actions: [
            change(() => ({ state: "paired" })),
            { type: "assign" as const, params: { boots: [] } },
            keep,
            note("released"),
            reply(({ context }) => context.row),
          ],
        },
        // Pairing anew, with both codes, is the owner's decision too.
        "device.paired": {
          target: "paired",
          actions: [...paired, { type: "assign" as const, params: { boots: [] } }],
        },
        "owner.revoked": "revoked",
        "link.down": {},
        "link.up": {},
        "tailnet.changed": {},
        "caps.advertised": {},
      },
    },
    revoked: {
      entry: [
        change(({ context: { row } }) => ({ state: "revoked", revocation: row.revocation + 1 })),
        keep,
        note("revoked"),
        owe(({ context: { row } }) => ({
          kind: "signal",
          topic: "device.revoked",
          data: { device: row.id },
        })),
        owe(({ context: { row } }) => ({
          kind: "tell",
          to: "invocation/*",
          event: { type: "device.revoked", device: row.id } as Event,
        })),
        reply(({ context }) => context.row),
      ],
      on: {
        "link.asked": { actions: reply(() => ({ refuse: "revoked" })) },
        "device.offended": {},
        "link.up": {},
        "link.down": {},
        "tailnet.changed": {},
        "caps.advertised": {},
        // Pairing anew, with both codes: the same key starts from nothing.
        "device.paired": { target: "paired", actions: paired },
      },
    },
  },
});
