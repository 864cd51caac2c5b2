/**
 * Safe mode: after the third start within five minutes that followed a crash, whatever crashes
 * may be a call. So the gateway is there, chats and operators are served, and no call is sent
 * until its owner says so (`kith safe off`) or stops it in order.
 */
const WITHIN_MS = 5 * 60_000;
const MOST = 3;

/** The document `setting/boots`. */
export interface Boots {
  /** Unix ms of recent starts after a crash, oldest first. */
  readonly unclean: readonly number[];
  readonly safe: boolean;
}

/** After one more start. `clean`: the stop before it was in order. */
export function booted(before: Boots | undefined, clean: boolean, now: number): Boots {
  if (clean) return { unclean: [], safe: false };
  const recent = (before?.unclean ?? []).filter((at) => at <= now && now - at < WITHIN_MS);
  const unclean = [...recent, now].slice(-MOST);
  return { unclean, safe: (before?.safe ?? false) || unclean.length >= MOST };
}
