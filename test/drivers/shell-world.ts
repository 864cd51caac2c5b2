/** A machine to break out into: keys, sockets, processes and folders that a command must not reach. */
import { execFile, execFileSync, spawn } from "node:child_process";
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  readdir,
  readFile,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { shell } from "@kith/node-agent/drivers/shell/run";
import type { Sandbox } from "@kith/node-agent/drivers/shell/sandbox";
import { shellRun } from "@kith/shared/capabilities/shell";
import * as v from "valibot";
import { folder, lend } from "./support.ts";

export const SECRET = "kith-canary-5c1f";
/** What an attempt prints when it worked. */
export const ESCAPED = "ESCAPED";
export const isRoot = process.geteuid?.() === 0;
/** A command never runs as root: in a test that does, the folders are nobody's. */
const person = isRoot ? { uid: 65_534, gid: 65_534 } : {};

/** Why the real sandbox cannot be tried here, or undefined. */
export const lacking = ((): string | undefined => {
  const needed = [
    ["bwrap", "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"],
    ...[
      ["choom", "--version"],
      ["prlimit", "--version"],
    ],
    ...[
      ["/usr/bin/python3", "--version"],
      ["/bin/bash", "--version"],
    ],
  ];
  for (const [program = "", ...args] of needed)
    try {
      execFileSync(program, args, { stdio: "ignore", ...person });
    } catch {
      return `${program} is not installed, or does not work here`;
    }
  return undefined;
})();

export interface World extends AsyncDisposable {
  readonly base: string;
  /** The shared folder that commands get; `other` is shared too, under its own name. */
  readonly root: string;
  /** A process of the same person, outside. */
  readonly victim: number;
  readonly tcp: number;
  readonly udp: number;
  readonly abstract: string;
  run(argv: readonly string[], more?: Partial<Given>): Promise<Answer>;
  /** The same without a sandbox; "root" only where the test is root. */
  outside(argv: readonly string[], as: "person" | "root"): Promise<string>;
}

export type Given = v.InferInput<typeof shellRun.args> & { signal: AbortSignal };
export type Answer = v.InferOutput<typeof shellRun.out> & {
  readonly contents: Map<string, Uint8Array>;
};

export const python = (code: string) => ["/usr/bin/python3", "-c", code];
export const bash = (code: string) => ["/bin/bash", "-c", code];

/** Runs the driver as the agent would: arguments and answer go through the capability's own schemas. */
export async function runShell(
  driver: ReturnType<typeof shell>,
  { signal, ...given }: v.InferInput<typeof shellRun.args> & { signal?: AbortSignal },
): Promise<Answer> {
  const tools = lend(signal);
  const out = v.parse(shellRun.out, await driver.run(v.parse(shellRun.args, given), tools));
  const roles = tools.said.map((said) => said.split(" ")[1] ?? "");
  const contents = tools.contents.map((content, at) => {
    if (!("bytes" in content)) throw new Error("a file was handed over");
    return [roles[at] ?? "", content.bytes] as const;
  });
  return { ...out, contents: new Map(contents) };
}

/** A folder with a shared folder in it, and a driver for that. */
export async function desk(sandbox?: Sandbox | string) {
  const home = await folder();
  await chmod(home.path, 0o755);
  const own = async (path: string) => {
    if (person.uid !== undefined) await chown(path, person.uid, person.gid);
  };
  const [root, other] = [join(home.path, "root"), join(home.path, "other")];
  for (const path of ["root", "root/docs", "other", "home", "home/.ssh", "kith", "kith/keys"]) {
    await mkdir(join(home.path, path));
    await own(join(home.path, path));
  }
  const closed = { home: join(home.path, "home"), own: [join(home.path, "kith")] };
  const roots = new Map([
    ["work", root],
    ["other", other],
  ]);
  const driver = shell({ roots, closed, ...(sandbox && { sandbox }) });
  return { home, own, root, other, closed, roots, driver };
}

/** With the sandbox of this system, or a weaker one. */
export async function world(sandbox?: Sandbox): Promise<World> {
  const { home, own, root, driver } = await desk(sandbox);
  const base = home.path;
  for (const path of ["home/.ssh/id", "home/.profile", "kith/keys/node.key", "other/note"]) {
    await writeFile(join(base, path), `${SECRET}\n`);
    await own(join(base, path));
  }
  await symlink(join(base, "home/.ssh/id"), join(root, "link"));
  await symlink(base, join(root, "up"));
  // Root's own program with the set-user-id bit: whoever starts it outside is root in it.
  await copyFile("/usr/bin/id", join(root, "suid-id"));
  await chmod(join(root, "suid-id"), 0o4755);

  const abstract = `kith-${process.pid}-${Date.now()}`;
  const greet = (): Server =>
    createServer((socket) => void socket.on("error", () => {}).end(ESCAPED));
  const servers = [greet(), greet(), greet(), greet()] as const;
  const [tcp, hidden, node, inside] = servers;
  await Promise.all([
    once(tcp.listen(0, "127.0.0.1"), "listening"),
    once(hidden.listen(`\0${abstract}`), "listening"),
    once(node.listen(join(base, "kith/node.sock")), "listening"),
    once(inside.listen(join(root, "trap.sock")), "listening"),
  ]);
  for (const path of ["kith/node.sock", "root/trap.sock"]) await chmod(join(base, path), 0o777);
  const names = createSocket("udp4", (_, { port }) => names.send(ESCAPED, port, "127.0.0.1"));
  await once(names.bind(0, "127.0.0.1"), "listening");
  const victim = spawn("sleep", ["600"], {
    stdio: "ignore",
    env: { KITH_VICTIM: SECRET },
    ...person,
  });
  await once(victim, "spawn");
  const address = tcp.address();

  return {
    base,
    root,
    victim: victim.pid ?? 0,
    tcp: typeof address === "object" && address ? address.port : 0,
    udp: names.address().port,
    abstract,
    run: (argv, more) =>
      runShell(driver, { argv: [...argv], cwd: { root: "work" }, timeout_s: 20, ...more }),
    async outside([program = "", ...args], as) {
      const options = {
        cwd: root,
        timeout: 20_000,
        env: { ...process.env, HOME: join(base, "home") },
        ...(as === "person" && person),
      };
      return await promisify(execFile)(program, args, options).then(
        ({ stdout }) => stdout,
        (failed: { stdout?: string }) => failed.stdout ?? "",
      );
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.close();
      names.close();
      victim.kill("SIGKILL");
      await once(victim, "exit");
      await home[Symbol.asyncDispose]();
    },
  };
}

/** Processes of this machine that have `word` on their command line, as numbers. */
export async function running(word: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (line.split("\0").includes(word)) found.push(Number(name));
  }
  return found;
}
