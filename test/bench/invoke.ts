/**
 * What a call costs, layer by layer, beside the bare wire: three processes (operator, gateway,
 * node) against a relay of three processes over the same kinds of socket that parses nothing.
 *
 *   L0 relay ─ L1 plain: no journal, no encryption ─ L2 + encryption ─ L3 + durable ─ L4 + session
 *
 * The relay carries one frame to the node and two back for each call, of the product's sizes.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { median, quantile, type Report } from "../report/report.ts";
import { freePort } from "../support/free-port.ts";
import { type Operator, load, overControl, overRelay } from "./invoke/operator.ts";
import type { Usage } from "./invoke/usage.ts";
import type { BenchPart } from "./part.ts";

const IN_FLIGHT = 64;
const ROUNDS = 5;
const ROUND_MS = 900;
const WARM_MS = 1_200;
const SEQUENTIAL = 200;

const layers = ["l0", "plain", "encrypted", "durable", "session"] as const;
type Layer = (typeof layers)[number];
const goals: Readonly<Partial<Record<Layer, number>>> = {
  plain: 1.3,
  encrypted: 1.1,
  durable: 0.4,
  session: 0.37,
};

/** Two processes and the operator's connection to them. */
interface Wired {
  readonly operator: Operator;
  /** Of gateway or relay, and of the node. */
  usage(): Promise<{ middle: Usage; far: Usage }>;
}

export const invoke: BenchPart = {
  name: "invoke",
  title: `calls over three processes, ${IN_FLIGHT} in flight`,
  async run(report) {
    const folder = mkdtempSync(join(tmpdir(), "kith-bench-"));
    const children: ChildProcess[] = [];
    try {
      const wired = new Map<Layer, Wired>();
      for (const layer of layers) {
        const one = await start(layer, folder, children);
        await load(one.operator, IN_FLIGHT, WARM_MS);
        wired.set(layer, one);
      }
      await compare(report, wired);
      await sequential(report, wired.get("durable") as Wired, folder);
      for (const { operator } of wired.values()) operator.close();
    } finally {
      await Promise.all(children.map(ended));
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function compare(report: Report, wired: ReadonlyMap<Layer, Wired>): Promise<void> {
  const rates = new Map<Layer, number[]>();
  const cpu = new Map<Layer, number[]>();
  const slow: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [layer, { operator, usage }] of wired) {
      const before = await usage();
      const { perSecond, latencies } = await load(operator, IN_FLIGHT, ROUND_MS);
      const after = await usage();
      push(rates, layer, perSecond);
      push(cpu, layer, (after.middle.cpuUs - before.middle.cpuUs) / latencies.length);
      if (layer === "durable") slow.push(...latencies);
      report.say(
        `  ${layer.padEnd(9)} ${Math.round(perSecond)}/s, cpu gateway ${last(cpu, layer)} node ${round1((after.far.cpuUs - before.far.cpuUs) / latencies.length)} µs, p50 ${round1(median(latencies))} ms`,
      );
    }
  }
  const bare = rates.get("l0") ?? [];
  for (const layer of layers) {
    const mine = rates.get(layer) ?? [];
    const goal = goals[layer];
    report.figure(`invoke.${layer}`, median(mine), {
      unit: "calls/s",
      ...(goal === undefined
        ? {}
        : {
            baseline: median(bare),
            ratio: median(mine.map((rate, round) => rate / (bare[round] ?? Number.NaN))),
            goal: { op: ">=", value: goal },
          }),
    });
  }
  report.figure("invoke.durable.p99", quantile(slow, 0.99), {
    unit: "ms",
    goal: { op: "<=", value: 12 },
  });
  report.figure("invoke.gateway_cpu", median(cpu.get("durable") ?? []), {
    unit: "us/call",
    goal: { op: "<=", value: 50 },
  });
}

/** One call at a time, beside one small sync at a time on the same disk. */
async function sequential(report: Report, { operator, usage }: Wired, folder: string) {
  const calls: number[] = [];
  const syncs: number[] = [];
  const file = openSync(join(folder, "synced"), "w");
  const slot = Buffer.alloc(64, 1);
  writeSync(file, Buffer.alloc(4_096));
  fdatasyncSync(file);
  const before = await usage();
  for (let at = 0; at < SEQUENTIAL; at++) {
    const begun = performance.now();
    await operator.call();
    calls.push(performance.now() - begun);
    const then = performance.now();
    writeSync(file, slot, 0, slot.length, 0);
    fdatasyncSync(file);
    syncs.push(performance.now() - then);
  }
  const after = await usage();
  closeSync(file);
  report.figure("invoke.sequential_p50", median(calls), {
    unit: "ms",
    baseline: median(syncs),
    goal: { op: "<=", value: 20 },
  });
  const waits = after.middle.syncs - before.middle.syncs + (after.far.syncs - before.far.syncs);
  report.figure("invoke.fsyncs_on_path", waits / SEQUENTIAL, { unit: "fsyncs/call" });
}

async function start(layer: Layer, folder: string, children: ChildProcess[]): Promise<Wired> {
  const port = String(await freePort());
  const child = async (file: string, args: readonly string[], plain = false) => {
    const one = spawn(
      process.execPath,
      [
        ...(process.env.KITH_BENCH_PROFILE === undefined
          ? []
          : ["--cpu-prof", `--cpu-prof-dir=${process.env.KITH_BENCH_PROFILE}/${layer}-${file}`]),
        ...(plain ? ["--import", program("plain.child.ts")] : []),
        program(file),
        ...args,
      ],
      { stdio: ["ignore", "inherit", "inherit", "ipc"] },
    );
    children.push(one);
    await said(one);
    return one;
  };
  const both = (operator: Operator, middle: ChildProcess, far: ChildProcess): Wired => ({
    operator,
    usage: async () => ({ middle: await asked(middle), far: await asked(far) }),
  });
  if (layer === "l0") {
    const path = join(folder, "relay.sock");
    const middle = await child("relay.child.ts", [path, port]);
    const far = await child("relay-node.child.ts", [port]);
    return both(await overRelay(path), middle, far);
  }
  const home = join(folder, layer);
  const journal = layer === "durable" || layer === "session" ? "durable" : "forgetful";
  const middle = await child("gateway.child.ts", [home, journal, port], layer === "plain");
  const far = await child(
    "node.child.ts",
    [join(folder, `${layer}-node`), journal, home],
    layer === "plain",
  );
  const op = layer === "session" ? "session.invoke" : "invoke";
  return both(await overControl(join(home, "control.sock"), op), middle, far);
}

/** Ends a child in order, so that a profile of it is written. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await gone;
}

const program = (file: string): string => join(import.meta.dirname, "invoke", file);

/** The next message of a child. @throws Error when it ends without one */
function said(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null) => reject(new Error(`a child ended with ${code}`));
    child.once("exit", gone);
    child.once("message", (message) => {
      child.off("exit", gone);
      resolve(message);
    });
  });
}

async function asked(child: ChildProcess): Promise<Usage> {
  const answer = said(child);
  child.send("usage");
  return (await answer) as Usage;
}

function push(table: Map<Layer, number[]>, layer: Layer, value: number): void {
  table.set(layer, [...(table.get(layer) ?? []), value]);
}

const round1 = (value: number): number => Math.round(value * 10) / 10;
const last = (table: ReadonlyMap<Layer, readonly number[]>, layer: Layer): number =>
  round1(table.get(layer)?.at(-1) ?? Number.NaN);
