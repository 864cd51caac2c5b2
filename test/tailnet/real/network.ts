/**
 * A tailnet of two machines without any other network: headscale and two daemons in userspace mode, each
 * machine a namespace of Linux, one cable between them.
 *
 *   gateway's  10.77.0.1 (headscale, its relay, kith-gw) ── 10.77.0.2  the device's (laptop)
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freshFolder, until } from "../../support/home.ts";
import { ip } from "../../support/ip.ts";
import { folder as tools } from "./tools.mjs";

const SERVER = "http://10.77.0.1:8080";
/** Nothing of it leaves: no logs, no port mapping, no certificates for its own relay. */
const QUIET = {
  ...{
    TS_NO_LOGS_NO_SUPPORT: "true",
    TS_DISABLE_PORTMAPPER: "1",
    TS_PANIC_IF_HIT_MAIN_CONTROL: "1",
  },
  ...{ TS_ASSUME_NETWORK_UP_FOR_TEST: "1", TS_DEBUG_USE_DERP_HTTP: "1" },
};

export type Place = "gateway" | "device";
const TAGS = { gateway: "tag:kith-gw", device: "tag:kith-node" };
const HOSTS = { gateway: "kith-gw", device: "laptop" };

export interface Policy {
  /** What the gateway may ask of the device; undefined: the policy does not speak of it. */
  readonly node?: readonly string[];
  /** What the device may be asked by the gateway. */
  readonly invoke?: readonly string[];
}

export class RealTailnet implements AsyncDisposable {
  readonly #folder = freshFolder("kith-real-tailnet-");
  readonly #id = process.pid % 100_000;
  readonly #running: ChildProcess[] = [];
  readonly #daemons = new Map<Place, ChildProcess>();
  readonly #env: NodeJS.ProcessEnv;
  #headscale: ChildProcess | undefined;

  private constructor(relayed: boolean) {
    this.#env = {
      PATH: `${tools}:${process.env.PATH}`,
      HOME: this.#folder,
      ...QUIET,
      ...(relayed && { TS_DEBUG_ALWAYS_USE_DERP: "1" }),
    };
  }

  /** `relayed`: no direct path is looked for. */
  static async open(policy: Policy, { relayed = false } = {}): Promise<RealTailnet> {
    const net = new RealTailnet(relayed);
    try {
      await net.#start(policy);
      return net;
    } catch (error) {
      await net[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What starts a program at that place. */
  through(place: Place): readonly string[] {
    return ["ip", "netns", "exec", `kitht${this.#id}${place}`];
  }

  /** Where its daemon listens. */
  socket(place: Place): string {
    return join(this.#folder, `${place}.sock`);
  }

  /** The network's owner changes the policy; the daemons hear of it by themselves. */
  setPolicy(policy: Policy): void {
    this.#writePolicy(policy);
    this.#headscale?.kill("SIGHUP");
  }

  /** SIGKILL, and gone. */
  async killDaemon(place: Place): Promise<void> {
    const daemon = this.#daemons.get(place);
    const gone = new Promise((resolve) => daemon?.once("close", resolve));
    daemon?.kill("SIGKILL");
    await gone;
  }

  async startDaemon(place: Place): Promise<void> {
    const state = join(this.#folder, place);
    mkdirSync(state, { recursive: true });
    this.#daemons.set(
      place,
      this.#spawn(place, "tailscaled", [
        ...["--tun=userspace-networking", `--statedir=${state}`],
        ...[`--socket=${this.socket(place)}`, "--port=0", "--no-logs-no-support"],
      ]),
    );
    await until(`the daemon of the ${place}`, () => this.#state(place) !== "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = this.#running
      .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      .map(
        (child) => new Promise((resolve) => (child.once("close", resolve), child.kill("SIGKILL"))),
      );
    await Promise.all(gone);
    for (const place of ["gateway", "device"])
      try {
        ip("netns", "del", `kitht${this.#id}${place}`);
      } catch {
        // It was never made.
      }
  }

  async #start(policy: Policy): Promise<void> {
    const names = { gateway: `kitht${this.#id}gateway`, device: `kitht${this.#id}device` };
    for (const name of Object.values(names)) ip("netns", "add", name);
    ip(
      "-n",
      names.gateway,
      "link",
      "add",
      "cable",
      "type",
      "veth",
      "peer",
      "name",
      "cable",
      "netns",
      names.device,
    );
    ip("-n", names.gateway, "addr", "add", "10.77.0.1/24", "dev", "cable");
    ip("-n", names.device, "addr", "add", "10.77.0.2/24", "dev", "cable");
    for (const name of Object.values(names))
      for (const link of ["lo", "cable"]) ip("-n", name, "link", "set", link, "up");
    this.#writePolicy(policy);
    writeFileSync(this.#config, headscaleConfig(this.#folder));
    this.#headscale = this.#spawn("gateway", "headscale", ["-c", this.#config, "serve"]);
    await until("headscale", () => this.#ask("gateway", "curl", "-fs", `${SERVER}/health`) !== "");
    this.#ask("gateway", "headscale", "-c", this.#config, "users", "create", "owner", "-o", "json");
    for (const place of ["gateway", "device"] as const) await this.#join(place);
  }

  async #join(place: Place): Promise<void> {
    const made = this.#ask(
      ...(["gateway", "headscale", "-c", this.#config, "preauthkeys", "create"] as const),
      ...["-u", "1", "-e", "1h", "--tags", TAGS[place], "-o", "json"],
    );
    const { key } = JSON.parse(made) as { key: string };
    await this.startDaemon(place);
    this.#ask(
      ...([place, "tailscale", `--socket=${this.socket(place)}`, "up"] as const),
      ...[`--login-server=${SERVER}`, `--auth-key=${key}`, `--hostname=${HOSTS[place]}`],
      ...["--accept-dns=false", "--timeout=30s"],
    );
    await until(`${place} in the tailnet`, () => this.#state(place) === "Running");
  }

  get #config(): string {
    return join(this.#folder, "config.yaml");
  }

  #state(place: Place): string {
    const said = this.#ask(
      place,
      "tailscale",
      `--socket=${this.socket(place)}`,
      "status",
      "--json",
    );
    return said && (JSON.parse(said) as { BackendState: string }).BackendState;
  }

  #writePolicy({ node, invoke }: Policy): void {
    const grant = (src: string, dst: string, cap: string, may: readonly string[] | undefined) =>
      may && { src: [src], dst: [dst], app: { [`kith.dev/cap/${cap}`]: [{ may }] } };
    const policy = {
      tagOwners: { [TAGS.gateway]: ["owner@"], [TAGS.device]: ["owner@"] },
      grants: [
        { src: [TAGS.device], dst: [TAGS.gateway], ip: ["tcp:*"] },
        grant(TAGS.device, TAGS.gateway, "node", node),
        grant(TAGS.gateway, TAGS.device, "invoke", invoke),
      ].filter(Boolean),
    };
    writeFileSync(join(this.#folder, "policy.hujson"), JSON.stringify(policy));
  }

  #spawn(place: Place, program: string, args: readonly string[]): ChildProcess {
    const [first = "", ...rest] = [...this.through(place), program, ...args];
    const log = openSync(join(this.#folder, `${program}-${place}.log`), "a");
    const child = spawn(first, rest, { env: this.#env, stdio: ["ignore", log, log] });
    this.#running.push(child);
    return child;
  }

  /** What a program said; empty when it failed. */
  #ask(place: Place, ...command: readonly string[]): string {
    const [first = "", ...rest] = [...this.through(place), ...command];
    try {
      return execFileSync(first, rest, {
        ...{ env: this.#env, encoding: "utf8", timeout: 40_000 },
        stdio: ["ignore", "pipe", "ignore"],
      });
    } catch {
      return "";
    }
  }
}

const headscaleConfig = (folder: string): string => `server_url: ${SERVER}
listen_addr: 10.77.0.1:8080
metrics_listen_addr: ""
grpc_listen_addr: 127.0.0.1:50443
noise: {private_key_path: ${folder}/noise.key}
prefixes: {v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}
database: {type: sqlite, sqlite: {path: ${folder}/db.sqlite, write_ahead_log: true}}
derp:
  server:
    enabled: true
    region_id: 999
    region_code: home
    region_name: home
    verify_clients: true
    stun_listen_addr: "10.77.0.1:3478"
    private_key_path: ${folder}/derp.key
    ipv4: 10.77.0.1
    automatically_add_embedded_derp_region: true
  urls: []
  paths: []
  auto_update_enabled: false
disable_check_updates: true
dns: {magic_dns: true, base_domain: kith.test, override_local_dns: false, nameservers: {global: []}}
policy: {mode: file, path: ${folder}/policy.hujson}
unix_socket: ${folder}/hs.sock
logtail: {enabled: false}
`;
