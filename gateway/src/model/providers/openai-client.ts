/** OpenAI's SDK, for both of its interfaces. */
import type OpenAI from "openai";
import type { Service } from "./failure.ts";

export async function openClient(service: Service, baseURL: string): Promise<OpenAI> {
  const sdk = await import("openai");
  return new sdk.default({
    baseURL,
    // It wants one; ours is sent by the `fetch` that it is given.
    apiKey: "none",
    // What is null is not looked for in the environment.
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    fetch: service.fetch(),
    // It would print what it cannot parse.
    logLevel: "off",
  });
}
