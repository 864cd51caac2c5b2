/** The shipped form for the parts that measure it from outside: bundles as processes, in a home of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pinnedNode, root } from "../../gateway/bin/install.mjs";
import { launch, type Launched, stop } from "../../gateway/bin/processes.mjs";
import { ours } from "../support/children.ts";
import { freePort } from "../support/free-port.ts";

const POLICY = "device.info=allow,device.status=allow,files.read=allow";

/** A gateway's home with one device of this machine in it, and whatever runs there. */
export class Product implements AsyncDisposable {
  readonly home: string;
  readonly #running = new Set<Launched>();
  readonly #others: ChildProcess[] = [];

  private constructor(home: string) {
    this.home = home;
  }

  static async make(): Promise<Product> {
    const home = mkdtempSync(join(tmpdir(), "kith-bench-"));
    // The same one after each start: a paired device looks for it where it was.
    const listen = `listen: 127.0.0.1:${await freePort()}\n`;
    writeFileSync(join(home, "config.yaml"), listen, { mode: 0o600 });
    return new Product(home);
  }

  /** Resolves when it listens. */
  gateway(): Promise<Launched> {
    return this.#ready(launch("gateway", ["--home", this.home, "--json"]));
  }

  /** Resolves when it is linked with the gateway. `more`: further arguments. */
  node(...more: readonly string[]): Promise<Launched> {
    const args = ["--home", join(this.home, "node"), "--local", "--json", "--name", "laptop"];
    const env = { ...process.env, KITH_HOME: this.home };
    return this.#ready(launch("node", [...args, "--allow", POLICY, ...more], { env }));
  }

  /** A program beside it, on the same Node; ready when it has printed its first line. */
  async beside(script: string): Promise<ChildProcess> {
    const args = ["--input-type=module", "-e", script];
    const child = ours(
      spawn(pinnedNode(), args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] }),
    );
    this.#others.push(child);
    await once(child.stdout, "data");
    return child;
  }

  async end(...launched: readonly Launched[]): Promise<void> {
    await stop([...launched]);
    for (const one of launched) this.#running.delete(one);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop([...this.#running]);
    for (const child of this.#others) child.kill();
    rmSync(this.home, { recursive: true, force: true });
  }

  async #ready(one: Launched): Promise<Launched> {
    this.#running.add(one);
    await one.event("ready");
    return one;
  }
}

/** A WebSocket server that does nothing: what any gateway weighs at least. */
export const BARE_WS = `import { WebSocketServer } from "ws";
new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false }, () => console.log("ready"));`;

/** MiB that a process holds, with its share of what others hold too. @throws where there is no /proc */
export function pssMib({ pid = 0 }: ChildProcess): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? Number.NaN) / 1_024;
}

/** Ms on a processor so far, all threads that still live. @throws where there is no /proc */
export function cpuMs({ pid = 0 }: ChildProcess): number {
  const tasks = `/proc/${pid}/task`;
  let ns = 0;
  for (const task of readdirSync(tasks))
    ns += Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]);
  return ns / 1e6;
}
