/** The live tree of actors as operators see it: `kith actors`. */
import type { Cell } from "./cell.ts";
import { type Kind, isTable } from "./kind.ts";
import type { Store } from "./store.ts";

export interface ActorNode {
  readonly id: string;
  /** Of its machine; absent while it sleeps, and of tables. */
  readonly state?: unknown;
  /** `asleep`: in memory without its machine, such as between two tries. */
  readonly status: "awake" | "asleep" | "backoff" | "down";
  readonly mailbox: number;
  readonly inFlight: number;
  /** Failures since it is in memory. */
  readonly restarts: number;
  readonly lastError?: string;
  /** Ms since its last turn. */
  readonly idleMs: number;
}

export interface KindNode {
  readonly kind: string;
  readonly table: boolean;
  /** In memory, and on disk alone. */
  readonly live: number;
  readonly asleep: number;
  readonly down: number;
  readonly mailbox: number;
  readonly restarts: number;
  readonly actors: readonly ActorNode[];
}

/** What is in trouble first, then what is busy, then by id. */
export function treeOf(
  kinds: readonly Kind[],
  cells: readonly Cell[],
  store: Pick<Store, "actors">,
  now: number,
): KindNode[] {
  return kinds.map((kind) => {
    const own = cells.filter(({ id }) => id.startsWith(`${kind.name}/`));
    const actors = own
      .map((cell) => node(cell, now))
      .sort(
        (a, b) =>
          Number(b.status === "down") - Number(a.status === "down") ||
          b.restarts - a.restarts ||
          b.mailbox - a.mailbox ||
          (a.id < b.id ? -1 : 1),
      );
    const sum = (of: (one: ActorNode) => number) => actors.reduce((all, one) => all + of(one), 0);
    return {
      kind: kind.name,
      table: isTable(kind),
      live: actors.length,
      asleep: isTable(kind) ? 0 : Math.max(0, store.actors(kind.name).length - actors.length),
      down: sum(({ status }) => Number(status === "down")),
      mailbox: sum(({ mailbox }) => mailbox),
      restarts: sum(({ restarts }) => restarts),
      actors,
    };
  });
}

export function node(cell: Cell, now: number): ActorNode {
  const { id, state, restarts, lastError } = cell;
  const awake = state !== undefined || cell.table !== undefined;
  return {
    id,
    ...(state === undefined ? {} : { state }),
    status: cell.status === "live" ? (awake ? "awake" : "asleep") : cell.status,
    mailbox: cell.mailbox.size,
    inFlight: cell.inFlight,
    restarts,
    ...(lastError === undefined ? {} : { lastError }),
    idleMs: Math.round(now - cell.lastAt),
  };
}
