/**
 * What models cost, in dollars for a million tokens, as their services' price lists said on the date below.
 * `prices` in config.yaml goes before; what is in neither has no price, and with a budget of money is not asked.
 */
import type { ProviderKind } from "../model/provider.ts";

export interface Price {
  readonly input: number;
  /** Input that came from the service's cache; absent: as much as any. */
  readonly cached?: number | undefined;
  readonly output: number;
}

export const PRICES_OF = "2026-06-01";

/** By how a model's name begins; the longest that fits counts. */
const PRICES: Readonly<Record<string, Price>> = {
  "claude-opus": { input: 15, cached: 1.5, output: 75 },
  "claude-sonnet": { input: 3, cached: 0.3, output: 15 },
  "claude-haiku": { input: 1, cached: 0.1, output: 5 },
  "gpt-5": { input: 1.25, cached: 0.125, output: 10 },
  "gpt-5-mini": { input: 0.25, cached: 0.025, output: 2 },
  "gpt-5-nano": { input: 0.05, cached: 0.005, output: 0.4 },
  "gpt-4.1": { input: 2, cached: 0.5, output: 8 },
  "gpt-4o": { input: 2.5, cached: 1.25, output: 10 },
};
const FREE: Price = { input: 0, cached: 0, output: 0 };

/** Undefined: nobody said. A model on a machine of one's own costs nothing. */
export function priceOf(
  kind: ProviderKind,
  model: string,
  own: Readonly<Record<string, Price>>,
): Price | undefined {
  if (Object.hasOwn(own, model)) return own[model];
  if (kind === "ollama") return FREE;
  const [longest] = Object.keys(PRICES)
    .filter((begin) => model.startsWith(begin))
    .toSorted((a, b) => b.length - a.length);
  return longest === undefined ? undefined : PRICES[longest];
}

/** In millionths of a dollar, rounded up. `input` counts what was cached, too. */
export const costOf = (
  { input, output, cached = input }: Price,
  used: { readonly input: number; readonly cached: number; readonly output: number },
): number =>
  Math.ceil((used.input - used.cached) * input + used.cached * cached + used.output * output);
