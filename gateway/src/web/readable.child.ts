/**
 * Makes text of one page, in a process of its own, and ends: parsing is the one part of a fetch whose time and
 * memory its author decides. Its cage is `readable.ts`'s.
 *
 *   stdin   {"html","url"}
 *   stdout  {"title","text"}
 */
import { text as whole } from "node:stream/consumers";

export interface Page {
  readonly html: string;
  readonly url: string;
}

export interface Text {
  readonly title: string;
  readonly text: string;
}

/** What nobody reads. */
const SILENT = new Set(
  "HEAD TITLE SCRIPT STYLE NOSCRIPT TEMPLATE SVG MATH IFRAME OBJECT EMBED CANVAS SELECT BUTTON NAV".split(
    " ",
  ),
);
/** What stands in lines of its own. */
const BLOCKS = new Set(
  "ADDRESS ARTICLE ASIDE BLOCKQUOTE DD DIV DL DT FIGCAPTION FIGURE FOOTER FORM H1 H2 H3 H4 H5 H6 HEADER HR LI MAIN OL P PRE SECTION TABLE TR UL".split(
    " ",
  ),
);
/** As browsers have it. What looks for the article takes minutes for ten times of either. */
const MOST_DEPTH = 512;
const MOST_ELEMENTS = 50_000;
/** A link that is longer is no use to a reader. */
const MOST_LINK_CHARS = 1_024;
const TEXT = 3;
const BREAKS: Readonly<Record<string, string>> = { BR: "\n", HR: "\n---\n", LI: "\n- ", TR: "\n" };

/** So much of the DOM is used here. */
interface Knot {
  readonly nodeType: number;
  readonly tagName?: string;
  readonly textContent: string | null;
  readonly firstChild: Knot | null;
  readonly nextSibling: Knot | null;
  readonly parentNode: Knot | null;
  getAttribute?(name: string): string | null;
}

/** Above the gateway's own limit: ends this process where the gateway died first. */
const ORPHAN_MS = 20_000;
setTimeout(() => process.exit(1), ORPHAN_MS).unref();

const { parseHTML } = await import("linkedom");
// CommonJS: in a bundle all that it has is below `default`.
const { Readability } = (await import("@mozilla/readability")).default;

const { html, url } = JSON.parse(await whole(process.stdin)) as Page;
// What has no root would have its first element for the whole.
const page = /<html[\s>]/i.test(html) ? html : `<html>${html}</html>`;
const parsed = () => parseHTML(page).document;

let document = parsed();
const title = document.querySelector("title")?.textContent ?? "";
const article = isOrdinary() ? read() : undefined;
const answer: Text = {
  title: (article?.title || title).replace(/\s+/g, " ").trim(),
  // No article: a page of contents, a form, a table. Then all that it says.
  text: (article?.content && plain(article.content)) || plain(document.documentElement),
};
process.stdout.write(JSON.stringify(answer));

/** The article that the page is about, if it is one. Looking for it takes the document to pieces. */
function read() {
  const taken = document;
  document = parsed();
  return new Readability<Knot>(taken, { serializer: (content) => content }).parse();
}

function isOrdinary(): boolean {
  let depth = 0;
  let elements = 0;
  for (const [knot, entering] of walk(document.documentElement)) {
    if (tagOf(knot) === "") continue;
    depth += entering ? 1 : -1;
    elements += Number(entering);
    if (depth > MOST_DEPTH || elements > MOST_ELEMENTS) return false;
  }
  return true;
}

/** Every knot, in the order of the page, when it begins and when it ends; of silent ones nothing. Without recursion. */
function* walk(root: Knot): Generator<readonly [knot: Knot, entering: boolean]> {
  let at: Knot | null = root;
  let entering = true;
  while (at) {
    const silent = isSilent(at);
    if (entering && !silent) {
      yield [at, true];
      if (at.firstChild) {
        at = at.firstChild;
        continue;
      }
    }
    if (!silent) yield [at, false];
    if (at === root) return;
    entering = at.nextSibling !== null;
    at = at.nextSibling ?? at.parentNode;
  }
}

/** As light Markdown; links with whole addresses, so that they can be followed. */
function plain(root: Knot): string {
  const parts: string[] = [];
  let last = "\n";
  const write = (text: string) => {
    parts.push(text);
    last = text.at(-1) ?? last;
  };
  let preformatted = 0;
  for (const [knot, entering] of walk(root)) {
    const tag = tagOf(knot);
    if (tag === "PRE") preformatted += entering ? 1 : -1;
    if (entering && knot.nodeType === TEXT) {
      const text = knot.textContent ?? "";
      const flowing = preformatted > 0 ? text : text.replace(/\s+/g, " ");
      write(preformatted === 0 && /\s/.test(last) ? flowing.trimStart() : flowing);
    } else if (entering) {
      const level = Number(/^H([1-6])$/.exec(tag)?.[1] ?? 0);
      write(BREAKS[tag] ?? (BLOCKS.has(tag) ? "\n\n" : ""));
      if (level > 0) write(`${"#".repeat(level)} `);
    } else if (tag === "TD" || tag === "TH") write(" | ");
    else if (tag === "A") {
      const href = URL.parse(knot.getAttribute?.("href") ?? "", url);
      if (href && /^https?:$/.test(href.protocol) && href.href.length <= MOST_LINK_CHARS)
        write(` (${href.href})`);
    } else if (BLOCKS.has(tag) && !(tag in BREAKS)) write("\n\n");
  }
  const text = parts.join("");
  return text
    .replace(/[ \t]+\n/g, "\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function tagOf({ tagName = "" }: Knot): string {
  return tagName.toUpperCase();
}

function isSilent(knot: Knot): boolean {
  const has = (name: string) => knot.getAttribute?.(name) ?? null;
  return (
    SILENT.has(tagOf(knot)) ||
    has("hidden") !== null ||
    /(?:display:\s*none|visibility:\s*hidden)/i.test(has("style") ?? "")
  );
}
