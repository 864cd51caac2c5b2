/** A session actor that is told when a call begins and how it ended, and nothing else. */
import type { Event } from "@kith/gateway/runtime/effect";
import type { MachineKind } from "@kith/gateway/runtime/kind";
import { assign, setup } from "xstate";

type Told = Event &
  ({ type: "call.begun"; call: string } | { type: "call.ended"; outcome: { call: string } });

const machine = setup({
  types: { context: {} as { open: readonly string[]; ended: number }, events: {} as Told },
}).createMachine({
  context: { open: [], ended: 0 },
  on: {
    "call.begun": {
      actions: assign({ open: ({ context, event }) => [...context.open, event.call] }),
    },
    "call.ended": {
      actions: assign(({ context, event }) => ({
        open: context.open.filter((call) => call !== event.outcome.call),
        ended: context.ended + 1,
      })),
    },
  },
});

export const toldSession: MachineKind = {
  name: "session",
  machine,
  version: 1,
  migrate: {},
  mailbox: { normal: 256, control: 256 },
  idleMs: 60_000,
  restart: { max: 5, withinMs: 60_000, backoffMs: [100, 30_000] },
};
