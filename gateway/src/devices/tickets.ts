/** Between strangers who prove a ticket and the book of tickets; `mesh/` has the keys and the socket. */
import { KithError } from "@kith/shared/errors";
import { fromHex, hex, keyId } from "@kith/shared/ids";
import type { Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type DeviceRow, deviceRows } from "./device.ts";
import type { TicketHandlers } from "./link.ts";
import { paired } from "./paired.ts";
import { freeName } from "./resolve.ts";
import type { Ticket } from "./ticket.machine.ts";

const BOOK = "ticket/book";
const ASK = { deadlineMs: 10_000 } as const;
type Answer =
  | { readonly again: boolean }
  | { readonly refuse: "pairing-refused"; readonly message: string };

export function ticketHandlers(runtime: Runtime): TicketHandlers {
  let tickets: readonly { readonly id: string; readonly psk: Uint8Array }[] = [];
  runtime.on<{ tickets: readonly Ticket[] }>("tickets.live", (now) => {
    tickets = now.tickets.map(({ id, secret }) => ({ id, psk: fromHex(secret) }));
  });

  return {
    live: () => tickets,
    async redeem(ticket, { key, about: { name, kind, os, arch, agent }, source }) {
      const device = keyId(key);
      const answer = await runtime.ask<Answer>(
        BOOK,
        {
          type: "ticket.presented",
          ...{ ticket, device, source },
          key: hex(key),
          about: {
            name: freeName(name, deviceRows(runtime.documents), device),
            ...{ kind, os, arch, agent },
          },
        } as Event,
        ASK,
      );
      if ("refuse" in answer) throw new KithError(answer.refuse, answer.message);
      const known = runtime.documents.get<DeviceRow>("device", device);
      // Our last answer was lost. What its owner revoked meanwhile does not come back by it.
      if (answer.again && known && known.state !== "paired")
        throw new KithError("pairing-refused", "the device was revoked since");
      const row = answer.again && known ? known : await paired(runtime, device);
      return { device: row.id, name: row.name, ceiling: [...row.ceiling] };
    },
  };
}
