/**
 * Safe mode: after the third start within five minutes that followed a crash, whatever crashes
 * may be a call. So the gateway is there, chats and operators are served, and no call is sent
 * until its owner says so (`kith safe off`) or stops it in order.
 */
import { KithError } from "@kith/shared/errors";
import { crashpoint } from "../runtime/crashpoint.ts";
import type { Store, Write } from "../runtime/store.ts";

const WITHIN_MS = 5 * 60_000;
const MOST = 3;
/** Starts that are remembered, for `kith why`. */
const KEPT = 50;

export const SAFE_MODE =
  "Safe mode: I was ended three times within five minutes, by a crash or a loss of power. It may be a call that does it, so none is sent to any device. /safe off ends it.";

/** One start of the gateway. `clean`: the stop before it was in order. */
export interface Start {
  readonly at: number;
  readonly clean: boolean;
}

/** The document `setting/boots`. */
export interface Boots {
  /** Unix ms of recent starts after a crash, oldest first. */
  readonly unclean: readonly number[];
  readonly safe: boolean;
  /** The newest starts, oldest first. */
  readonly starts: readonly Start[];
}

/** After one more start. */
export function booted(before: Boots | undefined, clean: boolean, now: number): Boots {
  const starts = [...(before?.starts ?? []), { at: now, clean }].slice(-KEPT);
  if (clean) return { unclean: [], safe: false, starts };
  const recent = (before?.unclean ?? []).filter((at) => at <= now && now - at < WITHIN_MS);
  const unclean = [...recent, now].slice(-MOST);
  return { unclean, safe: (before?.safe ?? false) || unclean.length >= MOST, starts };
}

/**
 * Counts this start, on disk, before anything else is done. `entered`: safe mode begins with it.
 * @throws KithError store-fenced, internal: as any commit
 */
export async function countStart(
  store: Pick<Store, "document" | "commit">,
  clean: boolean,
  now: number,
  report: (what: string, error: unknown) => void,
): Promise<Boots & { readonly entered: boolean }> {
  crashpoint("bt.count");
  const before = store.document("setting", "boots") as Boots | undefined;
  const boots = booted(before, clean, now);
  const entered = boots.safe && !before?.safe;
  const writes: Write[] = [
    { k: "put", table: "setting", id: "boots", open: true, at: now, body: boots },
  ];
  if (entered) writes.push({ k: "audit", at: now, what: "safe.entered", data: {} });
  try {
    await store.commit(writes);
  } catch (error) {
    // There is more to say about a full disk than how often we were started; no call can leave.
    if (!(error instanceof KithError) || error.code !== "disk-full") throw error;
    report("the count of starts", error);
  }
  crashpoint("bt.counted");
  return { ...boots, entered };
}
