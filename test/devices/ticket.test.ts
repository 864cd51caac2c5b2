/** Tickets: each limit of docs/protocol.md "Pairing A" at the limit and one above. */
import { ticketLimits, ticketMachine } from "@kith/gateway/devices/ticket.machine";
import { describe, expect, test } from "vitest";
import { BIRTH_AT, type Driven, drive } from "../support/drive.ts";

type Book = Driven<typeof ticketMachine>;
const about = { name: "phone", kind: "phone", os: "android", arch: "arm64", agent: "0" } as const;

function start(): Book {
  const book = drive(ticketMachine, { type: "gateway.started" });
  book.owed();
  return book;
}

const answer = (book: Book) =>
  book.owed().flatMap((effect) => (effect.kind === "reply" ? [effect.value] : []))[0] as Record<
    string,
    unknown
  >;

function invite(book: Book, id: string, ms = 600_000) {
  book.send({
    type: "owner.invited",
    ticket: { id, until: BIRTH_AT + ms, ceiling: ["camera.snap"] },
    secret: "5e".repeat(32),
    by: "console:owner",
  });
}

const present = (book: Book, ticket: string, device: string) =>
  book.send({ type: "ticket.presented", ticket, device, key: "00", about, source: "10.0.0.9" });

test("made, used, and a device is paired within its ceiling", () => {
  const book = start();
  invite(book, "one");
  const made = book.owed();
  expect(made.find(({ kind }) => kind === "signal")).toMatchObject({
    topic: "tickets.live",
    data: { tickets: [{ id: "one", secret: "5e".repeat(32) }] },
  });
  // Neither the audit nor the answer holds the secret.
  expect(JSON.stringify(made.filter(({ kind }) => kind !== "signal"))).not.toContain("5e5e");
  present(book, "one", "phone");
  const used = book.owed();
  expect(used).toContainEqual({ kind: "reply", value: { again: false } });
  expect(used).toContainEqual({
    kind: "tell",
    to: "device/phone",
    event: {
      ...{ type: "device.paired", device: "phone", key: "00", about },
      ...{ ceiling: ["camera.snap"], how: "ticket" },
    },
  });
});

test("the same device again gets the same answer and is not paired twice", () => {
  const book = start();
  invite(book, "one");
  present(book, "one", "phone");
  book.owed();
  present(book, "one", "phone");
  expect(book.owed()).toEqual([{ kind: "reply", value: { again: true } }]);
});

test("another device with it is refused, and the owner hears of it", () => {
  const book = start();
  invite(book, "one");
  present(book, "one", "phone");
  book.owed();
  present(book, "one", "thief");
  const owed = book.owed();
  expect(owed).toContainEqual({
    kind: "reply",
    value: expect.objectContaining({ refuse: "pairing-refused" }),
  });
  expect(owed).toContainEqual(expect.objectContaining({ kind: "audit", what: "ticket.twice" }));
  expect(owed).toContainEqual(expect.objectContaining({ kind: "signal", topic: "notice" }));
  expect(owed.some(({ kind }) => kind === "tell")).toBe(false);
  // Whoever has the line can make ever new keys: the audit and the owner hear of the first.
  for (const device of ["thief-2", "thief-3"]) {
    present(book, "one", device);
    expect(book.owed()).toEqual([
      { kind: "reply", value: expect.objectContaining({ refuse: "pairing-refused" }) },
    ]);
  }
  present(book, "one", "phone");
  expect(answer(book)).toEqual({ again: true });
});

describe("the end of a ticket", () => {
  test("at its time it is forgotten, its secret with it", () => {
    const book = start();
    invite(book, "one", 60_000);
    invite(book, "two", 120_000);
    book.pass(60_000);
    expect(book.context().tickets.map(({ id }) => id)).toEqual(["two"]);
    book.pass(60_000);
    expect([book.context().tickets, book.timers()]).toEqual([[], {}]);
  });

  test("by an event of its last moment it still counts, by the next it does not", () => {
    const book = start();
    invite(book, "one", 60_000);
    book.owed();
    book.send({ ...presented("one"), at: BIRTH_AT + 60_000 });
    expect(answer(book)).toMatchObject({ refuse: "pairing-refused" });
    book.send({ ...presented("one"), at: BIRTH_AT + 59_999 });
    expect(answer(book)).toEqual({ again: false });
  });

  test("when its owner withdraws it", () => {
    const book = start();
    invite(book, "one");
    book.owed();
    book.send({ type: "owner.withdrew", ticket: "one", by: "console:owner" });
    expect(answer(book)).toEqual({ withdrawn: true });
    present(book, "one", "phone");
    expect(answer(book)).toMatchObject({ refuse: "pairing-refused" });
    book.send({ type: "owner.withdrew", ticket: "one", by: "console:owner" });
    expect(answer(book)).toMatchObject({ refuse: "ticket-unknown" });
  });
});

test(`${ticketLimits.live} may live at once, one more is refused until one ends`, () => {
  const book = start();
  for (let n = 0; n < ticketLimits.live; n++) invite(book, `t${n}`);
  book.owed();
  invite(book, "more");
  expect(answer(book)).toMatchObject({ refuse: "pairing-full" });
  book.pass(600_000);
  book.owed();
  book.send({
    type: "owner.invited",
    ticket: { id: "more", until: BIRTH_AT + 1_200_000, ceiling: [] },
    secret: "00",
    by: "console:owner",
  });
  expect(answer(book)).toEqual({ until: BIRTH_AT + 1_200_000 });
});

test("after a restart the door learns what lives", () => {
  const book = start();
  invite(book, "one");
  book.owed();
  book.send({ type: "gateway.started" });
  expect(book.owed()).toContainEqual({
    kind: "signal",
    topic: "tickets.live",
    data: { tickets: [expect.objectContaining({ id: "one" })] },
  });
});

const presented = (ticket: string) =>
  ({ type: "ticket.presented", ticket, device: "phone", key: "00", about, source: "-" }) as const;
