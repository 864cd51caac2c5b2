/** `web_search`: the web as a search service sees it. Which one, the owner says in config.yaml. */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import type { Egress, Fetched, Wanted } from "../egress/egress.ts";
import type { Secret } from "../secret.ts";
import { type OwnTool, ownTool } from "../tools/tool.ts";

export type Search =
  | { readonly provider: "brave"; readonly key: Secret }
  | { readonly provider: "searxng"; readonly baseUrl: string };

const RESULTS = 10;
const MOST_TITLE_CHARS = 200;
const MOST_URL_CHARS = 1_000;
/** Ten of these with titles and addresses stay below the 16,384 of a result. */
const MOST_SNIPPET_CHARS = 300;

const args = v.strictObject({ query: v.pipe(v.string(), v.minLength(1), v.maxLength(400)) });

const text = v.optional(v.nullable(v.string()), "");
const brave = v.object({
  web: v.optional(
    v.object({ results: v.array(v.object({ title: text, url: v.string(), description: text })) }),
    { results: [] },
  ),
});
const searxng = v.object({
  results: v.array(v.object({ title: text, url: v.string(), content: text })),
});

interface Found {
  readonly title: string | null;
  readonly url: string;
  readonly about: string | null;
}

export function searchTool({
  search,
  egress,
}: {
  search: Search;
  egress: Pick<Egress, "get">;
}): OwnTool {
  const service = services[search.provider];
  return ownTool({
    name: "web_search",
    description: "Search the web. Gives titles, addresses and a line of each page found.",
    args,
    class: "read",
    // The service reads the words, and may pass them on; what is private shall not leave in them unasked.
    asks: ({ query }, labels) =>
      labels.includes("untrusted") && labels.includes("private")
        ? `ask ${service} for “${query}”`
        : undefined,
    async run({ query }, _context, signal) {
      const page = await egress.get(wanted(search, query), signal);
      const found = read(search, page).slice(0, RESULTS).map(line);
      const head = `${service}, ${new Date(page.at).toISOString()}, for ${JSON.stringify(query)}:`;
      return {
        text: `${head}\n\n${found.join("\n\n") || "Nothing was found."}`,
        labels: ["untrusted"],
        source: `search results of ${service}`,
      };
    },
  });
}

const services = { brave: "Brave Search", searxng: "SearXNG" } as const;

function wanted(search: Search, query: string): Wanted {
  const accept = "application/json";
  const q = new URLSearchParams({ q: query }).toString();
  if (search.provider === "searxng") {
    const base = search.baseUrl.replace(/\/+$/, "");
    return { url: `${base}/search?${q}&format=json`, accept, owners: true };
  }
  return {
    url: `https://api.search.brave.com/res/v1/web/search?${q}&count=${RESULTS}&text_decorations=false`,
    accept,
    key: { header: "x-subscription-token", value: search.key },
  };
}

/** @throws KithError config-invalid where the service refuses us, page-away where it answers otherwise */
function read({ provider }: Search, { status, body, url }: Fetched): readonly Found[] {
  if (provider === "brave" && [401, 403, 422].includes(status))
    throw new KithError(
      "config-invalid",
      "Brave Search does not take search.apiKey of config.yaml",
    );
  if (provider === "searxng" && status === 403)
    throw new KithError(
      "config-invalid",
      `${url.host} gives no JSON: its own settings need \`json\` under search: formats:`,
    );
  if (status === 429) throw new KithError("rate", `${url.host} has had enough questions for now`);
  if (status !== 200) throw new KithError("page-away", `${url.host} answers with status ${status}`);
  try {
    const answer: unknown = JSON.parse(body.toString());
    return provider === "brave"
      ? v
          .parse(brave, answer)
          .web.results.map(({ description, ...one }) => ({ ...one, about: description }))
      : v.parse(searxng, answer).results.map(({ content, ...one }) => ({ ...one, about: content }));
  } catch (cause) {
    throw new KithError("page-away", `${url.host} does not answer as ${services[provider]}`, {
      cause,
    });
  }
}

function line({ title, url, about }: Found, at: number): string {
  const plain = (words: string | null, most: number) => {
    const one = (words ?? "")
      .replace(/<[^<>]{0,200}>/g, "")
      .replace(/[\s\p{Cc}]+/gu, " ")
      .trim();
    return one.length > most ? `${one.slice(0, most).toWellFormed()}…` : one;
  };
  const known = plain(url, MOST_URL_CHARS);
  return `${at + 1}. ${plain(title, MOST_TITLE_CHARS)}\n   ${known}\n   ${plain(about, MOST_SNIPPET_CHARS)}`;
}
