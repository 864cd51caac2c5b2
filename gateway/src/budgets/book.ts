/** The budgets as a table of the runtime: `usage/…`. Whoever asks goes on when the reservation is on disk. */
import { KithError, type Failure, toFailure } from "@kith/shared/errors";
import type { Envelope, Event } from "../runtime/effect.ts";
import { emit } from "../runtime/fx.ts";
import type { TableKind } from "../runtime/kind.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Account, type Amounts, type Limits, type UsageLedger, scopes } from "./usage.ts";

type BookEvent = Event &
  (
    | {
        readonly type: "usage.wanted";
        /** Absent: used now, and not settled later. */
        readonly key?: string;
        readonly account: Account;
        readonly amounts: Amounts;
      }
    | { readonly type: "usage.settled"; readonly key: string; readonly amounts: Amounts }
  );

export const usageBook = (ledger: UsageLedger): TableKind => ({
  name: "usage",
  // All of it is in documents.
  reload: () => {},
  receive: ({ event }: Envelope, at) => {
    const said = event as BookEvent;
    if (said.type === "usage.settled") return ledger.settle(said.key, said.amounts);
    const { key, account, amounts } = said;
    try {
      if (key === undefined) ledger.use(account, amounts, at);
      else ledger.reserve(key, account, amounts, at);
      emit({ kind: "reply", value: {} });
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      emit({ kind: "audit", what: "budget.refused", data: { by: account.by, ...amounts } });
      emit({ kind: "reply", value: { refused: toFailure(error, "none") } });
    }
  },
});

const DEADLINE_MS = 30_000;

/** How those outside of turns ask: questions to a model, tools of the gateway. */
export class Budget {
  readonly #runtime: Pick<Runtime, "ask" | "tell">;
  readonly #isLimited: boolean;

  constructor(runtime: Pick<Runtime, "ask" | "tell">, limits: Limits) {
    this.#runtime = runtime;
    this.#isLimited = scopes.some((scope) => Object.keys(limits[scope] ?? {}).length > 0);
  }

  /**
   * Resolves when it is reserved, on disk; or used, without a key. Where nothing is limited it is counted, and
   * nobody waits for that. @throws KithError budget-spent
   */
  async take(account: Account, amounts: Amounts, key?: string): Promise<void> {
    const event = { type: "usage.wanted", account, amounts, ...(key !== undefined && { key }) };
    if (!this.#isLimited) {
      this.#runtime.tell("usage/book", event as Event);
      return;
    }
    const { refused } = await this.#runtime.ask<{ refused?: Failure }>(
      "usage/book",
      event as Event,
      {
        deadlineMs: DEADLINE_MS,
      },
    );
    if (refused) throw new KithError(refused.code, refused.message);
  }

  /** Told, not waited for: one that a crash loses leaves the reservation, which counts as used. */
  settle(key: string, amounts: Amounts): void {
    this.#runtime.tell("usage/book", { type: "usage.settled", key, amounts } as Event);
  }
}
