// @ts-check
/**
 * The figures of the first release, bundled form, each beside its physical limit in the same run:
 * `node test/bench/figures.mjs [--json] [--idle SECONDS]`. Interleaved rounds, medians.
 *
 * These machines are noisy: read ratios before milliseconds.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { prepare } from "../../gateway/bin/build.mjs";
import { connect } from "../../gateway/bin/control.mjs";
import { pinnedNode, root } from "../../gateway/bin/install.mjs";
import { launch, stop } from "../../gateway/bin/processes.mjs";

const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, idle: { type: "string", default: "30" } },
});
const median = (/** @type {number[]} */ list) =>
  list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
const round = (/** @type {number} */ n) => Math.round(n * 100) / 100;
const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @type {{ name: string, value: number, unit: string, baseline: number | null, of: string | null, aim: string | null }[]} */
const figures = [];
function figure(
  /** @type {string} */ name,
  /** @type {number} */ value,
  /** @type {string} */ unit,
  /** @type {{ baseline?: number, of?: string, aim?: string }} */ more = {},
) {
  figures.push({
    name,
    value: round(value),
    unit,
    baseline: more.baseline === undefined ? null : round(more.baseline),
    of: more.of ?? null,
    aim: more.aim ?? null,
  });
  if (values.json) return;
  const beside =
    more.baseline === undefined ? "" : `   beside ${round(more.baseline)} ${unit} (${more.of})`;
  console.log(
    `${name.padEnd(44)} ${String(round(value)).padStart(9)} ${unit}${beside}${more.aim ? `   aim ${more.aim}` : ""}`,
  );
}

/** Proportional set size in MiB, with everything a process started. Linux only. */
const pss = (/** @type {number} */ pid) =>
  Number(
    /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? Number.NaN,
  ) / 1_024;

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });

function timed(/** @type {() => void} */ what) {
  const begun = performance.now();
  what();
  return performance.now() - begun;
}

await prepare();
const home = mkdtempSync(join(tmpdir(), "kith-bench-"));
const port = await freePort();
writeFileSync(join(home, "config.yaml"), `listen: 127.0.0.1:${port}\n`);
const startGateway = () => launch("gateway", ["--home", home, "--json"]);

// Start: from spawn to ready, interleaved with an empty program.
const empty = [];
const ready = [];
for (let at = 0; at < 8; at++) {
  empty.push(timed(() => spawnSync(pinnedNode(), ["-e", "0"])));
  const begun = performance.now();
  const gateway = startGateway();
  await gateway.event("ready");
  ready.push(performance.now() - begun);
  await stop([gateway]);
}
figure("gateway start to ready", median(ready), "ms", {
  baseline: median(empty),
  of: "node -e 0",
  aim: "400",
});

const gateway = startGateway();
await gateway.event("ready");
const node = launch(
  "node",
  [
    "--home",
    join(home, "node"),
    "--local",
    "--json",
    "--name",
    "laptop",
    "--camera",
    "test-pattern",
    "--allow",
    "camera.snap=allow,camera.list=allow,device.info=allow,device.status=allow",
  ],
  { env: { ...process.env, KITH_HOME: home } },
);
await node.event("ready");
const idle = spawn(pinnedNode(), ["-e", "setInterval(() => {}, 1e6)"], { stdio: "ignore" });

// The command line, beside the same Node doing nothing.
const cliEmpty = [];
const cli = [];
for (let at = 0; at < 12; at++) {
  cliEmpty.push(timed(() => spawnSync(process.execPath, ["-e", "0"])));
  cli.push(
    timed(() =>
      spawnSync(process.execPath, [join(root, "gateway/bin/kith.mjs"), "devices", "--json"], {
        env: { ...process.env, KITH_HOME: home },
      }),
    ),
  );
}
figure("kith devices, beyond node -e 0", median(cli) - median(cliEmpty), "ms", {
  baseline: median(cliEmpty),
  of: "node -e 0",
  aim: "100",
});

const link = await connect(home);
const invoke = async (
  /** @type {string} */ cap,
  /** @type {object} */ args = {},
  /** @type {object} */ more = {},
) => {
  const begun = performance.now();
  const { out } = await link.call("invoke", { device: "laptop", cap, args, ...more });
  return { ms: performance.now() - begun, out };
};

// One small fsync on this disk, in the same run.
const scratch = join(home, "scratch");
const fd = openSync(scratch, "w");
const fsyncs = [];
for (let at = 0; at < 200; at++) {
  writeSync(fd, new Uint8Array(512), 0, 512, 0);
  fsyncs.push(timed(() => fdatasyncSync(fd)));
}
closeSync(fd);

for (let at = 0; at < 50; at++) await invoke("device.status");
const trips = [];
for (let at = 0; at < 400; at++) trips.push((await invoke("device.status")).ms);
figure("device.status, control socket to node and back", median(trips), "ms", {
  baseline: median(fsyncs),
  of: "one fdatasync",
});
const { out: audit } = await link.call("audit.list", { limit: 1_000 });
/** @type {Map<string, number>} */
const sent = new Map();
const inside = [];
for (const { what, at, data } of audit.rows) {
  if (what === "call.sent") sent.set(data.call, at);
  const begun = what === "call.done" ? sent.get(data.call) : undefined;
  if (begun !== undefined) inside.push(at - begun);
}
const mean = inside.reduce((sum, ms) => sum + ms, 0) / inside.length;
figure("device.status, decision to result in the gateway", mean, "ms", {
  baseline: median(fsyncs),
  of: "one fdatasync; mean of whole ms",
});

const photos = [];
const drawn = [];
await invoke("camera.snap", { max_edge_px: 4_096 }, { allow: "1h" });
for (let at = 0; at < 5; at++) {
  const { ms, out } = await invoke("camera.snap", { max_edge_px: 4_096 });
  const { width_px, height_px } = out.out;
  if (width_px * height_px < 12_000_000) throw new Error(`only ${width_px} x ${height_px}`);
  if (statSync(out.streams[0].path).size !== out.streams[0].bytes)
    throw new Error("the file is not whole");
  photos.push(ms);
}
// What of that is drawing and encoding, which no transport can save: the driver alone.
const script = `import { testPattern } from ${JSON.stringify(join(root, "node-agent/src/drivers/camera/test-pattern.ts"))};
const source = testPattern(); const [camera] = await source.list(AbortSignal.timeout(60000)); const times = [];
for (let i = 0; i < 6; i++) { const t = performance.now(); await source.snap(camera, 4096, AbortSignal.timeout(60000)); times.push(performance.now() - t); }
console.log(JSON.stringify(times.slice(1)));`;
const alone = spawnSync(pinnedNode(), ["--input-type=module-typescript", "-e", script], {
  encoding: "utf8",
  cwd: root,
});
drawn.push(...JSON.parse(alone.stdout || "[]"));
figure("12-megapixel photo, request to file", median(photos), "ms", {
  baseline: median(drawn),
  of: "the driver alone draws and encodes it",
});

link.close();
console.error(values.json ? "" : `idle for ${values.idle} s …`);
await sleep(Number(values.idle) * 1_000);
const bare = pss(idle.pid ?? 0);
// The photos above grew the heaps: idle memory is that of processes that only ever idled.
await stop([gateway, node]);
const quiet = startGateway();
await quiet.event("ready");
const quietNode = launch("node", ["--home", join(home, "node"), "--local", "--json"], {
  env: { ...process.env, KITH_HOME: home },
});
await quietNode.event("ready");
await sleep(Number(values.idle) * 1_000);
figure("gateway idle, PSS", pss(quiet.child.pid ?? 0), "MiB", {
  baseline: bare,
  of: "bare node, idle",
  aim: "100",
});
figure("node-agent idle, PSS", pss(quietNode.child.pid ?? 0), "MiB", {
  baseline: bare,
  of: "bare node, idle",
  aim: "60",
});

idle.kill();
await stop([quiet, quietNode]);
rmSync(home, { recursive: true });
if (values.json) console.log(JSON.stringify({ ok: true, figures }));
process.exit(0);
