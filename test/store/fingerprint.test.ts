import { createHmac } from "node:crypto";
import { fingerprinter } from "@kith/gateway/audit/fingerprint";
import { canonical } from "@kith/gateway/grants/plan";
import { expect, test } from "vitest";

const key = Uint8Array.from({ length: 32 }, (_, at) => at * 7);

test("a fingerprint is the HMAC of the canonical encoding", () => {
  const print = fingerprinter(key);
  for (const value of [null, "", "Grüße", [1, "1", true], { b: "x", a: new Uint8Array(200) }]) {
    const whole = createHmac("sha256", key).update(canonical(value)).digest("hex");
    expect(print(value)).toBe(whole.slice(0, 32));
  }
});

test("fractions count as text, absent fields not at all", () => {
  const print = fingerprinter(key);
  expect(print({ a: 0.5, b: undefined })).toBe(print({ a: "0.5" }));
  expect(print([undefined])).toBe(print([null]));
});

test("another key gives another fingerprint", () => {
  expect(fingerprinter(new Uint8Array(32))("x")).not.toBe(fingerprinter(key)("x"));
  expect(() => fingerprinter(new Uint8Array(65))).toThrow(RangeError);
});
