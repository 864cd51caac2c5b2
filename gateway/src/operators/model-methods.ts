/** What an operator may ask about the language model. */
import { ModelFailure } from "../model/provider.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";

const PATIENCE_MS = 60_000;
const SHORT = { system: "Answer with the one word: ready.", tools: [], maxTokens: 64 } as const;

export function modelMethods({ model, clock }: MethodsOptions): [string, Method][] {
  return [
    [
      "models.test",
      method(NOTHING, async () => {
        if (!model) {
          const text =
            "No model is set up. The commands work without one: /help. docs/config.md says how to add one.";
          return { out: { model: null }, text };
        }
        const { name, kind, provider } = model;
        const stop = new AbortController();
        const cancel = clock.after(PATIENCE_MS, () =>
          stop.abort(
            new ModelFailure(
              "model-away",
              `${name} of ${kind} did not answer within a minute.`,
              true,
            ),
          ),
        );
        const began = clock.mono();
        let first: number | undefined;
        try {
          const request = { ...SHORT, items: [{ role: "user", text: "Are you ready?" } as const] };
          for await (const { type } of provider.stream(request, stop.signal))
            if (type === "text") first ??= clock.mono() - began;
        } finally {
          cancel();
        }
        const ms = Math.round(clock.mono() - began);
        return {
          out: {
            model: name,
            provider: kind,
            first_ms: first === undefined ? null : Math.round(first),
            ms,
          },
          text: `${name} of ${kind} answers, in ${(ms / 1_000).toFixed(1)} s.`,
        };
      }),
    ],
  ];
}
