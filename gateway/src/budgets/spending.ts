/** What a question to a model may cost, reserved before it is asked and settled when it ended. */
import { KithError } from "@kith/shared/errors";
import type { Question } from "../model/model.ts";
import type { Budget } from "./book.ts";
import { type Prices, costOf } from "./prices.ts";
import { type Account, type Amounts, type Limits, scopes } from "./usage.ts";

export interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cached?: number;
  /** Which one answered; absent while nobody knows. */
  readonly model?: string;
}

export class Spending {
  readonly #budget: Budget;
  readonly #limits: Limits;
  readonly #prices: Prices;

  constructor(budget: Budget, limits: Limits, prices: Prices) {
    this.#budget = budget;
    this.#limits = limits;
    this.#prices = prices;
  }

  /** @throws KithError budget-spent */
  async reserve(question: Question, tokens: Tokens): Promise<void> {
    if (!this.#prices() && scopes.some((scope) => this.#limits[scope]?.money !== undefined))
      throw new KithError(
        "budget-spent",
        "there is a budget of money, and nobody knows what this model costs: say it under prices in config.yaml",
      );
    await this.#budget.take(accountOf(question), this.#amounts(tokens), keyOf(question));
  }

  settle(question: Question, tokens: Tokens): void {
    this.#budget.settle(keyOf(question), this.#amounts(tokens));
  }

  #amounts({ model, input, output, cached = 0 }: Tokens): Amounts {
    const price = this.#prices(model);
    const money = price && costOf(price, { input, cached, output });
    return { tokens: input + output, ...(money && { money }) };
  }
}

/** The same at every try: a question that is asked again after a crash is reserved once. */
const keyOf = ({ session, n }: Question): string => `${session}/${n}`;

const accountOf = ({ by, chat, job }: Question): Account => ({
  ...{ by, chat },
  ...(job !== undefined && { job }),
});
