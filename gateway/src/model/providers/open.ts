/** From the settings of a model to its provider. Its SDK is loaded here, and no other. */
import { createHash } from "node:crypto";
import { KithError } from "@kith/shared/errors";
import { ModelFailure, type Provider, type ProviderOptions } from "../provider.ts";
import { openAnthropic } from "./anthropic.ts";
import { openChatCompletions } from "./chat-completions.ts";
import type { Service } from "./failure.ts";
import { boundedFetch } from "./fetch.ts";
import { openOllama } from "./ollama.ts";
import { openResponses } from "./openai-responses.ts";
import type { Secret } from "../../secret.ts";

const services = {
  anthropic: { called: "Anthropic", at: "https://api.anthropic.com" },
  openai: { called: "OpenAI", at: "https://api.openai.com/v1" },
  // There is no such service of its own: LM Studio's address, which others took over.
  "openai-compatible": { called: "The OpenAI-compatible service", at: "http://127.0.0.1:1234/v1" },
  ollama: { called: "Ollama", at: "http://127.0.0.1:11434" },
} as const;

/** @throws KithError config-invalid, model-key: a base URL or a key that can be none */
export async function openProvider(options: ProviderOptions): Promise<Provider> {
  const { provider, name: model, baseUrl, apiKey: key, effort, counted = () => {} } = options;
  const { called, at } = services[provider];
  const url = URL.parse(baseUrl ?? at);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password)
    throw new KithError(
      "config-invalid",
      `The address of ${called} must be http:// or https:// with a host, and no password in it.`,
    );
  // `fetch` refuses such a header, with the key among its words.
  if (key?.use((value) => !/^[!-~]+$/.test(value)))
    throw new ModelFailure(
      "model-key",
      `The key for ${called} is empty, or has a space or another character that no key has.`,
      false,
    );
  const base = url.href.replace(/\/+$/, "");
  const by = thinker(provider, base, model, key);
  const service: Service = {
    ...{ called: `${called} at ${url.host}`, model, key, by, effort },
    fetch: boundedFetch(url.host, key, counted),
  };
  switch (provider) {
    case "anthropic":
      return openAnthropic(service, base);
    case "openai":
      return openResponses(service, base);
    case "openai-compatible":
      return openChatCompletions(service, base);
    case "ollama":
      return openOllama(service, base);
  }
}

/**
 * Another organisation cannot decrypt what this one's model thought, so the key is part of the name: by 32 bits of a
 * hash, from which no key is found.
 */
function thinker(kind: string, base: string, model: string, key: Secret | undefined): string {
  const hash = createHash("sha256").update(`${kind}\0${base}\0${model}\0`);
  key?.use((value) => hash.update(value));
  return `${kind}/${model}/${hash.digest("hex").slice(0, 8)}`;
}
