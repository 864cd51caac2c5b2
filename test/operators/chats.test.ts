/** Chats at the control socket: answers, messages, and what nobody has seen. */
import type { Console } from "@kith/gateway/channels/console";
import { describe, expect, test } from "vitest";
import { echo, start } from "./socket.ts";

describe("a chat", () => {
  const message = { text: "hello", final: true };
  const open = (id: number, chat = "console") => ({ id, op: "chat.open", args: { chat } });
  const said = (desk: Console, key: string, chat = "console") =>
    desk.performer.run({ key, args: { chat, message } } as never, new AbortController().signal);

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
    expect(
      (await second.say({ id: 2, op: "chat.seen", args: { message: id } }).hear(3))[2],
    ).toMatchObject({ id: 2, ok: true });
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
    const say = (request: number, text: string) => ({
      id: request,
      op: "chat.say",
      args: { text, id },
    });
    await client
      .say(open(1), say(2, "x".repeat(65_536)), say(3, "x".repeat(65_537)), say(4, "two\nlines"))
      .hear(4);
    expect(client.lines.map(({ ok, error }) => error?.code ?? ok).toSorted()).toEqual(
      ["bad-args", true, true, true].toSorted(),
    );
    expect(world.heard).toMatchObject([
      { channel: "console", chat: "console", messageId: id, from: "owner" },
      { text: "two\nlines" },
    ]);
  });

  test("each `ask` is a chat of its own", async () => {
    await using world = await start();
    const [one, two] = [await world.connect(), await world.connect()];
    const [[a], [b]] = [await one.say(open(1, "ask")).hear(), await two.say(open(1, "ask")).hear()];
    expect(a.out.chat).toMatch(/^ask-[0-9A-Z]{26}$/);
    expect(a.out.chat).not.toBe(b.out.chat);
  });
});
