/**
 * A node out of the product's own parts, paired over the control socket:
 * `node node.child.ts HOME durable|forgetful GATEWAY-HOME`. Its drivers answer at once.
 */
import fs from "node:fs";
import { open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";
import { Agent } from "@kith/node-agent/agent";
import { Home } from "@kith/node-agent/config";
import { Consent } from "@kith/node-agent/consent";
import type { AnyDriver, Driver } from "@kith/node-agent/drivers/driver";
import { Ledger } from "@kith/node-agent/ledger";
import { Incoming } from "@kith/node-agent/incoming";
import { Outgoing } from "@kith/node-agent/outgoing";
import { Policy } from "@kith/node-agent/policy";
import { register } from "@kith/node-agent/register";
import { Server } from "@kith/node-agent/serve";
import { systemClock as clock, systemRng as rng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { echoes, learnEcho, PARALLEL } from "./echo.ts";
import { forgetfulLedger } from "./no-journal.ts";
import { tellUsage } from "./usage.ts";

const [dir = "", journal = "", gatewayHome = ""] = process.argv.slice(2);
learnEcho();
const home = await Home.open(dir, { name: "bench", kind: "server" });
const names = echoes.map(({ name }) => name);
await home.save({ policy: Object.fromEntries(names.map((name) => [name, "allow" as const])) });
const syncs = await countSyncs();
const drivers: readonly AnyDriver[] = echoes.map((capability): Driver<typeof capability> => ({
  capability,
  parallel: PARALLEL,
  maxMs: 10_000,
  probe: () => Promise.resolve({ state: "ready" }),
  run: ({ text }) => Promise.resolve({ text }),
}));
const about = { name: "bench", kind: "server", os: "linux", arch: "x64", agent: "bench" } as const;
const own = await home.key();
await register(gatewayHome, { home, publicKey: own.publicKey, about, caps: names, clock });

const ledger =
  journal === "durable"
    ? await Ledger.open(home.path("ledger.log"), clock, rng)
    : forgetfulLedger(newId(clock, rng));
const policy = new Policy(home, clock);
const outgoing = new Outgoing(home.path("spool"), clock, rng);
const incoming = new Incoming();
const log = (error: unknown) => console.error(error);
const notices = { on: async () => {}, off: () => {} };
const consent = new Consent(clock);
const server = new Server({
  drivers,
  policy,
  ledger,
  consent,
  outgoing,
  incoming,
  notices,
  clock,
  log,
});
const agent = new Agent({
  ...{ clock, rng, home, own, about, drivers, policy, ledger, outgoing, incoming, server },
  soon: (fn) => void setImmediate(fn),
  boot: newId(clock, rng),
  person: { line: async () => undefined, choose: async () => undefined },
  say: async ({ event }) => {
    if (event === "ready") tellUsage(syncs);
  },
  network: () => "",
});
await agent.run(new AbortController().signal);

/** Counts the waits for the disk of this process, whichever way they are asked for. */
async function countSyncs(): Promise<() => number> {
  let count = 0;
  const counted = <F extends (...args: never[]) => unknown>(sync: F): F =>
    function (this: unknown, ...args: never[]) {
      count++;
      return sync.apply(this, args);
    } as F;
  fs.fdatasync = counted(fs.fdatasync) as typeof fs.fdatasync;
  fs.fdatasyncSync = counted(fs.fdatasyncSync);
  syncBuiltinESMExports();
  const file = await open(home.path("node.json"));
  const handles = Object.getPrototypeOf(file) as typeof file;
  handles.datasync = counted(handles.datasync);
  await file.close();
  return () => count;
}
