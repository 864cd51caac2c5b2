/** The control socket's bounds, on a real Unix socket. */
import { createConnection } from "node:net";
import { describe, expect, test } from "vitest";
import { Client, echo, start } from "./socket.ts";

test("requests of one connection are answered by their id", async () => {
  await using world = await start();
  const client = await world.connect();
  expect(await client.say({ id: 1, op: "slow" }, echo(2)).hear()).toEqual([
    { id: 2, ok: true, out: { n: 2 }, text: "2" },
  ]);
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
    [
      "a terminal without columns",
      { op: "chat.open", args: { terminal: { protocol: "kitty", color: "256" } } },
      "bad-args",
    ],
  ])("%s", async ([, request, code]) => {
    await using world = await start();
    const client = await world.connect();
    const [answer] = await client.say({ id: 7, ...request }).hear();
    expect(answer).toMatchObject({
      id: 7,
      ok: false,
      error: { code, message: expect.any(String), remedy: expect.stringMatching(/./) },
    });
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

  test("what a client still says that never reads its refusal is not done", async () => {
    await using world = await start();
    const [deaf, other] = [await world.connect(), await world.connect()];
    deaf.socket.pause();
    const inTurn = async () => other.say(echo(1)).hear(other.lines.length + 1);
    deaf.say({ id: 1, op: "big", args: { bytes: 1_000_000 } }); // More than the system takes.
    await expect.poll(() => world.ran).toContain("big");
    deaf.say("hello");
    await inTurn();
    deaf.say(echo(9));
    await inTurn();
    await inTurn();
    expect(world.ran).not.toContain(9);
  });

  test("a client that does not read is not heard before it has read, and loses nothing", async () => {
    await using world = await start();
    const [slow, other] = [await world.connect(), await world.connect()];
    slow.socket.pause();
    slow.say({ id: 1, op: "big", args: { bytes: 3_000_000 } });
    await expect.poll(() => world.ran).toContain("big");
    const inTurn = async () => other.say(echo(1)).hear(other.lines.length + 1);
    await inTurn();
    slow.say(echo(2));
    await inTurn();
    await inTurn();
    expect(world.ran).not.toContain(2);
    slow.socket.resume();
    expect(await slow.hear(2)).toMatchObject([{ id: 1 }, { id: 2, ok: true }]);
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
