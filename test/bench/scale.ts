/** How much a session costs that sleeps, one that is awake, and a device that is connected. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { ActorId, Event } from "@kith/gateway/runtime/effect";
import type { Report } from "../report/report.ts";
import { devices } from "./devices.ts";
import type { BenchPart } from "./part.ts";
import { keptBytes, Rig } from "./rig.ts";

const SESSIONS = 100_000;
/** So many are born before the next ones are told: no mailbox and no batch grows beyond it. */
const AT_ONCE = 5_000;
const MIB = 1_048_576;
const KIB = 1_024;

/** RT-5, RT-6: all awake with one turn behind them, then all asleep. */
async function sessions(report: Report): Promise<void> {
  const rig = await Rig.start({ kind: (kind) => ({ ...kind, idleMs: 0 }) });
  const { home, runtime } = rig;
  await using _ = rig;
  const empty = keptBytes();
  for (let at = 0; at < SESSIONS;) {
    for (const until = at + AT_ONCE; at < until; at++) {
      const to: ActorId = `session/${String(at).padStart(26, "0")}`;
      // A turn that owes nothing: what is weighed is the session, not its replies.
      const born = { type: "call.replaced", chat: `c${at}`, call: "a", by: "b" };
      runtime.tell(to, born as Event);
    }
    while (runtime.busy) await new Promise((resolve) => setImmediate(resolve));
  }
  if (runtime.actors < SESSIONS) throw new Error(`only ${runtime.actors} sessions are awake`);
  report.figure("scale.live_heap", (keptBytes() - empty) / SESSIONS / KIB, {
    unit: "KiB",
    goal: { op: "<=", value: 6 },
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  const began = performance.now();
  runtime.sweep();
  report.figure("scale.sleep_seconds", (performance.now() - began) / 1_000, {
    unit: "s",
    goal: { op: "<=", value: 1 },
  });
  if (runtime.actors > 0) throw new Error(`${runtime.actors} sessions are still awake`);
  report.figure("scale.sleeping_heap", (keptBytes() - empty) / MIB, {
    unit: "MiB",
    goal: { op: "<=", value: 5 },
  });
  await rig.store.close();
  report.figure("scale.sleeping_disk", statSync(join(home, "kith.db")).size / MIB, {
    unit: "MiB",
    goal: { op: "<=", value: 50 },
  });
}

export const scale: BenchPart = {
  name: "scale",
  title: "100,000 sessions, 1,000 devices",
  async run(report) {
    await sessions(report);
    await devices(report);
  },
};
