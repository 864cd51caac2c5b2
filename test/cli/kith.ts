/** Runs the command `kith` as a person does, against a gateway that is only its control socket. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const BIN = fileURLToPath(new URL("../../gateway/bin/kith.mjs", import.meta.url));

/** What `--json` prints; a test looks at what it asked for. */
export interface Json {
  readonly error: { readonly code: string; readonly message: string; readonly remedy: string };
  readonly streams: readonly { readonly path: string }[];
}

export interface Asked {
  readonly op: string;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of standard output, when it is JSON. */
  readonly json: Json;
}

export async function freshHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "kith-cli-"));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  return home;
}

export function kith(home: string, ...args: string[]): Promise<Ended> {
  const env = { ...process.env, KITH_HOME: home, NO_COLOR: "1" };
  const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  return new Promise((resolve) => {
    child.once("close", (code) => {
      const last = stdout.trimEnd().split("\n").pop() ?? "";
      resolve({ code, stdout, stderr, json: last.startsWith("{") ? JSON.parse(last) : undefined });
    });
  });
}

/** A control socket that answers each request as `reply` says; keeps what it was asked. */
export async function fakeGateway(
  home: string,
  reply: (op: string, args: Asked["args"], link: Link) => object | undefined,
): Promise<{ asked: Asked[] }> {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const lines = createInterface({ input: socket });
    // The client may leave in the middle.
    socket.on("error", () => {});
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const { id, op, args } = JSON.parse(line);
      asked.push({ op, args });
      const send = (message: object) => void socket.write(`${JSON.stringify(message)}\n`);
      const say = (data: object) => send({ event: "chat.message", data });
      const answer = reply(op, args, {
        say,
        write: (text) => void socket.write(text),
        hangUp: () => socket.destroy(),
      });
      if (answer) send({ id, ok: !("error" in answer), ...answer });
    });
  });
  const here = process.cwd();
  process.chdir(home); // A home may be deeper than a socket's path can be long.
  await new Promise<void>((done) => server.listen("control.sock", done));
  process.chdir(here);
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { asked };
}

export interface Link {
  /** Sends a `chat.message`. */
  say(data: object): void;
  write(text: string): void;
  hangUp(): void;
}
