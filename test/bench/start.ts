/** From spawn to ready: gateway, node-agent and the command line, each in turn with an empty program. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { pinnedNode, root } from "../../gateway/bin/install.mjs";
import { median } from "../report/report.ts";
import type { BenchPart } from "./part.ts";
import { Product } from "./product.ts";

const ROUNDS = 9;

export const start: BenchPart = {
  name: "start",
  title: "from spawn to ready, beside node -e 0",
  async run(report) {
    await using product = await Product.make();
    const kith = join(root, "gateway/bin/kith.mjs");
    const env = { ...process.env, KITH_HOME: product.home };
    const times = { empty: [], gateway: [], node: [], cli: [] } as Record<string, number[]>;
    const time = async <T>(what: string, run: () => T): Promise<Awaited<T>> => {
      const began = performance.now();
      const made = await run();
      times[what]?.push(performance.now() - began);
      return made;
    };
    // Once each, not counted: pairs the device and brings the files into memory.
    await product.end(await product.gateway(), await product.node());
    for (let round = 0; round < ROUNDS; round++) {
      await time("empty", () => spawnSync(pinnedNode(), ["-e", "0"]));
      const gateway = await time("gateway", () => product.gateway());
      const node = await time("node", () => product.node());
      const { status } = await time("cli", () =>
        spawnSync(pinnedNode(), [kith, "devices", "--json"], { env }),
      );
      if (status !== 0) throw new Error(`kith devices ended with ${status}`);
      await product.end(node, gateway);
    }
    const { empty = [], gateway = [], node = [], cli = [] } = times;
    const baseline = median(empty);
    const beside = { unit: "ms", baseline };
    const beyond = cli.map((ms, round) => ms - (empty[round] ?? Number.NaN));
    const goal = (value: number) => ({ goal: { op: "<=", value }, ratio: null }) as const;
    report.figure("start.gateway", median(gateway), { ...beside, ...goal(400) });
    report.figure("start.node", median(node), beside);
    report.figure("start.cli", median(cli), beside);
    report.figure("start.cli_beyond", median(beyond), { ...beside, ...goal(100) });
  },
};
