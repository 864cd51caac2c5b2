/** What an owner does by a command beside all turns: a row of the audit trail, on disk before it is done. */
import type { Envelope, Event } from "../runtime/effect.ts";
import { emit } from "../runtime/fx.ts";
import type { TableKind } from "../runtime/kind.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { ASK, event } from "./lookup.ts";

type What = "memory.trusted" | "memory.forgotten" | "secret.set" | "secret.removed";

interface Deed extends Event {
  readonly type: "deed.begun";
  readonly what: What;
  /** Names and ids, never a text or a value. */
  readonly data: Readonly<Record<string, unknown>>;
}

export const deedKind: TableKind = {
  name: "deed",
  receive({ event: said }: Envelope) {
    const { what, data } = said as Deed;
    emit({ kind: "audit", what, data });
    emit({ kind: "reply", value: {} });
  },
  reload() {
    // It keeps nothing in memory.
  },
};

/** Resolves when the row is on disk. @throws KithError timeout, disk-full: then it is not done either */
export async function begin(
  runtime: Pick<Runtime, "ask">,
  what: What,
  data: Deed["data"],
): Promise<void> {
  await runtime.ask("deed/book", event({ type: "deed.begun", what, data } as never), ASK);
}
