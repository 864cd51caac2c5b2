/**
 * Open documents in memory: what decisions read. Changed when a turn asks for it, before the
 * commit, so that two turns of one batch cannot both use a one-use grant; read again from
 * disk when a commit was rolled back. Nothing acts on the outside before the commit.
 */
import type { Table } from "./effect.ts";
import type { Store } from "./store.ts";

const TABLES: readonly Table[] = [
  "device",
  "grant",
  "call",
  "setting",
  "person",
  "identity",
  "chat",
  "usage",
  "schedule",
];

export class Documents {
  readonly #store: Pick<Store, "openDocuments" | "document">;
  readonly #tables = new Map<Table, Map<string, unknown>>();
  /** As `list` gave them: decisions look through whole tables, which hardly ever change. */
  readonly #lists = new Map<Table, readonly unknown[]>();

  constructor(store: Pick<Store, "openDocuments" | "document">) {
    this.#store = store;
  }

  reload(): void {
    this.#lists.clear();
    for (const table of TABLES) {
      this.#tables.set(
        table,
        new Map(this.#store.openDocuments(table).map(({ id, body }) => [id, body])),
      );
    }
  }

  put(table: Table, id: string, open: boolean, body: unknown): void {
    this.#lists.delete(table);
    if (open) this.#tables.get(table)?.set(id, body);
    else this.#tables.get(table)?.delete(id);
  }

  /** An open document, or undefined. The caller owns the table and so knows the shape. */
  get<T>(table: Table, id: string): T | undefined {
    return this.#tables.get(table)?.get(id) as T | undefined;
  }

  /** Also one that is closed, from disk. */
  find<T>(table: Table, id: string): T | undefined {
    return this.get<T>(table, id) ?? (this.#store.document(table, id) as T | undefined);
  }

  openIds(table: Table): string[] {
    return [...(this.#tables.get(table)?.keys() ?? [])];
  }

  /** The open documents of a table; the same list until one of them changes. */
  list<T>(table: Table): readonly T[] {
    let list = this.#lists.get(table);
    if (!list) this.#lists.set(table, (list = [...(this.#tables.get(table)?.values() ?? [])]));
    return list as readonly T[];
  }
}
