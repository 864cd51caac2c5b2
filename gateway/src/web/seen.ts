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
 * Whether the address stands whole in the owner's own words or in a result, and the model did not write it before:
 * part of an address would tell by its length, and a result may repeat what was asked.
 */
export function isSeen(items: readonly StoredItem[], url: string): boolean {
  for (const item of items) {
    if (item.role === "assistant") {
      if (item.text.includes(url) || JSON.stringify(item.calls).includes(url)) return false;
    } else if (item.role === "tool" ? READ.has(item.name) : (item.labels ?? []).length === 0) {
      for (const [whole] of item.text.matchAll(/https?:\/\/[^\s<>"'`|\\]+/gi))
        if (whole.startsWith(url) && AFTER.test(whole.slice(url.length))) return true;
    }
  }
  return false;
}
