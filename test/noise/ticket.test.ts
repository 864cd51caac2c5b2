import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import { formatTicket, readTicket, ticketKey } from "@kith/shared/noise/ticket";
import { assert, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";

test("the worked value of docs/protocol.md", () => {
  const ticket = readTicket("K7QD-93MX-4T2V-B8HZ");
  expect(hex(ticket)).toBe("99eed48e9d2685b5a23f");
  expect(hex(ticketKey(ticket))).toBe(
    "670b386ba73646713d5588935025f5d663686acb8959f23cecc58d5d8c0f2c6d",
  );
});

test("what was written is read again, however it is typed", () => {
  assert(
    property(uint8Array({ minLength: 10, maxLength: 10 }), (ticket) => {
      const text = formatTicket(ticket);
      expect(text).toMatch(/^(?:[0-9A-Z]{4}-){3}[0-9A-Z]{4}$/);
      expect(readTicket(text)).toEqual(ticket);
      const sloppy = text
        .toLowerCase()
        .replaceAll("-", " ")
        .replaceAll("1", "l")
        .replaceAll("0", "o");
      expect(readTicket(sloppy)).toEqual(ticket);
    }),
  );
});

test.for(["", "K7QD-93MX-4T2V-B8H", "K7QD-93MX-4T2V-B8HZZ", "K7QD-93MX-4T2V-B8HU", "K".repeat(65)])(
  "%j is no ticket",
  (typed) => {
    expect(() => readTicket(typed)).toThrow(KithError);
  },
);
