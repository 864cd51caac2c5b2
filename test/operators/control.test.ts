/** The control socket's bounds, on a real Unix socket. */
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
import { afterAll, describe, expect, test } from "vitest";
import * as v from "valibot";

const folder = mkdtempSync(join(tmpdir(), "kith-control-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let sockets = 0;

async function start() {
  const path = join(folder, `${++sockets}.sock`);
  const heard: Incoming[] = [];
  const ran: unknown[] = [];
  const reports: unknown[] = [];
  const pending: (() => void)[] = [];
  const desk = new Console(() => {});
  const methods = new Map([
    ["echo", method(v.strictObject({ n: v.number() }), ({ n }) => (ran.push(n), { out: { n }, text: String(n) }))],
    ["slow", method(v.strictObject({}), () => new Promise((resolve) => pending.push(() => resolve({ out: {}, text: "" }))))],
    ["broken", method(v.strictObject({}), () => Promise.reject(new Error("/home/anna/secret")))],
    ["refusing", method(v.strictObject({}), () => Promise.reject(new KithError("device-away", "it sleeps")))],
  ]);
  const inbox = (message: Incoming) => Promise.resolve(void heard.push(message));
  const server = await startControl({ path, methods, console: desk, inbox, clock: systemClock, rng: systemRng, report: (_, error) => reports.push(error) });
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
class Client {
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
      const socket = createConnection(path, () => resolve(new Client(socket))).once("error", reject);
    });
  say(...requests: (object | string)[]): this {
    this.socket.write(requests.map((one) => `${typeof one === "string" ? one : JSON.stringify(one)}\n`).join(""));
    return this;
  }
  /** The first `count` lines. */
  async hear(count = 1): Promise<any[]> {
    while (this.lines.length < count && !this.socket.destroyed) await new Promise<void>((resolve) => (this.#ring = resolve));
    return this.lines;
  }
}

const echo = (id: number) => ({ id, op: "echo", args: { n: id } });

test("requests of one connection are answered by their id", async () => {
  await using world = await start();
  const client = await world.connect();
  expect(await client.say({ id: 1, op: "slow" }, echo(2)).hear()).toEqual([{ id: 2, ok: true, out: { n: 2 }, text: "2" }]);
  world.pending[0]?.();
  expect((await client.hear(2))[1]).toMatchObject({ id: 1, ok: true });
});

describe("what is refused alone: the connection goes on", () => {
  test.for<[string, object, string]>([
    ["an unknown method", { op: "nothing" }, "usage"],
    ["one that every object has", { op: "constructor" }, "usage"],
    ["a field too many", { op: "echo", args: { n: 1, m: 2 } }, "bad-args"],
    ["arguments that are a list", { op: "echo", args: [1] }, "bad-args"],
    ["a field of another kind", { op: "echo", args: { n: "1" } }, "bad-args"],
    ["a refusal", { op: "refusing" }, "device-away"],
    ["a defect", { op: "broken" }, "internal"],
    ["a word before its chat", { op: "chat.say", args: { text: "hello" } }, "usage"],
    ["a chat name too long", { op: "chat.open", args: { chat: "x".repeat(65) } }, "bad-args"],
    ["a terminal without columns", { op: "chat.open", args: { terminal: { protocol: "kitty", color: "256" } } }, "bad-args"],
  ])("%s", async ([, request, code]) => {
    await using world = await start();
    const client = await world.connect();
    const [answer] = await client.say({ id: 7, ...request }).hear();
    expect(answer).toMatchObject({ id: 7, ok: false, error: { code, message: expect.any(String), remedy: expect.stringMatching(/./) } });
    expect(JSON.stringify(answer)).not.toContain("secret");
    expect((await client.say(echo(8)).hear(2))[1]).toMatchObject({ id: 8, ok: true });
  });
});

describe("what ends the connection: it is told why, and nothing after it is done", () => {
  test.for<[string, string]>([
    ["not JSON", "hello"],
    ["an empty line", ""],
    ["a list", "[]"],
    ["no id", '{"op":"echo","args":{}}'],
    ["an id below 0", '{"id":-1,"op":"echo"}'],
    ["a fraction", '{"id":0.5,"op":"echo"}'],
    ["no method", '{"id":1}'],
    ["a method of 49 characters", JSON.stringify({ id: 1, op: "x".repeat(49) })],
    ["a field too many", '{"id":1,"op":"echo","by":"root"}'],
    ["very deep JSON", `${"[".repeat(100_000)}`],
  ])("%s", async ([, line]) => {
    await using world = await start();
    const client = await world.connect();
    client.say(line, echo(2));
    await client.closed;
    expect(client.lines).toMatchObject([{ ok: false, error: { code: "schema" } }]);
    expect(world.ran).toEqual([]);
  });

  test("a client that does not hang up hears and does nothing more", async () => {
    await using world = await start();
    const stubborn = new Client(createConnection({ path: world.path, allowHalfOpen: true }));
    const told = new Promise((resolve) => stubborn.socket.on("end", resolve));
    stubborn.say("hello");
    await told;
    stubborn.say(echo(9));
    await stubborn.closed;
    expect([stubborn.lines.length, world.ran]).toEqual([1, []]);
    const other = await world.connect();
    expect(await other.say(echo(1)).hear()).toMatchObject([{ ok: true }]);
  });

  test("a line of 1 MiB is read, one byte more is not", async () => {
    await using world = await start();
    const line = (bytes: number) => JSON.stringify(echo(1)).padEnd(bytes);
    const client = await world.connect();
    expect(await client.say(line(1_048_576)).hear()).toMatchObject([{ ok: true }]);
    client.say(line(1_048_577));
    await client.closed;
    expect(client.lines[1]).toMatchObject({ ok: false, error: { code: "schema" } });
    expect(world.ran).toEqual([1]);
  });

  test("a line without an end is cut off at 1 MiB", async () => {
    await using world = await start();
    const client = await world.connect();
    client.socket.write("x".repeat(1_048_577));
    await client.closed;
    expect(client.lines).toMatchObject([{ ok: false, error: { code: "schema" } }]);
  });

  test("64 requests at once are served, the 65th is one too many", async () => {
    await using world = await start();
    const client = await world.connect();
    const many = (count: number) => Array.from({ length: count }, (_, id) => ({ id, op: "slow" }));
    client.say(...many(64));
    await expect.poll(() => world.pending.length).toBe(64);
    for (const answer of world.pending.splice(0)) answer();
    expect(await client.hear(64)).toHaveLength(64);
    client.say(...many(65));
    await client.closed;
    expect(client.lines.slice(64)).toMatchObject([{ ok: false, error: { code: "rate" } }]);
  });
});

test("64 connections are served, the 65th is closed, and a place is free again when one leaves", async () => {
  await using world = await start();
  const clients = await Promise.all(Array.from({ length: 64 }, () => world.connect()));
  for (const client of clients) expect(await client.say(echo(1)).hear()).toHaveLength(1);
  const late = await world.connect();
  await late.closed;
  expect(late.lines).toEqual([]);
  clients[0]?.socket.destroy();
  await expect.poll(async () => (await (await world.connect()).say(echo(2)).hear()).length).toBe(1);
});

describe("a chat", () => {
  const message = { text: "hello", final: true };
  const open = (id: number, chat = "console") => ({ id, op: "chat.open", args: { chat } });
  const said = (desk: Console, key: string, chat = "console") => desk.performer.run({ key, args: { chat, message } } as never, new AbortController().signal);

  test("answers with its name before its first message, and shows again what nobody saw", async () => {
    await using world = await start();
    const id = "01JCQ0000000000000000000AA";
    const done = said(world.desk, id);
    const first = await world.connect();
    expect(await first.say(open(1)).hear(2)).toEqual([
      { id: 1, ok: true, out: { chat: "console" }, text: "" },
      { event: "chat.message", data: { ...message, id, chat: "console" } },
    ]);
    first.socket.destroy();
    const second = await world.connect();
    expect((await second.say(open(1)).hear(2))[1]).toMatchObject({ data: { id } });
    expect((await second.say({ id: 2, op: "chat.seen", args: { message: id } }).hear(3))[2]).toMatchObject({ id: 2, ok: true });
    expect(await done).toEqual({ type: "said" });
    const third = await world.connect();
    expect((await third.say(open(1), echo(2)).hear(2))[1]).toMatchObject({ id: 2 });
  });

  test("opened twice in one breath shows each message once, opened elsewhere it leaves the first", async () => {
    await using world = await start();
    const client = await world.connect();
    await client.say(open(1), open(2)).hear(2);
    void said(world.desk, "A");
    await client.hear(3);
    await client.say(open(3, "other"), echo(4)).hear(5);
    void said(world.desk, "B");
    await client.say(echo(5)).hear(6);
    expect(client.lines.filter(({ event }) => event)).toMatchObject([{ data: { id: "A" } }]);
  });

  test("said words reach the inbox with the client's own id, up to 64 KiB", async () => {
    await using world = await start();
    const client = await world.connect();
    const id = "01JCQ0000000000000000000AA";
    const say = (request: number, text: string) => ({ id: request, op: "chat.say", args: { text, id } });
    await client.say(open(1), say(2, "x".repeat(65_536)), say(3, "x".repeat(65_537)), say(4, "two\nlines")).hear(4);
    expect(client.lines.map(({ ok, error }) => error?.code ?? ok).toSorted()).toEqual(["bad-args", true, true, true].toSorted());
    expect(world.heard).toMatchObject([{ channel: "console", chat: "console", messageId: id, from: "owner" }, { text: "two\nlines" }]);
  });

  test("each `ask` is a chat of its own", async () => {
    await using world = await start();
    const [one, two] = [await world.connect(), await world.connect()];
    const [[a], [b]] = [await one.say(open(1, "ask")).hear(), await two.say(open(1, "ask")).hear()];
    expect(a.out.chat).toMatch(/^ask-[0-9A-Z]{26}$/);
    expect(a.out.chat).not.toBe(b.out.chat);
  });
});
