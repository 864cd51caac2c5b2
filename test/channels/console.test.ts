import { Console } from "@kith/gateway/channels/console";
import { Due } from "@kith/gateway/runtime/due";
import { Outbox } from "@kith/gateway/runtime/outbox";
import type { Clock } from "@kith/shared/clock";
import { expect, test } from "vitest";

/** Time that stands still. */
const clock: Clock = { now: () => 0, mono: () => 0, after: () => () => {} };

const reply = (chat: string) => ({
  id: `to ${chat}`,
  actor: "session/s" as const,
  op: "say",
  class: "idempotent" as const,
  args: { chat, message: { text: `hello ${chat}`, final: true } },
  order: chat,
  expiresAt: 3_600_000,
});

test("replies that nobody reads hold up no other chat", () => {
  const reports: unknown[] = [];
  const report = (...what: unknown[]) => void reports.push(what);
  const notice = () => {};
  const outbox = new Outbox({ clock, due: new Due(clock), settle: () => {}, report, notice });
  const console = new Console(report);
  outbox.add(console.performer);
  for (let at = 0; at < 1_000; at++) outbox.submit(reply(`empty-${at}`));

  const shown: string[] = [];
  console.attach("mine", {
    terminal: undefined,
    draft: () => {},
    show: ({ text }) => void shown.push(text),
  });
  outbox.submit(reply("mine"));

  expect(shown).toEqual(["hello mine"]);
  expect(reports).toEqual([]);
});

test("news that somebody must hear waits for the first who comes, and no longer", () => {
  const console = new Console(() => {});
  const shown: string[] = [];
  const client = (name: string) => ({
    terminal: undefined,
    draft: () => {},
    show: ({ text }: { text: string }) => void shown.push(`${name} ${text}`),
  });
  for (let at = 0; at < 25; at++)
    console.notify("console", `id${at}`, { text: `${at}`, final: false });
  console.notify("other", "id", { text: "elsewhere", final: false });
  const leave = console.attach("console", client("ann"));
  expect(shown).toEqual(Array.from({ length: 20 }, (_, at) => `ann ${at + 5}`));
  console.attach("console", client("ben"));
  console.notify("console", "id", { text: "now", final: false });
  expect(shown.slice(20)).toEqual(["ann now", "ben now"]);
  leave();
});
