/** The kinds of actors of this gateway, with their bounds; see runtime/kind.ts. */
import { approvalMachine } from "./grants/approval.machine.ts";
import { deviceMachine } from "./devices/device.machine.ts";
import { pairingMachine } from "./devices/pairing.machine.ts";
import { ticketMachine } from "./devices/ticket.machine.ts";
import type { MachineKind } from "./runtime/kind.ts";
import { scheduleMachine } from "./schedules/schedule.machine.ts";
import { sessionMachine } from "./sessions/session.machine.ts";
import { NO_TALK, type Talk } from "./sessions/talk.ts";

const mailbox = { normal: 256, control: 32 } as const;
const MINUTE_MS = 60_000;

/** A conversation of before keeps its rows; a turn that was under way is not gone on with, and counts as tainted. */
function talkAnew(old: unknown): unknown {
  const snapshot = old as { readonly context: { readonly talk?: { readonly items: number } } };
  const { talk, ...context } = snapshot.context;
  if (!talk) return old;
  const anew: Talk = { ...NO_TALK, items: talk.items, labels: ["private", "untrusted"] };
  return { ...snapshot, context: { ...context, talk: anew } };
}

export const kinds: readonly MachineKind[] = [
  {
    name: "session",
    machine: sessionMachine,
    version: 3,
    // 3: tasks come to an end.
    migrate: { 1: talkAnew, 2: (old) => old },
    mailbox,
    idleMs: MINUTE_MS,
    restart: { max: 5, withinMs: MINUTE_MS, backoffMs: [100, 30_000] },
  },
  {
    name: "device",
    machine: deviceMachine,
    version: 1,
    migrate: {},
    mailbox,
    idleMs: MINUTE_MS,
    restart: { max: 10, withinMs: MINUTE_MS, backoffMs: [100, 30_000] },
  },
  {
    name: "approval",
    machine: approvalMachine,
    version: 1,
    migrate: {},
    mailbox,
    idleMs: 5_000,
    restart: { max: 3, withinMs: MINUTE_MS, backoffMs: [100, 5_000] },
  },
  {
    name: "schedule",
    machine: scheduleMachine,
    version: 1,
    migrate: {},
    mailbox,
    idleMs: 5_000,
    restart: { max: 5, withinMs: MINUTE_MS, backoffMs: [100, 30_000] },
  },
  {
    name: "pairing",
    machine: pairingMachine,
    version: 1,
    migrate: {},
    mailbox,
    idleMs: MINUTE_MS,
    restart: { max: 3, withinMs: MINUTE_MS, backoffMs: [100, 5_000] },
  },
  {
    name: "ticket",
    machine: ticketMachine,
    version: 1,
    migrate: {},
    mailbox,
    idleMs: MINUTE_MS,
    restart: { max: 3, withinMs: MINUTE_MS, backoffMs: [100, 5_000] },
  },
];
