/** What gateway and node-agent hold and burn while nothing happens, beside a WebSocket server that does nothing. */
import type { BenchPart } from "./part.ts";
import { BARE_WS, cpuMs, Product, pssMib } from "./product.ts";

/** After the start, so that its garbage is gone and its timers are known. */
const SETTLE_MS = 5_000;
const IDLE_MS = 15_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export const memory: BenchPart = {
  name: "memory",
  title: `idle for ${(SETTLE_MS + IDLE_MS) / 1_000} s, beside a bare ws server`,
  async run(report) {
    if (process.platform !== "linux") return report.skipped("memory", "needs /proc");
    await using product = await Product.make();
    // The first start pairs the device: what is measured only ever idled.
    await product.end(await product.gateway(), await product.node());
    const { child: gateway } = await product.gateway();
    const { child: node } = await product.node();
    const bare = await product.beside(BARE_WS);
    const empty = await product.beside("console.log(0); setInterval(() => {}, 1e6);");
    await sleep(SETTLE_MS);
    const all = [gateway, node, bare];
    const before = all.map(cpuMs);
    await sleep(IDLE_MS);
    const [ofGateway = 0, ofNode = 0, ofBare = 0] = all.map(
      (child, at) => (cpuMs(child) - (before[at] ?? 0)) / (IDLE_MS / 1_000),
    );
    const held = { unit: "MiB", baseline: pssMib(bare), ratio: null };
    report.figure("memory.gateway", pssMib(gateway), { ...held, goal: { op: "<=", value: 100 } });
    report.figure("memory.node", pssMib(node), { ...held, goal: { op: "<=", value: 60 } });
    report.figure("memory.empty", pssMib(empty), { unit: "MiB" });
    const burned = { unit: "ms/s", baseline: ofBare, ratio: null };
    report.figure("cpu_idle.gateway", ofGateway, burned);
    report.figure("cpu_idle.node", ofNode, burned);
  },
};
