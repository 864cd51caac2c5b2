/** Models that may be used without anybody having set one up: where a key stands in the environment, or Ollama runs. */
import * as v from "valibot";
import { type Secret } from "../../secret.ts";
import { ModelFailure, type ProviderKind } from "../provider.ts";
import { VERSION } from "./anthropic.ts";
import { type Service, statusFailure, thrownFailure } from "./failure.ts";
import { boundedFetch } from "./fetch.ts";

export interface Place {
  readonly provider: Extract<ProviderKind, "anthropic" | "openai" | "ollama">;
  /** As config.yaml has it. */
  readonly apiKey?: string;
  readonly baseUrl: string;
}

/** A model to propose, or why a place that seemed to be one has none. */
export type Found = Place & ({ readonly name: string } | { readonly why: string });

export const places: readonly Place[] = [
  {
    provider: "anthropic",
    apiKey: "${env:ANTHROPIC_API_KEY}",
    baseUrl: "https://api.anthropic.com",
  },
  { provider: "openai", apiKey: "${env:OPENAI_API_KEY}", baseUrl: "https://api.openai.com/v1" },
  { provider: "ollama", baseUrl: "http://127.0.0.1:11434" },
];

/** Of the models that Ollama has, so many are asked whether they can call tools. */
const MOST_ASKED = 8;

const listed = v.object({
  data: v.array(v.object({ id: v.string(), created: v.optional(v.number(), 0) })),
});
const tags = v.object({ models: v.array(v.object({ name: v.string() })) });
const about = v.object({ capabilities: v.optional(v.array(v.string()), []) });

/**
 * Asks a service which models it has, and chooses one that can call tools. Undefined: there is nothing.
 * @param read what a reference of the config means; throws where it has nothing to read
 */
export async function find(
  place: Place,
  read: (reference: string) => Secret,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { provider, apiKey, baseUrl } = place;
  let key: Secret | undefined;
  try {
    key = apiKey === undefined ? undefined : read(apiKey);
  } catch {
    return undefined; // Nobody set it.
  }
  const { host } = new URL(baseUrl);
  const called = `${provider} at ${host}`;
  const service: Service = {
    ...{ called, model: "", key, by: "", effort: undefined },
    fetch: boundedFetch(host, key, () => {}),
  };
  const fetch = service.fetch(provider === "anthropic" ? { "anthropic-version": VERSION } : {});
  async function ask<const S extends v.GenericSchema>(schema: S, path: string, body?: object) {
    const how = body ? { method: "POST", body: JSON.stringify(body) } : {};
    const answer = await fetch(`${baseUrl}${path}`, { ...how, signal }).catch((why: unknown) => {
      throw thrownFailure(service, why, false);
    });
    const json: unknown = await answer.json().catch(() => undefined);
    if (!answer.ok) throw statusFailure(service, answer.status, json);
    const parsed = v.safeParse(schema, json);
    if (!parsed.success)
      throw new ModelFailure("model-away", `${called} did not list its models.`, true);
    return parsed.output;
  }
  async function choose(): Promise<string | undefined> {
    if (provider !== "ollama") {
      const { data } = await ask(listed, provider === "anthropic" ? "/v1/models" : "/models");
      const ids = data.toSorted((a, b) => b.created - a.created).map(({ id }) => id);
      // The newest of the middle size; the newest of OpenAI's that is no variant of another.
      const usual = provider === "anthropic" ? /sonnet/ : /^gpt-\d+(?:\.\d+)?$/;
      return ids.find((id) => usual.test(id)) ?? (provider === "anthropic" ? ids[0] : undefined);
    }
    const { models } = await ask(tags, "/api/tags");
    for (const { name } of models.slice(0, MOST_ASKED)) {
      const { capabilities } = await ask(about, "/api/show", { model: name });
      if (capabilities.includes("tools")) return name;
    }
    return undefined;
  }
  try {
    const name = await choose();
    return name === undefined
      ? { ...place, why: `${called} has no model that Kith would choose; name one in config.yaml.` }
      : { ...place, name };
  } catch (why) {
    if (!(why instanceof ModelFailure)) throw why;
    // Nobody said that Ollama runs here.
    return provider === "ollama" ? undefined : { ...place, why: why.message };
  }
}
