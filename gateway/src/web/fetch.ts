/** `web_fetch`: one page, as text; anything else that lies at an address, as a file. */
import { createHash } from "node:crypto";
import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import type { Sink } from "@kith/shared/streams/receiver";
import * as v from "valibot";
import type { Egress, Fetched } from "../egress/egress.ts";
import type { StoredContent } from "../invocations/content.ts";
import type { Content } from "../media/media.ts";
import type { ActorId } from "../runtime/effect.ts";
import { type OwnTool, type ToolContext, ownTool } from "../tools/tool.ts";
import { readable } from "./readable.ts";

const MOST_URL_CHARS = 4_096;
/** What a page could make the model carry away in one address, once it was read. */
const MOST_QUERY_CHARS = 2_048;
const MOST_HTML_BYTES = 2 * 1_048_576;
/** Of a result, with the lines around the text. */
const MOST_TEXT_CHARS = 16_384;
const MOST_TITLE_CHARS = 300;
const MOST_SHOWN_URL_CHARS = 2_048;
/** Of the line that says where to read on. */
const MARK_CHARS = 96;
/** What a model may look at. */
const PICTURES = new Set(["image/jpeg", "image/png", "image/webp"]);
/** Here a page says its own encoding, if it does. */
const PROLOGUE_BYTES = 1_024;
const ACCEPT = "text/html,text/markdown;q=0.9,text/plain;q=0.9,application/json;q=0.8,*/*;q=0.5";

export interface FetchOptions {
  readonly egress: Pick<Egress, "get">;
  /** Where files go; see media/media.ts. */
  readonly contents: { sink(content: Content): Promise<Sink> };
  /** Whether this address stands word for word in what the owner said or in an earlier result of the session. */
  readonly seen: (session: ActorId, url: string) => boolean;
}

const args = v.strictObject({
  url: v.pipe(v.string(), v.minLength(1), v.maxLength(MOST_URL_CHARS)),
  offset: v.optional(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(0),
      v.maxValue(10 * 1_048_576),
      v.description("Where to read on, as a cut text says."),
    ),
    0,
  ),
});

export const fetchTool = (options: FetchOptions): OwnTool =>
  ownTool({
    name: "web_fetch",
    description: "Read a public web page as text, or keep the file at an address.",
    args,
    class: "read",
    async run({ url, offset }, context, signal) {
      mayAsk(url, context, options);
      const page = await options.egress.get({ url, accept: ACCEPT }, signal);
      if (page.status >= 400)
        throw new KithError("page-away", `${page.url.host} answers with status ${page.status}`);
      const text = await textOf(page, signal);
      return {
        ...(text
          ? { text: told(page, text.title, text.text, offset) }
          : await kept(page, context, options)),
        labels: ["untrusted"] as const,
        source: `a page of ${page.url.hostname}`,
      };
    },
  });

/** Addresses carry away what stands in them: see docs/egress.md. @throws KithError address-unseen, address-refused */
function mayAsk(url: string, { labels, session }: ToolContext, { seen }: FetchOptions): void {
  if (!labels.includes("untrusted")) return;
  if (labels.includes("private") && !seen(session, url))
    throw new KithError(
      "address-unseen",
      "private content was read beside content of others, and this address stands neither in the owner's own words nor in an earlier result",
    );
  if ((URL.parse(url)?.search.length ?? 0) > MOST_QUERY_CHARS)
    throw new KithError(
      "address-refused",
      `its query has more than ${MOST_QUERY_CHARS} characters`,
    );
}

/** Undefined: no text. @throws KithError too-big, page-unreadable, cancelled */
async function textOf(page: Fetched, signal: AbortSignal) {
  const type = mediaType(page.type);
  if (type === "text/html" || type === "application/xhtml+xml") {
    if (page.body.length > MOST_HTML_BYTES)
      throw new KithError("too-big", `the page has more than ${MOST_HTML_BYTES / 1_048_576} MiB`);
    return readable({ html: decoded(page, true), url: page.url.href }, signal);
  }
  if (!/^text\/|[/+](?:json|xml|yaml)$/.test(type)) return undefined;
  return { title: "", text: decoded(page, false) };
}

const mediaType = (header: string): string =>
  /^[\w.+-]{1,64}\/[\w.+-]{1,64}(?=\s*(?:;|$))/.exec(header.trim().toLowerCase())?.[0] ??
  "application/octet-stream";

/** By its byte order mark, the header, the page's own word, or as UTF-8. */
function decoded({ body, type }: Fetched, isHtml: boolean): string {
  const charset = (text: string) => /charset\s*=\s*["']?\s*([\w:.-]{1,40})/i.exec(text)?.[1];
  // Whoever can read it in ASCII is not in UTF-16, as which some pages give themselves out.
  const own = () =>
    charset(body.toString("latin1", 0, PROLOGUE_BYTES))?.replace(/^utf-16.*/i, "utf-8");
  const mark = marks.find(([bytes]) => body.indexOf(bytes, 0, "latin1") === 0)?.[1];
  const label = mark ?? charset(type) ?? (isHtml ? own() : undefined) ?? "utf-8";
  try {
    return new TextDecoder(label).decode(body);
  } catch {
    return new TextDecoder().decode(body); // An encoding that nobody knows.
  }
}

const marks = [
  ["\u00ef\u00bb\u00bf", "utf-8"],
  ["\u00ff\u00fe", "utf-16le"],
  ["\u00fe\u00ff", "utf-16be"],
] as const;

/** At most 16,384 characters, from `offset` on. */
function told(
  { url, at }: Pick<Fetched, "url" | "at">,
  title: string,
  text: string,
  offset: number,
): string {
  const lines = [
    ...(title ? [`Title: ${short(clean(title), MOST_TITLE_CHARS)}`] : []),
    `From ${short(url.href, MOST_SHOWN_URL_CHARS)}, read ${new Date(at).toISOString()}`,
  ];
  const head = `${lines.join("\n")}\n\n`;
  const all = clean(text);
  const end = offset + MOST_TEXT_CHARS - head.length - MARK_CHARS;
  const part = all.slice(offset, end).toWellFormed();
  if (part === "") return `${head}[Nothing ${offset > 0 ? "more" : "to read"} here.]`;
  const mark = `\n\n[Cut: ${all.length} characters in all. Read on with offset ${end}.]`;
  return `${head}${part}${end < all.length ? mark : ""}`;
}

/** Control characters would act in a terminal. */
const clean = (text: string): string => text.replace(/\r\n?/g, "\n").replace(/[^\P{Cc}\n\t]/gu, "");

const short = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most).toWellFormed()}…` : text;

/** What is no text lies in the media folder afterwards; a picture may be looked at. */
async function kept(page: Fetched, { call }: ToolContext, { contents }: FetchOptions) {
  const { body, url, at } = page;
  const type = mediaType(page.type);
  if (body.length === 0) return { text: told(page, "", "", 0) };
  const sha256 = createHash("sha256").update(body).digest();
  // Named by the content: what an earlier try left goes on only where the page is still the same.
  const sink = await contents.sink({ call, role: "page", stream: hex(sha256), type });
  try {
    await sink.write([body.subarray(sink.length)]);
    await sink.finish(body.length, sha256);
  } catch (error) {
    await sink.discard();
    throw error;
  }
  const content: StoredContent = { sha256: hex(sha256), type, bytes: body.length };
  const summary = `A file of type ${type}, ${body.length} bytes, kept as ${content.sha256}.`;
  return {
    text: told({ url, at }, "", summary, 0),
    ...(PICTURES.has(type) && { pictures: [content] }),
  };
}
