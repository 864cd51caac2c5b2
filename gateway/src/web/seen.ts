/** Which addresses a conversation has from others, word for word, so that fetching them carries nothing away. */
import type { StoredItem } from "../model/model.ts";

/**
 * Tools whose results are what somebody else wrote. Of all others a result may be the model's own words coming
 * back: from its notes, its files, or another session that it asked.
 */
const READ = new Set(["web_fetch", "web_search", "files_read", "clipboard_read"]);

/** What may stand behind an address in a sentence. */
const AFTER = /^[).,;:!?\]}*_]{0,8}$/;

/**
 * Whether the address stands whole in the owner's own words, or in a result and the model did not write it before:
 * part of an address would tell by its length, and a result may repeat what was asked.
 */
export function isSeen(items: readonly StoredItem[], url: string): boolean {
  if (items.some((item) => isOwners(item) && stands(item.text, url))) return true;
  for (const item of items) {
    if (item.role === "assistant") {
      if (item.text.includes(url) || JSON.stringify(item.calls).includes(url)) return false;
    } else if (item.role === "tool" && READ.has(item.name) && stands(item.text, url)) return true;
  }
  return false;
}

/** A summary is the model's, and what has labels or a source is others'. */
const isOwners = ({ role, labels = [], source }: StoredItem): boolean =>
  role === "user" && labels.length === 0 && source === undefined;

function stands(text: string, url: string): boolean {
  for (const [whole] of text.matchAll(/https?:\/\/[^\s<>"'`|\\]+/gi))
    if (whole.startsWith(url) && AFTER.test(whole.slice(url.length))) return true;
  return false;
}
