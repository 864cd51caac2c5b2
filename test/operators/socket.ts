/** A real control socket with methods of its own, and a client that speaks raw lines. */
import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, systemRng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { Console } from "@kith/gateway/channels/console";
import type { Incoming } from "@kith/gateway/channels/inbox";
import { startControl } from "@kith/gateway/operators/control";
import { method } from "@kith/gateway/operators/method";
import { afterAll } from "vitest";
import * as v from "valibot";
import { noTerminals } from "../support/no-terminals.ts";

const folder = mkdtempSync(join(tmpdir(), "kith-control-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let sockets = 0;

export async function start() {
  const path = join(folder, `${++sockets}.sock`);
  const heard: Incoming[] = [];
  const ran: unknown[] = [];
  const reports: unknown[] = [];
  const pending: (() => void)[] = [];
  const desk = new Console(() => {});
  const methods = new Map([
    [
      "echo",
      method(
        v.strictObject({ n: v.number() }),
        ({ n }) => (ran.push(n), { out: { n }, text: String(n) }),
      ),
    ],
    [
      "big",
      method(
        v.strictObject({ bytes: v.number() }),
        ({ bytes }) => (ran.push("big"), { out: {}, text: "x".repeat(bytes) }),
      ),
    ],
    [
      "slow",
      method(
        v.strictObject({}),
        () => new Promise((resolve) => pending.push(() => resolve({ out: {}, text: "" }))),
      ),
    ],
    ["broken", method(v.strictObject({}), () => Promise.reject(new Error("/home/anna/secret")))],
    [
      "refusing",
      method(v.strictObject({}), () => Promise.reject(new KithError("device-away", "it sleeps"))),
    ],
  ]);
  const inbox = (message: Incoming) => Promise.resolve(void heard.push(message));
  const server = await startControl({
    path,
    methods,
    console: desk,
    inbox,
    terminals: noTerminals(),
    clock: systemClock,
    rng: systemRng,
    report: (_, error) => reports.push(error),
  });
  const clients: Client[] = [];
  const connect = async () => {
    const client = await Client.to(path);
    clients.push(client);
    return client;
  };
  return {
    ...{ path, heard, ran, reports, pending, desk, connect },
    async [Symbol.asyncDispose]() {
      for (const { socket } of clients) socket.destroy();
      await server.close();
    },
  };
}

/** One connection: raw text in, parsed lines out. */
export class Client {
  readonly socket: Socket;
  readonly lines: any[] = [];
  readonly closed: Promise<void>;
  #ring = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    let text = "";
    this.closed = new Promise((resolve) => socket.on("close", () => (resolve(), this.#ring())));
    socket.setEncoding("utf8").on("error", () => {});
    socket.on("data", (part: string) => {
      const lines = (text + part).split("\n");
      text = lines.pop() ?? "";
      this.lines.push(...lines.map((line) => JSON.parse(line)));
      this.#ring();
    });
  }
  static to = (path: string) =>
    new Promise<Client>((resolve, reject) => {
      const socket = createConnection(path, () => resolve(new Client(socket))).once(
        "error",
        reject,
      );
    });
  say(...requests: (object | string)[]): this {
    this.socket.write(
      requests.map((one) => `${typeof one === "string" ? one : JSON.stringify(one)}\n`).join(""),
    );
    return this;
  }
  /** The first `count` lines. */
  async hear(count = 1): Promise<any[]> {
    while (this.lines.length < count && !this.socket.destroyed)
      await new Promise<void>((resolve) => (this.#ring = resolve));
    return this.lines;
  }
}

export const echo = (id: number) => ({ id, op: "echo", args: { n: id } });
