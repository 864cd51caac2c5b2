/** "Journal off", for comparison only: a store and a ledger that forget the calls. */
import type { ActorId } from "@kith/gateway/runtime/effect";
import type { Saved, Store, Timer } from "@kith/gateway/runtime/store";
import type { Ledger } from "@kith/node-agent/ledger";
import type { Row } from "@kith/node-agent/ledger-rows";

/** Commits at once and keeps only what a link needs: the device's actor and its rows. */
export function forgetfulStore(): Store {
  const actors = new Map<ActorId, Saved>();
  const documents = new Map<string, { open: boolean; body: unknown }>();
  const done = Promise.resolve();
  return {
    open: async () => ({ epoch: 1, clean: true, lastWallMs: 0 }),
    commit(writes) {
      for (const write of writes) {
        if (write.k === "actor") actors.set(write.id, write);
        else if (write.k === "put" && write.table !== "call")
          documents.set(`${write.table} ${write.id}`, write);
      }
      return done;
    },
    load: (id) => actors.get(id),
    actors: () => [],
    seen: () => false,
    inbox: () => [],
    steps: () => [],
    openOrders: () => new Set(),
    timers: (): Timer[] => [],
    openDocuments: () => [],
    document: (table, id) => documents.get(`${table} ${id}`)?.body,
    documents: () => [],
    spoken: () => [],
    lastStep: () => 0,
    series: () => [],
    audit: () => [],
    journal: () => [],
    dead: () => [],
    verifyAudit: () => ({ ok: true, rows: 0, head: "" }),
    close: () => done,
  };
}

/** The part of a ledger that serving calls asks for; nothing of it is written. */
export function forgetfulLedger(id: string): Ledger {
  const done = Promise.resolve();
  return {
    id,
    floor: 0,
    get: () => undefined,
    burnedBy: () => undefined,
    *streams() {},
    receive: (frame: Row, digest: string): [Row, Promise<void>] => [
      { ...frame, digest, at: 0, state: "received", starts: 0 },
      done,
    ],
    run: () => done,
    end: () => done,
    terminal: () => undefined,
    close: () => done,
    // The rest of the class is not asked for here.
  } as unknown as Ledger;
}
