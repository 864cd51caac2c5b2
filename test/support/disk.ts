/**
 * A disk in memory: what survives a crash, and a `Store` on it that one process uses. It makes
 * the changes as store/writer.ts does and copies all that goes in and out, so that nobody shares
 * live objects with it.
 */
import type { ActorId, Envelope, Event, Table } from "@kith/gateway/runtime/effect";
import type {
  DeadLetter,
  Opened,
  Saved,
  Step,
  StepEnd,
  Store,
  Timer,
  Write,
} from "@kith/gateway/runtime/store";
import { KithError } from "@kith/shared/errors";

export interface JournalRow {
  readonly actor: ActorId;
  readonly seq: number;
  readonly at: number;
  readonly event: Event & Record<string, unknown>;
}

/** The rows, open to whoever checks them. */
export class Disk {
  epoch = 0;
  clean = true;
  lastWallMs = 0;
  /** Commits that were made. */
  commits = 0;
  readonly actors = new Map<ActorId, Saved>();
  readonly inbox = new Map<string, { env: Envelope; attempts: number }>();
  readonly seen = new Set<string>();
  readonly steps = new Map<string, { step: Step; end?: StepEnd }>();
  readonly timers = new Map<string, Timer>();
  readonly documents = new Map<string, { open: boolean; at: number; body: unknown }>();
  readonly audit: { what: string; data: Readonly<Record<string, unknown>> }[] = [];
  readonly dead: DeadLetter[] = [];
  #letters = 0;
  readonly journal: JournalRow[] = [];

  /** Takes them as they are: `storeOn` has copied them. */
  apply(writes: readonly Write[]): void {
    for (const write of writes) {
      this.#change(write);
      if ("at" in write) this.lastWallMs = Math.max(this.lastWallMs, write.at);
    }
    this.commits++;
  }

  #change(write: Write): void {
    switch (write.k) {
      case "actor": {
        const { k: _, id, ...saved } = write;
        this.actors.set(id, saved);
        return;
      }
      case "journal": {
        const { k: _, ...row } = write;
        this.journal.push(row as JournalRow);
        return;
      }
      case "accept": {
        const key = keyOf(write.env.to, write.env.msg);
        if (this.inbox.has(key) || this.seen.has(key)) return;
        this.inbox.set(key, { env: write.env, attempts: 0 });
        return;
      }
      case "taken":
        this.inbox.delete(keyOf(write.to, write.msg));
        this.seen.add(keyOf(write.to, write.msg));
        return;
      case "step":
        if (this.steps.has(write.step.id)) throw new Error(`step ${write.step.id} twice`);
        this.steps.set(write.step.id, { step: write.step });
        return;
      case "stepEnd": {
        const row = this.steps.get(write.id);
        if (row) row.end = write.state;
        return;
      }
      case "timer":
        this.timers.set(`${write.timer.actor} ${write.timer.name}`, write.timer);
        return;
      case "untimer":
        this.timers.delete(`${write.actor} ${write.name}`);
        return;
      case "audit":
        this.audit.push({ what: write.what, data: write.data });
        return;
      case "put": {
        const { open, at, body } = write;
        this.documents.set(`${write.table} ${write.id}`, { open, at, body });
        return;
      }
      case "dead":
        this.dead.push({ n: ++this.#letters, env: write.env, error: write.error, at: write.at });
        return;
      case "undead":
        this.dead.splice(
          this.dead.findIndex(({ n }) => n === write.n),
          1,
        );
        return;
      case "attempt": {
        const row = this.inbox.get(keyOf(write.to, write.msg));
        if (row) row.attempts = write.attempts;
        return;
      }
    }
  }
}

export const keyOf = (to: ActorId, msg: string): string => `${to} ${msg}`;

/** Decides when a commit is made, and whether at all: `write` makes it. */
export type Committing = (write: () => void, writes: readonly Write[]) => Promise<void>;

/** What one process sees of the disk. */
export function storeOn(disk: Disk, commit: Committing): Store {
  const epoch = disk.epoch + 1;
  const copy = <T>(value: T): T => structuredClone(value);
  return {
    async open(): Promise<Opened> {
      const { clean, lastWallMs } = disk;
      disk.epoch = epoch;
      disk.clean = false;
      return { epoch, clean, lastWallMs };
    },
    commit(writes) {
      const packed = copy(writes);
      const write = (): void => {
        if (disk.epoch !== epoch) throw new KithError("store-fenced", "another one took over");
        disk.apply(packed);
      };
      return commit(write, packed);
    },
    load: (id) => copy(disk.actors.get(id)),
    actors: (kind) =>
      [...disk.actors]
        .filter(([, saved]) => saved.kind === kind && saved.status !== "final")
        .map(([id]) => id)
        .toSorted(),
    seen: (to, msg) => disk.seen.has(keyOf(to, msg)) || disk.inbox.has(keyOf(to, msg)),
    inbox: () => copy([...disk.inbox.values()]),
    steps: () => copy([...disk.steps.values()].filter(({ end }) => !end).map(({ step }) => step)),
    openOrders: () =>
      new Set(
        [...disk.steps.values()].flatMap(({ step, end }) =>
          end || step.order === undefined ? [] : [step.order],
        ),
      ),
    timers: () => copy([...disk.timers.values()].toSorted((a, b) => a.due - b.due)),
    openDocuments: (table) => copy(rows(disk, table).filter(({ open }) => open)),
    document: (table, id) => copy(disk.documents.get(`${table} ${id}`)?.body),
    documents: (table, limit) => copy(rows(disk, table).slice(0, limit)),
    // Nobody writes transcripts here.
    spoken: () => [],
    lastStep: () => 0,
    series: (table, owner, limit, from = "") =>
      copy(
        rows(disk, table)
          .filter(({ id }) => id.startsWith(`${owner}/`) && id >= from)
          .toSorted((a, b) => (a.id < b.id ? -1 : 1))
          .slice(-limit),
      ),
    audit: () => [],
    journal: (actor, limit) =>
      copy(
        disk.journal
          .filter((row) => row.actor === actor)
          .slice(-limit)
          .toReversed(),
      ),
    dead: (limit) => copy(disk.dead.toReversed().slice(0, limit)),
    verifyAudit: () => ({ ok: true, rows: disk.audit.length, head: "" }),
    async close() {
      disk.clean = true;
    },
  };
}

function rows(disk: Disk, table: Table) {
  return [...disk.documents]
    .filter(([key]) => key.startsWith(`${table} `))
    .map(([key, { open, at, body }]) => ({ id: key.slice(table.length + 1), open, at, body }))
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
}
