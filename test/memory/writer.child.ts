/** A process that writes one line of memory into `people.md` of the home it is given, and may be killed while it does. */
import { systemClock, systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { fingerprinter } from "@kith/gateway/audit/fingerprint";
import { Memories } from "@kith/gateway/memory/memory";

const memories = new Memories({
  home: process.argv[2]!,
  fingerprint: fingerprinter(new Uint8Array(32).fill(7)),
  clock: systemClock,
  rng: systemRng,
});
const mark = { id: newId(systemClock, systemRng), by: "console:owner", of: [], trusted: true };
await memories.of("main").write({ file: "people", text: "a new line", ...mark });
await memories.close();
