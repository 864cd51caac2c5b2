/** OpenAI's SDK, for both of its interfaces. */
import type OpenAI from "openai";
import type { Service } from "./failure.ts";

export async function openClient(service: Service, baseURL: string): Promise<OpenAI> {
  const sdk = await import("openai");
  const { key } = service;
  return new sdk.default({
    baseURL,
    // It wants one, even where the header is not sent.
    apiKey: key?.use((value) => value) ?? "none",
    ...(!key && { defaultHeaders: { Authorization: null } }),
    // What is null is not looked for in the environment.
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    fetch: service.fetch,
    // It would print what it cannot parse.
    logLevel: "off",
  });
}
