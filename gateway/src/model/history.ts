/**
 * The rows of a conversation as a model reads them: from where it was summed up, without what the owner had
 * left out, and never more than the model can read at once.
 */
import { KithError } from "@kith/shared/errors";
import type { StoredContent } from "../invocations/content.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { Question, StoredItem } from "./model.ts";
import type { Item, Picture } from "./provider.ts";

export interface Row {
  readonly id: string;
  readonly item: StoredItem;
}

export interface History {
  /** The last rows of a conversation, oldest first; from this one on, where it is named. */
  readonly rows: (session: ActorId, from?: string) => readonly Row[];
  /** @throws KithError gone, too-big */
  readonly picture: (content: StoredContent) => Promise<Picture>;
  /** How much the model reads at once, in tokens. */
  readonly window: number;
}

/** Pictures that a request carries, the newest: each counts again with every question. */
const PICTURES = 4;
/** Of the model's window, for the conversation: the rest is for instructions, tools and its answer. */
const SHARE = 0.7;
const FULL = 0.5;
/** A safe guess for all languages that services measure; three would hold for English. */
export const CHARS_PER_TOKEN = 2.5;
/** What is left of a long result of earlier, where there is no room for it. */
const STUB_CHARS = 200;

export async function itemsOf(
  { session, from, clean = "", compact = "~" }: Question,
  history: History,
): Promise<{ items: Item[]; pictures: number; full: boolean; tokens: number }> {
  const rows = history.rows(session, from).filter(({ id }) => id >= (from ?? "") && id < compact);
  const clear = cleaned(
    rows.map(({ id, item }) => ({ item, hide: id < clean && (item.labels?.length ?? 0) > 0 })),
  );
  const room = history.window * CHARS_PER_TOKEN;
  const size = clear.reduce((sum, item) => sum + chars(item), 0);
  const stored = begun(fitted(clear, room * SHARE));
  const items = await withPictures(stored, history);
  const pictures = items.reduce(
    (sum, item) => sum + (item.role === "tool" ? item.pictures.length : 0),
    0,
  );
  const sent = stored.reduce((sum, item) => sum + chars(item), 0);
  return { items, pictures, full: size > room * FULL, tokens: Math.ceil(sent / CHARS_PER_TOKEN) };
}

const chars = (item: StoredItem): number =>
  item.text.length +
  (item.role === "assistant" ? JSON.stringify([item.calls, item.thinking ?? []]).length : 0) +
  (item.role === "tool" ? item.pictures.length * 4_000 : 0);

/**
 * What was written after labelled words is as good as they are: an answer is left out with its calls, and a
 * result that is labelled keeps only its size.
 */
function cleaned(rows: readonly { item: StoredItem; hide: boolean }[]): StoredItem[] {
  const gone = new Set<string>();
  return rows.flatMap(({ item, hide }): StoredItem[] => {
    if (item.role === "tool") {
      if (gone.delete(item.call)) return [];
      if (!hide) return [item];
      const { labels: _labels, source = "a result", ...rest } = item;
      return [
        { ...rest, text: `[${source}, ${item.text.length} characters, left out]`, pictures: [] },
      ];
    }
    if (!hide) return [item];
    if (item.role === "assistant") for (const { id } of item.calls) gone.add(id);
    const text = `[${item.role === "user" ? (item.source ?? "words of others") : "an answer"}, ${item.text.length} characters, left out]`;
    return [item.role === "user" ? { role: "user", text } : { role: "assistant", text, calls: [] }];
  });
}

/** The oldest results give way first, then whole turns; what was said last stays. */
function fitted(items: readonly StoredItem[], room: number): readonly StoredItem[] {
  let over = items.reduce((sum, item) => sum + chars(item), 0) - room;
  if (over <= 0) return items;
  const shorter = items.map((item, at): StoredItem => {
    if (over <= 0 || item.role !== "tool" || at > items.length - 3) return item;
    const before = chars(item);
    const text =
      item.text.length > 2 * STUB_CHARS
        ? `${item.text.slice(0, STUB_CHARS).toWellFormed()} … (${item.text.length} characters, the rest left out)`
        : item.text;
    const less = { ...item, text, pictures: [] };
    over -= before - chars(less);
    return less;
  });
  let from = 0;
  while (over > 0) {
    const next = shorter.findIndex(({ role }, at) => at > from && role === "user");
    if (next === -1) break;
    for (const item of shorter.slice(from, next)) over -= chars(item);
    from = next;
  }
  return shorter.slice(from);
}

/** From the first words of a person on: what stands before them lost its beginning. */
function begun(items: readonly StoredItem[]): readonly StoredItem[] {
  return items.slice(
    Math.max(
      0,
      items.findIndex(({ role }) => role === "user"),
    ),
  );
}

async function withPictures(
  items: readonly StoredItem[],
  { picture: read }: Pick<History, "picture">,
): Promise<Item[]> {
  let left = PICTURES;
  const told: Item[] = [];
  for (const { labels: _labels, source: _source, ...item } of items.toReversed()) {
    if (item.role !== "tool") {
      told.push(item);
      continue;
    }
    const pictures: Picture[] = [];
    let { text } = item;
    for (const content of item.pictures) {
      if (left-- <= 0) text += "\n(a picture of earlier, not shown again)";
      else
        await read(content).then(
          (picture) => void pictures.push(picture),
          (error: unknown) => {
            if (!(error instanceof KithError)) throw error;
            text += `\n(the picture cannot be shown: ${error.message})`;
          },
        );
    }
    told.push({ ...item, text, pictures });
  }
  return told.toReversed();
}
