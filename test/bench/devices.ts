/**
 * 1,000 devices at one gateway, through real sockets from another process: what each costs beyond a
 * bare WebSocket, and whether the last one joins as cheaply as the first.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startGateway } from "@kith/gateway/gateway";
import { loadKeys } from "@kith/gateway/keys";
import type { Event } from "@kith/gateway/runtime/effect";
import type { Kind } from "@kith/gateway/runtime/kind";
import { fromHex, hex, keyId } from "@kith/shared/ids";
import { WebSocketServer } from "ws";
import type { Report } from "../report/report.ts";
import { median } from "../report/report.ts";
import { keptBytes, Rig } from "./rig.ts";

const DEVICES = 1_000;
/** Medians of so many joins at either end. */
const ENDS = 50;
const ROUNDS = 3;
const KIB = 1_024;
/** They join, so that nothing is measured cold, and leave again. */
const WARM = 100;
const CHILD = fileURLToPath(new URL("devices.child.ts", import.meta.url));
const CARD = { name: "lamp", kind: "server", os: "linux", arch: "x64", agent: "bench" } as const;

/** What the child is asked, and what it answers. */
export type Ask =
  | { readonly do: "keys"; readonly count: number }
  | { readonly do: "join"; readonly port: number; readonly gateway: string; readonly count: number }
  | { readonly do: "bare"; readonly port: number; readonly count: number }
  | { readonly do: "leave" };
export interface Answer {
  /** Public keys, hex. */
  readonly keys?: readonly string[];
  /** Ms from the first byte to welcome, one after the other. */
  readonly joins?: readonly number[];
  readonly failed?: string;
}

async function ask(child: ChildProcess, what: Ask): Promise<Answer> {
  child.send(what);
  const [answer] = (await once(child, "message")) as [Answer];
  if (answer.failed !== undefined) throw new Error(answer.failed);
  return answer;
}

/** Heap of one bare WebSocket that a `ws` server holds. */
async function bare(child: ChildProcess): Promise<number> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server has one
  await ask(child, { do: "bare", port, count: WARM });
  await ask(child, { do: "leave" });
  const before = await settledBytes();
  await ask(child, { do: "bare", port, count: DEVICES });
  const each = ((await settledBytes()) - before) / DEVICES;
  await ask(child, { do: "leave" });
  server.close();
  await once(server, "close");
  return each;
}

/** What is kept once the sockets have said all they had to say. */
async function settledBytes(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  return keptBytes();
}

/** A home in which all of these devices are paired. */
async function pair(home: string, keys: readonly string[]): Promise<void> {
  // Nobody has called these devices: there is no call to tell of the pairing.
  const calls: Kind = { name: "invocation", receive: () => {}, reload: () => {} };
  await using rig = await Rig.start({ home, more: [calls] });
  for (const [at, key] of keys.entries()) {
    const device = keyId(fromHex(key));
    const about = { ...CARD, name: `lamp ${at}` };
    const paired = {
      type: "device.paired",
      device,
      key,
      about,
      ceiling: ["device.info"],
      how: "code",
    };
    rig.runtime.tell(`device/${device}`, paired as Event);
  }
  while (rig.runtime.busy) await new Promise((resolve) => setImmediate(resolve));
  if (rig.failures > 0) throw new Error("not all devices could be paired");
}

export async function devices(report: Report): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "kith-bench-"));
  const here = process.cwd();
  const child = fork(CHILD, [], { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] });
  try {
    const each = await bare(child);
    const { keys = [] } = await ask(child, { do: "keys", count: DEVICES });
    await pair(home, keys);
    writeFileSync(join(home, "config.yaml"), "listen: 127.0.0.1:0\n", { mode: 0o600 });
    const gateway = await startGateway({
      home,
      fatal: (error) => {
        throw error;
      },
    });
    try {
      const port = Number(gateway.addresses[0]?.split(":").at(-1));
      const { publicKey } = (await loadKeys(home)).noise;
      const join = { do: "join", port, gateway: hex(publicKey) } as const;
      await ask(child, { ...join, count: WARM });
      await ask(child, { do: "leave" });
      const empty = await settledBytes();
      const weights: number[] = [];
      const firsts: number[] = [];
      const lasts: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const { joins = [] } = await ask(child, { ...join, count: DEVICES });
        weights.push(((await settledBytes()) - empty) / DEVICES / KIB);
        firsts.push(median(joins.slice(0, ENDS)));
        lasts.push(median(joins.slice(-ENDS)));
        await ask(child, { do: "leave" });
        await settledBytes();
      }
      report.figure("scale.device_heap", median(weights) - each / KIB, {
        unit: "KiB over bare ws",
        baseline: each / KIB,
        ratio: null,
        goal: { op: "<=", value: 30 },
      });
      report.figure("scale.join_ratio", median(lasts), {
        unit: "ms",
        baseline: median(firsts),
        ratio: median(lasts.map((ms, at) => ms / (firsts[at] ?? 0))),
        goal: { op: "<=", value: 1.2 },
      });
    } finally {
      await gateway.stop();
    }
  } finally {
    process.chdir(here);
    child.kill();
    rmSync(home, { recursive: true, force: true });
  }
}
