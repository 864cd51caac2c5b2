/** Networks offer a message again long after it was answered: it must still be known. */
import type { openStore as Open } from "@kith/gateway/store/store";
import { tempHome, turn } from "../store/home.ts";

const DAY_MS = 86_400_000;
const MESSAGES = 20;
/** No network is known to offer anything again after thirty days. */
const LATER_MS = 29 * DAY_MS;

/** How many of the old messages were taken once more. `build`: another build of the store. */
export async function redelivered(
  build = "@kith/gateway/store/store",
): Promise<{ tried: number; taken: number }> {
  const { openStore } = (await import(build)) as { openStore: typeof Open };
  using home = tempHome();
  const store = openStore(home.path);
  await store.open();
  try {
    for (let n = 1; n <= MESSAGES + 1; n++) await store.commit(turn(n));
    // Some commits at that time: what is swept away is swept away with one of them.
    for (let n = 0; n < 3; n++)
      await store.commit([{ k: "audit", at: LATER_MS + n * 2 * 3_600_000, what: "x", data: {} }]);
    const waiting = store.inbox().length;
    for (let n = 1; n <= MESSAGES; n++) {
      const accept = turn(n)[0];
      if (accept) await store.commit([accept]);
    }
    return { tried: MESSAGES, taken: store.inbox().length - waiting };
  } finally {
    await store.close();
  }
}
