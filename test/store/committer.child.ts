/** Commits `turn(n)` for ever, from where the home stands. See home.ts. */
import { writeSync } from "node:fs";
import { openStore } from "@kith/gateway/store/store";
import { SAM, turn } from "./home.ts";

const store = openStore(process.argv[2] ?? "", {
  onFatal: (why) => {
    throw why;
  },
});
await store.open();
writeSync(1, "open\n");
for (let n = (store.load(SAM)?.seq ?? 0) + 1; ; n++) {
  await store.commit(turn(n));
  writeSync(1, `done ${n}\n`);
}
