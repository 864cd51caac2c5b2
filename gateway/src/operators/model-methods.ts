/** What an operator may ask about the language models. */
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { type ModelSettings, model as settings, readSecret, setModel } from "../config.ts";
import { type Choice, type Counted, ModelFailure } from "../model/provider.ts";
import { find, places } from "../model/providers/found.ts";
import { openProvider } from "../model/providers/open.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, atCommandLine, method } from "./method.ts";
import { table } from "./text.ts";

const PATIENCE_MS = 60_000;
/** To list what a service has. */
const LIST_MS = 10_000;
const SHORT = { system: "Answer with the one word: ready.", tools: [], maxTokens: 64 } as const;
const NONE =
  "No model is set up. The commands work without one: /help. docs/config.md says how to add one.";

export function modelMethods({ model, clock, home }: MethodsOptions): [string, Method][] {
  const choices = (): readonly Choice[] =>
    model ? (model.provider.choices?.() ?? [{ ...model, state: "well" }]) : [];
  return [
    [
      "models.list",
      method(NOTHING, () => {
        const all = choices();
        const models = all.map(({ name, kind, state, why, restMs }) => ({
          ...{ model: name, provider: kind, state },
          ...(restMs !== undefined && { rest_s: Math.ceil(restMs / 1_000) }),
          ...(why !== undefined && { why }),
        }));
        const lines = models.map(({ model, provider, state, rest_s, why }) => [
          ...[model, provider, rest_s === undefined ? state : `${state} for ${rest_s} s`],
          why ?? "",
        ]);
        return { out: { models }, text: lines.length > 0 ? table(lines) : NONE };
      }),
    ],
    [
      "models.test",
      method(NOTHING, async () => {
        const tried = await Promise.all(choices().map((one) => tryOut(one, clock)));
        const [first] = tried;
        if (!first) return { out: { model: null }, text: NONE };
        const answered = tried.find(({ failure }) => failure === undefined);
        if (!answered) throw first.failure ?? new KithError("internal", "it did not fail");
        const models = tried.map(({ told, failure }) => ({
          ...told,
          ...(failure && { error: { code: failure.code, message: failure.message } }),
        }));
        return {
          out: { ...answered.told, models },
          text: tried.map(({ text }) => text).join("\n"),
        };
      }),
    ],
    [
      "models.find",
      method(NOTHING, async (_, caller) => {
        atCommandLine(caller);
        const stop = new AbortController();
        const read = (reference: string) => readSecret(reference, home);
        const cancel = clock.after(LIST_MS, () => stop.abort());
        const all = await Promise.all(places.map((place) => find(place, read, stop.signal)));
        cancel();
        const found = all.filter((one) => one !== undefined);
        const lines = found.map((one) =>
          "why" in one
            ? one.why
            : `${one.name} of ${one.provider}${one.apiKey ? `, by ${one.apiKey}` : ""}`,
        );
        return {
          out: { found },
          text: lines.join("\n") || "No key in the environment, and no Ollama.",
        };
      }),
    ],
    [
      "models.set",
      method(settings, async (wish, caller) => {
        atCommandLine(caller);
        const { failure, told } = await tryOut(await openModel(wish, home), clock);
        if (failure) throw failure;
        setModel(home, wish);
        const text = `${wish.name} of ${wish.provider} answers, and is in config.yaml: it counts from the next start on.`;
        return { out: told, text };
      }),
    ],
  ];
}

/** @throws KithError config-invalid, model-key */
export async function openModel(
  wish: ModelSettings,
  home: string,
  counted: Counted = () => {},
): Promise<Pick<Choice, "name" | "kind" | "provider">> {
  const { provider: kind, name, apiKey, baseUrl, effort } = wish;
  const provider = await openProvider({
    ...{ provider: kind, name, counted },
    ...(baseUrl !== undefined && { baseUrl }),
    ...(apiKey !== undefined && { apiKey: readSecret(apiKey, home) }),
    ...(effort !== undefined && { effort }),
  });
  return { name, kind, provider };
}

/** Asks a model for one word, also while it rests. */
export async function tryOut(
  { name, kind, provider }: Pick<Choice, "name" | "kind" | "provider">,
  clock: Clock,
) {
  const stop = new AbortController();
  const late = `${name} of ${kind} did not answer within a minute.`;
  const cancel = clock.after(PATIENCE_MS, () =>
    stop.abort(new ModelFailure("model-away", late, true)),
  );
  const began = clock.mono();
  let first: number | undefined;
  let failure: KithError | undefined;
  try {
    const request = { ...SHORT, items: [{ role: "user", text: "Are you ready?" } as const] };
    for await (const { type } of provider.stream(request, stop.signal))
      if (type === "text") first ??= Math.round(clock.mono() - began);
  } catch (why) {
    if (!(why instanceof KithError)) throw why;
    failure = why;
  } finally {
    cancel();
  }
  const ms = Math.round(clock.mono() - began);
  const told = { model: name, provider: kind, first_ms: first ?? null, ms };
  const text = failure
    ? `${name} of ${kind}: ${failure.message}`
    : `${name} of ${kind} answers, in ${(ms / 1_000).toFixed(1)} s.`;
  return { told, text, failure };
}
