import { createHash, createHmac } from "node:crypto";
import { crockford, hex } from "@kith/shared/ids";
import {
  approvalCode,
  commitment,
  formatCode,
  readCode,
  sameBytes,
  sameText,
} from "@kith/shared/noise/approval-code";
import { expect, test } from "vitest";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const up = (from: number, length: number) => Uint8Array.from({ length }, (_, at) => from + at);
/** The worked values of the protocol. */
const [h, nN, nG] = [up(0x00, 32), up(0x20, 16), up(0x30, 16)];

const mistyped = expect.objectContaining({ name: "KithError", code: "code-mistyped" });

/** Codes of many ceremonies: the worked one, and others that differ in the gateway's nonce. */
const codes = Array.from({ length: 40 }, (_, at) => approvalCode(h, nN, up(0x30 + at, 16)).code);

test("the worked values of the protocol come out", () => {
  expect(hex(commitment(h, nN))).toBe(
    "cdd5f7fd5a7cb6d858b1cc02e93434a6f736a97ae8929a44f7ced5c194448eb9",
  );
  expect(approvalCode(h, nN, nG)).toEqual({ code: "E8ZPKGEJH", returnCode: "0189" });
  expect(formatCode("E8ZPKGEJH")).toBe("E8Z-PKG-EJH");
});

test("node:crypto comes to the same commitment, code and return code", () => {
  for (let at = 0; at < 40; at++) {
    const nonce = up(at, 16);
    const digest = createHmac("sha256", h).update("kith-sas-v1").update(nN).update(nonce).digest();
    const { code, returnCode } = approvalCode(h, nN, nonce);
    expect(code.slice(0, 8)).toBe(crockford(digest, 8));
    expect(returnCode).toBe(String(digest.readUInt32BE(5) % 10_000).padStart(4, "0"));
    const commit = createHash("sha256")
      .update("kith-commit-v1")
      .update(h)
      .update(nonce)
      .digest("hex");
    expect(hex(commitment(h, nonce))).toBe(commit);
  }
});

test("another hash or nonce gives another code", () => {
  const other = new Set([
    approvalCode(h, nN, nG).code,
    approvalCode(up(1, 32), nN, nG).code,
    approvalCode(h, up(0x21, 16), nG).code,
    approvalCode(h, nN, up(0x31, 16)).code,
  ]);
  expect(other.size).toBe(4);
});

test("a code is read as people type it", () => {
  for (const typed of ["E8ZPKGEJH", "E8Z-PKG-EJH", " e8z pkg ejh ", "e8zpkgejh\n"])
    expect(readCode(typed)).toBe("E8ZPKGEJH");
});

test("I and L are read as 1, O as 0", () => {
  const withBoth = codes.filter((code) => /[01]/.test(code));
  expect(withBoth.length).toBeGreaterThan(5);
  for (const code of withBoth) {
    expect(readCode(code.replaceAll("0", "o").replaceAll("1", "I"))).toBe(code);
    expect(readCode(code.replaceAll("0", "O").replaceAll("1", "l"))).toBe(code);
  }
});

test("each single wrong character is refused", () => {
  for (const code of codes)
    for (let place = 0; place < code.length; place++)
      for (const letter of ALPHABET) {
        if (letter === code[place]) continue;
        expect(() => readCode(code.slice(0, place) + letter + code.slice(place + 1))).toThrow(
          mistyped,
        );
      }
});

test("each swap of two different characters is refused", () => {
  for (const code of codes)
    for (let a = 0; a < code.length; a++)
      for (let b = a + 1; b < code.length; b++) {
        const letters = code.split("");
        [letters[a], letters[b]] = [letters[b] ?? "", letters[a] ?? ""];
        if (letters.join("") === code) continue;
        expect(() => readCode(letters.join(""))).toThrow(mistyped);
      }
});

test("a wrong length, a foreign character and endless text are refused without repeating them", () => {
  for (const typed of [
    "",
    "E8ZPKGEJ",
    "E8ZPKGEJHH",
    "0E8ZPKGEJH", // its checksum fits: leading zeros add nothing
    "0",
    "E8ZPKGEJU",
    "E8ZPKG/JH",
    "é8ZPKGEJH",
    "-".repeat(1e6),
  ]) {
    expect(() => readCode(typed)).toThrow(mistyped);
    if (typed) expect(() => readCode(typed)).not.toThrow(typed);
  }
  expect(() => readCode(`E8ZPKGEJH${" ".repeat(60)}`)).toThrow(mistyped);
});

test("equal means every byte and the length", () => {
  expect([sameBytes(h, up(0, 32)), sameText("0189", "0189"), sameText("", "")]).toEqual([
    true,
    true,
    true,
  ]);
  for (let place = 0; place < 32; place++) {
    const other = up(0, 32);
    other[place] = 0xff;
    expect(sameBytes(h, other)).toBe(false);
  }
  const zero = new Uint8Array(1);
  const unlike = [
    sameBytes(h, h.subarray(1)),
    sameBytes(new Uint8Array(0), zero),
    sameBytes(zero, new Uint8Array(2)),
  ];
  expect([...unlike, sameText("0189", "189"), sameText("0189", "0188")]).not.toContain(true);
});
