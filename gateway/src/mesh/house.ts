/** What all connections of one mesh share: who we are, whom we ask, whose time it is. */
import type { Clock, Rng } from "@kith/shared/clock";
import type { KeyId } from "@kith/shared/ids";
import type { KeyPair } from "@kith/shared/noise/keys";
import type { TailnetFacts } from "../devices/device.ts";
import type { LinkHandlers, PairingHandlers, TicketHandlers } from "../devices/link.ts";

/** Where a connection comes from: for people and the tailnet, never identity. */
export interface Source {
  readonly source: string;
  readonly port: number;
}

export interface HouseOptions {
  readonly gateway: { readonly id: KeyId; readonly name: string; readonly keys: KeyPair };
  readonly handlers: LinkHandlers;
  readonly pairing: PairingHandlers;
  readonly tickets: TicketHandlers;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Where there is a tailnet. */
  readonly tailnet?: {
    /** Who is behind that address and port, if it came by the tailnet. Soon, whatever happens; never rejects. */
    facts(address: string, port: number): Promise<TailnetFacts | undefined>;
  };
  /** For the operator: our own words and our own errors, never a peer's text, never a key. */
  readonly log: (what: string, error?: unknown) => void;
}

export interface House extends HouseOptions {
  /** Last writes of streams whose link is over; a resume on the next link waits for them. */
  readonly writing: ReadonlyMap<string, Promise<void>>;
  stillWriting(stream: string, done: Promise<void>): void;
  /** When the newest link of each device that said hello was made, on the monotonic clock. */
  readonly newest: Map<KeyId, number>;
}

export function house(options: HouseOptions): House {
  const writing = new Map<string, Promise<void>>();
  return {
    ...options,
    writing,
    newest: new Map(),
    stillWriting(stream, done) {
      const last = Promise.all([writing.get(stream), done]).then(() => {
        if (writing.get(stream) === last) writing.delete(stream);
      });
      writing.set(stream, last);
    },
  };
}

/** The end of the event-loop turn: control frames sent until then share a message. */
export const soon = (fn: () => void): void => void setImmediate(fn);
