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

export type Prices = (model?: string) => Price | undefined;

/** Of one of these models; without a name, the dearest that any may be: undefined where one has no price. */
export function pricesOf(
  models: readonly { readonly provider: ProviderKind; readonly name: string }[],
  own: Readonly<Record<string, Price>>,
): Prices {
  const known = new Map(models.map(({ provider, name }) => [name, priceOf(provider, name, own)]));
  const all = [...known.values()];
  const most = (field: keyof Price) => Math.max(0, ...all.map((price) => price?.[field] ?? 0));
  const dearest = { input: most("input"), output: most("output") };
  return (model) =>
    model !== undefined && known.has(model)
      ? known.get(model)
      : all.includes(undefined)
        ? undefined
        : dearest;
}

/** In millionths of a dollar, rounded up. `input` counts what was cached, too. */
export const costOf = (
  { input, output, cached = input }: Price,
  used: { readonly input: number; readonly cached: number; readonly output: number },
): number =>
  Math.ceil((used.input - used.cached) * input + used.cached * cached + used.output * output);
