/**
 * Commits `turn(n)` one after the other, from where the home stands, and says what became of each:
 * a full disk is tried again, anything else ends the process as it ends the gateway.
 */
import { writeSync } from "node:fs";
import type { openStore as Open } from "@kith/gateway/store/store";
import { SAM, turn } from "../store/home.ts";

/** KITH_STORE: another build of the store. */
const { openStore } = (await import(process.env["KITH_STORE"] ?? "@kith/gateway/store/store")) as {
  openStore: typeof Open;
};
const AGAIN_MS = 10;
const say = (...words: (string | number)[]): void => void writeSync(1, `${words.join(" ")}\n`);
const code = (why: unknown): string => (why as { code?: string }).code ?? "stranger";

say("pid", process.pid);
const store = openStore(process.argv[2] ?? "", {
  onFatal(why) {
    say("fatal", code(why));
    process.exit(70);
  },
});
try {
  await store.open();
} catch (why) {
  say("closed", code(why));
  process.exit(75);
}
say("open");
for (let n = (store.load(SAM)?.seq ?? 0) + 1; ;) {
  try {
    await store.commit(turn(n));
    say("done", n++);
  } catch (why) {
    if (code(why) !== "disk-full") throw why;
    say("full", n);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
