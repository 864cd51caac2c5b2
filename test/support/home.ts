/**
 * A gateway and its nodes as real processes with real sockets, in folders of their own.
 *
 *   paired homes, made once a file ─ copied ─► world ─► gateway ══ loopback ══ node-agents
 *
 * Whatever was started is ended by its process id: with the world, or when the file is over.
 */
import { spawn, type ChildProcess } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "../../gateway/bin/build.mjs";
import { Control, Owner, Refusal } from "./control.ts";
import { freePort } from "./free-port.ts";
import { leaksOf } from "./leaks.ts";
import { until } from "./until.ts";

export { until } from "./until.ts";
export { Control, Owner, Refusal } from "./control.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const hook = fileURLToPath(new URL("crash-at.ts", import.meta.url));

await build();

const running = new Set<Running>();
const folders = new Set<string>();
const sweep = () => {
  for (const one of running) one.child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
};
// A test file ends long before its process does.
if (process.env.VITEST !== undefined) {
  const { afterAll } = await import("vitest");
  afterAll(async () => {
    sweep();
    await Promise.all([...running].map(({ ended }) => ended));
  });
}
process.on("exit", sweep);

/** Gone when the file is over. */
export function freshFolder(name = "kith-journey-", where = tmpdir()): string {
  const folder = mkdtempSync(join(where, name));
  folders.add(folder);
  return folder;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface How {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A crash point and which pass of it, such as `tl.send:1`. */
  readonly crashAt?: string;
  /** Passes count from the moment that this file exists. */
  readonly armed?: string;
  /** File that gets the names of all points that are passed. */
  readonly passed?: string;
  /** A command that ends by becoming ours, such as `unshare`. */
  readonly through?: readonly string[];
}

/** A process that says JSON lines. */
export class Running {
  readonly child: ChildProcess;
  readonly events: any[] = [];
  readonly ended: Promise<Ended>;
  over: Ended | undefined;
  stderr = "";

  constructor(program: string, args: readonly string[], { env = {}, ...how }: How = {}) {
    const { PATH, LANG } = process.env;
    const crash = how.crashAt !== undefined || how.passed !== undefined;
    const node = [process.execPath, ...(crash ? ["--import", hook] : [])];
    const [first = "", ...rest] = [
      ...(how.through ?? []),
      // An executable brings its own Node.
      ...(/\.m?[jt]s$/.test(program) ? node : []),
      program,
      ...args,
      ...(how.args ?? []),
    ];
    this.child = spawn(first, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      env: {
        PATH,
        LANG,
        HOME: tmpdir(),
        ...(how.crashAt === undefined ? {} : { KITH_CRASH_AT: how.crashAt }),
        ...(how.armed === undefined ? {} : { KITH_CRASH_ARMED: how.armed }),
        ...(how.passed === undefined ? {} : { KITH_CRASH_LOG: how.passed }),
        ...env,
      },
    });
    running.add(this);
    this.child.stdin?.on("error", () => {}); // It ended first; `ended` tells.
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on("line", (line) => {
        try {
          this.events.push(JSON.parse(line));
        } catch {
          this.events.push({ event: "text", line });
        }
      });
    }
    this.ended = new Promise((resolve) =>
      this.child.once("close", (code, signal) => {
        running.delete(this);
        this.over = { code, signal };
        resolve(this.over);
      }),
    );
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The first event that fits, counted from the `from`th; rejects when it can come no more. */
  async event(name: string, fits: (event: any) => boolean = () => true, from = 0): Promise<any> {
    const find = () => this.events.slice(from).find((one) => one.event === name && fits(one));
    await until(
      `the event ${name}`,
      () => find() ?? this.over,
      () => this.words,
    );
    const found = find();
    if (!found) throw new Error(`it ended without ${name}: ${this.words}`);
    return found;
  }

  get words(): string {
    return `${this.events.map((event) => JSON.stringify(event)).join("\n")}\n${this.stderr}`;
  }

  types(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  end(signal: NodeJS.Signals = "SIGKILL"): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }
}

export const POLICY =
  "camera.snap=allow,camera.list=allow,device.info=allow,device.status=allow,files.read=allow";
const NODE_ARGS = ["--camera", "test-pattern"];

/** One gateway's home, the homes of its nodes beside it, and what runs there. */
export class World implements AsyncDisposable {
  readonly folder: string;
  readonly home: string;
  readonly port: number;
  readonly #started: Running[] = [];
  readonly #closing: Disposable[] = [];
  gateway: Running | undefined;
  readonly nodes = new Map<string, Running>();
  #control: Control | undefined;
  /** The folder of the bundles that run here. */
  readonly programs: string;
  /** What is started as a node. */
  agent: string;
  /** Where nodes find the gateway when it is not the gateway itself: the port of a proxy here, or HOST:PORT. */
  readonly via = new Map<string, number | string>();
  /** Commands that end by becoming the node, by its name: into a network of its own. */
  readonly through = new Map<string, readonly string[]>();

  constructor(folder: string, port: number, programs = join(root, "dist")) {
    this.folder = folder;
    this.home = join(folder, "gateway");
    this.port = port;
    this.programs = programs;
    this.agent = join(programs, "kith-node.mjs");
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  nodeHome(name: string): string {
    return join(this.folder, name);
  }

  /** Does not wait for anything. */
  spawnGateway(how: How = {}): Running {
    const gateway = new Running(
      join(this.programs, "gateway.mjs"),
      ["--home", this.home, "--json"],
      how,
    );
    this.gateway = gateway;
    this.#started.push(gateway);
    return gateway;
  }

  /** @throws when it does not get ready */
  async startGateway(how: How = {}): Promise<Running> {
    const gateway = this.spawnGateway(how);
    await gateway.event("ready");
    return gateway;
  }

  spawnNode(name: string, how: How = {}): Running {
    const given = how.args ?? [];
    const via = this.via.get(name) ?? this.port;
    const through = this.through.get(name);
    const args = [
      "--home",
      this.nodeHome(name),
      "--gateway",
      typeof via === "number" ? `127.0.0.1:${via}` : via,
      "--name",
      name,
      "--json",
      ...given,
    ];
    const node = new Running(this.agent, args, {
      ...how,
      ...(through && { through }),
      args: [],
    });
    this.nodes.set(name, node);
    this.#started.push(node);
    return node;
  }

  /** Waits until the gateway knows what the node offers. `allow` changes its policy for good. */
  async startNode(
    name: string,
    { allow, ...how }: How & { readonly allow?: string } = {},
  ): Promise<Running> {
    const node = this.spawnNode(name, {
      ...how,
      args: [...(how.args ?? []), ...(allow === undefined ? [] : ["--allow", allow])],
    });
    await node.event("ready");
    for (const part of (allow ?? "").split(",").filter(Boolean)) {
      const [cap, rule] = part.split("=");
      await this.offers(name, (caps) =>
        caps.some((one) => one.cap === cap && one.policy === (rule === "off" ? "deny" : rule)),
      );
    }
    await this.offers(name, (caps) => caps.length > 0);
    return node;
  }

  /** Waits until the gateway has heard that this device is there and offers that. */
  async offers(name: string, fits: (caps: readonly any[]) => boolean): Promise<void> {
    await until(
      `what ${name} offers`,
      async () => {
        const found = (await this.devices()).find((one) => one.name === name);
        return found?.state === "online" && fits(found.caps);
      },
      () => this.nodes.get(name)?.words ?? "",
    );
  }

  async devices(): Promise<readonly any[]> {
    return (await this.call("devices.list")).out.devices;
  }

  /** One question to the gateway that runs now. */
  async call(op: string, args: object = {}) {
    if (!this.#control || this.#control.closed) {
      this.#control = await Control.open(this.home);
      this.#closing.push(this.#control);
    }
    return this.#control.call(op, args);
  }

  /** How it was refused. @throws when it was not */
  refused(op: string, args: object = {}): Promise<Refusal> {
    return this.call(op, args).then(
      ({ text }) => Promise.reject(new Error(`it was not refused: ${text}`)),
      (error) => (error instanceof Refusal ? error : Promise.reject(error)),
    );
  }

  async owner(chat?: string, trusts = false): Promise<Owner> {
    const owner = await Owner.enter(this.home, chat, trusts);
    this.#closing.push(owner);
    return owner;
  }

  /** Oldest first. */
  async audit(about?: string): Promise<readonly { seq: number; what: string; data: any }[]> {
    const { out } = await this.call("audit.list", {
      limit: 1_000,
      ...(about === undefined ? {} : { about }),
    });
    return out.rows.toSorted((a: any, b: any) => a.seq - b.seq);
  }

  async auditIsWhole(): Promise<boolean> {
    return (await this.call("audit.verify")).out.verified;
  }

  /** Rows of the node's own ledger, read from its disk. */
  async ledger(
    name: string,
    cap = "camera.snap",
  ): Promise<readonly { call: string; cap: string; state: string; starts: number }[]> {
    const reader = new Running(join(root, "dist/kith-node.mjs"), [
      "ledger",
      "--home",
      this.nodeHome(name),
      "--json",
    ]);
    await reader.ended;
    return reader.events.filter((row) => row.cap === cap);
  }

  /** Lets a new node in, as two people do: one at each end. */
  async pair(name: string, how: How = {}): Promise<Running> {
    await this.call("pair.listen");
    const owner = await this.owner();
    const node = this.spawnNode(name, {
      ...how,
      args: [...NODE_ARGS, "--allow", POLICY, ...(how.args ?? [])],
    });
    const { code } = await node.event("code");
    // Typed before the gateway knows it, a right code would be a wrong one.
    await owner.hear("the news of a device", ({ text }) =>
      text.startsWith(`${name} waits with its code`),
    );
    const { out } = await this.call("pair.approve", { code });
    await node.event("approved");
    node.types(out.returnCode);
    await node.event("paired");
    await this.offers(name, (caps) => caps.some(({ state }) => state === "ready"));
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#closing) one[Symbol.dispose]();
    await Promise.all(this.#started.map((one) => one.end()));
    const words = this.#started.map((one) => one.words).join("\n");
    // Two worlds may share one, for instance when one home is opened twice.
    const leaks = existsSync(this.folder) ? leaksOf(this.folder, words, [CANARY]) : [];
    rmSync(this.folder, { recursive: true, force: true });
    if (leaks.length > 0) throw new Error(leaks.join("\n"));
  }
}

/** A home that nobody has used; nothing runs. */
export async function freshWorld(folder = freshFolder(), programs?: string): Promise<World> {
  const world = new World(folder, await freePort(), programs);
  mkdirSync(world.home, { recursive: true, mode: 0o700 });
  writeConfig(world);
  return world;
}

const templates = new Map<string, Promise<string>>();

/** A secret that every paired home has, sealed: no test may find it anywhere else, and each world looks for it. */
const CANARY = "sk-canary-of-every-world+/=";

async function template(devices: readonly string[], programs?: string): Promise<string> {
  const folder = freshFolder("kith-paired-");
  const world = await freshWorld(folder, programs);
  const gateway = await world.startGateway();
  for (const name of devices) await world.pair(name);
  await world.call("secrets.set", { name: "canary", value: CANARY });
  for (const node of world.nodes.values()) await node.end("SIGTERM");
  await gateway.end("SIGTERM");
  return folder;
}

export function writeConfig({ home, port }: World): void {
  writeFileSync(join(home, "config.yaml"), `listen: 127.0.0.1:${port}\n`, { mode: 0o600 });
}

/** Gateway and nodes that know each other; nothing runs yet. */
export async function pairedWorld(
  devices: readonly string[] = ["laptop"],
  folder = freshFolder(),
  programs?: string,
): Promise<World> {
  const key = `${devices.join()} ${programs}`;
  const made = templates.get(key) ?? template(devices, programs);
  templates.set(key, made);
  cpSync(await made, folder, { recursive: true });
  const world = new World(folder, await freePort(), programs);
  writeConfig(world);
  return world;
}

/** Everything is up. */
export async function world(devices: readonly string[] = ["laptop"]): Promise<World> {
  const made = await pairedWorld(devices);
  await made.startGateway();
  for (const name of devices) await made.startNode(name);
  return made;
}

/** Memory that a process holds now, in MiB. */
export function residentMiB(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) / 1_024;
}
