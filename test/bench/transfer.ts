/**
 * A file from a node to a synced file at the gateway, until the operator is told where it lies:
 * 4 and 60 MiB, beside two relays of three processes over the same kinds of socket.
 *
 *   bare: masked, as every client must, else nothing      plain: also sealed, hashed, written, synced
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, rmSync, writeSync, closeSync, statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../gateway/bin/control.mjs";
import { median, type Report } from "../report/report.ts";
import type { BenchPart } from "./part.ts";
import { freePort } from "../support/free-port.ts";
import { Product, pssMib } from "./product.ts";

const MIB = 1_048_576;
const SIZES = [
  { mib: 4, rounds: 11 },
  { mib: 60, rounds: 5 },
] as const;
const SAMPLE_MS = 10;
/** For a baseline that does not answer: a bench that hangs measures nothing. */
const PATIENCE_MS = 60_000;

/** Moves one file and resolves when whoever asked was told that it is there. */
type Move = (name: string) => Promise<void>;

export const transfer: BenchPart = {
  name: "transfer",
  title: "a file from a node to the gateway's disk, beside relays",
  async run(report) {
    const folder = mkdtempSync(join(tmpdir(), "kith-bench-"));
    const shared = join(folder, "shared");
    mkdirSync(shared);
    for (const { mib } of SIZES) fill(join(shared, String(mib)), mib);
    const children: ChildProcess[] = [];
    try {
      await using product = await Product.make();
      const gateway = await product.gateway();
      const node = await product.node("--root", `docs=${shared}`);
      const link = await connect(product.home);
      let allow: { allow?: string } = { allow: "1h" };
      const kith: Move = async (name) => {
        const args = { path: name };
        const asked = { device: "laptop", cap: "files.read", args, ...allow };
        const { out } = await link.call("invoke", asked);
        allow = {};
        const [{ path, bytes }] = out.streams;
        if (statSync(path).size !== bytes || bytes !== Number(name) * MIB)
          throw new Error("the file is not whole");
      };
      const moves = {
        kith,
        plain: await relay("plain", folder, shared, children),
        bare: await relay("bare", folder, shared, children),
      };
      // Loaded and compiled, not yet grown.
      for (const move of Object.values(moves)) await move("4");
      const ends = { gateway: gateway.child, node: node.child };
      if (process.platform === "linux") await growth(report, ends, () => kith("60"));
      else report.skipped("transfer.gateway_memory", "needs /proc");
      for (const size of SIZES) await compare(report, moves, size);
      link.close();
    } finally {
      for (const child of children) child.disconnect();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function compare(
  report: Report,
  moves: Readonly<Record<"kith" | "plain" | "bare", Move>>,
  { mib, rounds }: { readonly mib: number; readonly rounds: number },
): Promise<void> {
  const times = { kith: [], plain: [], bare: [] } as Record<keyof typeof moves, number[]>;
  for (let round = 0; round < rounds; round++) {
    for (const [way, move] of Object.entries(moves)) {
      const began = performance.now();
      await move(String(mib));
      times[way as keyof typeof moves].push(performance.now() - began);
    }
  }
  const over = (other: "plain" | "bare") =>
    median(times.kith.map((ms, round) => ms / (times[other][round] ?? Number.NaN)));
  report.figure(`transfer.${mib}mib`, median(times.kith), {
    unit: "ms",
    baseline: median(times.plain),
    ratio: over("plain"),
    goal: { op: "<=", value: 0.75 },
  });
  report.figure(`transfer.${mib}mib.bare_ratio`, median(times.kith), {
    unit: "ms",
    baseline: median(times.bare),
    ratio: over("bare"),
  });
}

/** How much the two ends grow at most while a file passes that is larger than the growth may be. */
async function growth(
  report: Report,
  ends: Readonly<Record<"gateway" | "node", ChildProcess>>,
  move: () => Promise<void>,
): Promise<void> {
  const look = () => ({ gateway: pssMib(ends.gateway), node: pssMib(ends.node) });
  const before = look();
  const most = { ...before };
  const sampler = setInterval(() => {
    const now = look();
    most.gateway = Math.max(most.gateway, now.gateway);
    most.node = Math.max(most.node, now.node);
  }, SAMPLE_MS);
  await move();
  clearInterval(sampler);
  const goal = { op: "<=", value: 16 } as const;
  report.figure("transfer.gateway_memory", most.gateway - before.gateway, { unit: "MiB", goal });
  report.figure("transfer.node_memory", most.node - before.node, { unit: "MiB" });
}

async function relay(
  kind: "bare" | "plain",
  folder: string,
  shared: string,
  children: ChildProcess[],
): Promise<Move> {
  const port = String(await freePort());
  const path = join(folder, `${kind}.sock`);
  const to = join(folder, kind);
  mkdirSync(to);
  const child = async (file: string, args: readonly string[]) => {
    const url = new URL(`transfer/${file}`, import.meta.url);
    const one = fork(url, args, { execArgv: [] });
    children.push(one);
    return one;
  };
  const middle = await child("relay.child.ts", [kind, port, path, to]);
  await once(middle, "message");
  const ready = once(middle, "message");
  await child("relay-far.child.ts", [kind, port, shared]);
  await ready;
  const operator = createConnection(path);
  await once(operator, "connect");
  return (name) => asked(operator, name);
}

async function asked(operator: Socket, name: string): Promise<void> {
  const done = once(operator, "data", { signal: AbortSignal.timeout(PATIENCE_MS) });
  operator.write(`${name}\n`);
  await done;
}

/** Bytes that nothing could compress or guess. */
function fill(path: string, mib: number): void {
  const file = openSync(path, "w");
  for (let at = 0; at < mib * 16; at++)
    writeSync(file, crypto.getRandomValues(new Uint8Array(65_536)));
  closeSync(file);
}
