import { expect, test } from "vitest";
import type { Envelope } from "@kith/gateway/runtime/effect";
import { Mailbox } from "@kith/gateway/runtime/mailbox";

const letter = (msg: string, lane: "normal" | "control" = "normal"): Envelope => ({
  to: "diary/ann",
  event: { type: "note" },
  msg,
  lane,
  durable: true,
});
const cancel = (msg: string) => letter(msg, "control");

function drain(box: Mailbox): string[] {
  return Array.from({ length: box.size }, () => box.shift()?.msg ?? "");
}

test("messages leave in the order in which they came, whatever their lane", () => {
  const box = new Mailbox({ normal: 4, control: 2 });
  for (const env of [letter("a"), cancel("b"), letter("c")]) expect(box.push(env)).toBe(true);
  expect(drain(box)).toEqual(["a", "b", "c"]);
  expect(box.shift()).toBeUndefined();
});

test("a mailbox full of normal messages still takes its control messages, and no more", () => {
  const box = new Mailbox({ normal: 2, control: 1 });
  expect([letter("a"), letter("b"), letter("c")].map((env) => box.push(env))).toEqual([
    true,
    true,
    false,
  ]);
  expect([cancel("d"), cancel("e")].map((env) => box.push(env))).toEqual([true, false]);
  expect(box.size).toBe(3);
});

test("control messages may use free normal places, but both together never exceed the bound", () => {
  const box = new Mailbox({ normal: 2, control: 1 });
  for (const msg of ["a", "b", "c"]) expect(box.push(cancel(msg))).toBe(true);
  expect(box.push(letter("d"))).toBe(false);
  expect(box.size).toBe(3);
  box.shift();
  expect(box.push(letter("d"))).toBe(true);
});

test("what is taken out frees its place on its own lane", () => {
  const box = new Mailbox({ normal: 1, control: 1 });
  box.push(letter("a"));
  box.push(cancel("b"));
  expect(box.remove(({ msg }) => msg === "b")?.msg).toBe("b");
  expect(box.remove(({ msg }) => msg === "b")).toBeUndefined();
  expect(box.push(letter("c"))).toBe(false);
  expect(box.push(cancel("d"))).toBe(true);
  expect(drain(box)).toEqual(["a", "d"]);
});

test("a message that has left is not found by remove", () => {
  const box = new Mailbox({ normal: 4, control: 0 });
  box.push(letter("a"));
  box.push(letter("b"));
  box.shift();
  expect(box.remove(({ msg }) => msg === "a")).toBeUndefined();
  expect(box.size).toBe(1);
});

test("what is put back comes first and is never refused", () => {
  const box = new Mailbox({ normal: 2, control: 0 });
  box.push(letter("c"));
  box.push(letter("d"));
  box.unshift([letter("a"), letter("b")]);
  expect(box.push(letter("e"))).toBe(false);
  expect(drain(box)).toEqual(["a", "b", "c", "d"]);
});

test("order and counts survive thousands of messages through a small box", () => {
  const box = new Mailbox({ normal: 100, control: 10 });
  const out: string[] = [];
  for (let n = 0; n < 5_000; n++) {
    expect(box.push(n % 7 === 0 ? cancel(`${n}`) : letter(`${n}`))).toBe(true);
    if (box.size > 80) out.push(box.shift()?.msg ?? "");
  }
  expect([...out, ...drain(box)]).toEqual(Array.from({ length: 5_000 }, (_, n) => `${n}`));
});
