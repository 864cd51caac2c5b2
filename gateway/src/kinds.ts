/** The kinds of actors of this gateway, with their bounds; see runtime/kind.ts. */
import { approvalMachine } from "./grants/approval.machine.ts";
import { deviceMachine } from "./devices/device.machine.ts";
import { pairingMachine } from "./devices/pairing.machine.ts";
import { ticketMachine } from "./devices/ticket.machine.ts";
import type { MachineKind } from "./runtime/kind.ts";
import { sessionMachine } from "./sessions/session.machine.ts";

const mailbox = { normal: 256, control: 32 } as const;
const MINUTE_MS = 60_000;

export const kinds: readonly MachineKind[] = [
  {
    name: "session",
    machine: sessionMachine,
    version: 1,
    migrate: {},
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
