import { hex, type KeyId } from "@kith/shared/ids";
import { prefix, prologue, readPrefix } from "@kith/shared/noise/prologue";
import { expect, test } from "vitest";

const gateway = "cc6wtab6rgspd48j" as KeyId;
const failure = (code: string) => expect.objectContaining({ name: "KithError", code });

test("the prefix says Kith, major 1, the pattern and the role, and is read back", () => {
  const openings = [
    [{ pattern: "IK", role: "node" }, "4b010101"],
    [{ pattern: "XXpsk3", role: "operator" }, "4b010202"],
    [{ pattern: "XX", role: "node" }, "4b010301"],
  ] as const;
  for (const [opening, bytes] of openings) {
    expect(hex(prefix(opening))).toBe(bytes);
    expect(readPrefix(Uint8Array.of(...prefix(opening), 0xff, 0xff))).toEqual(opening);
  }
});

test("of all prefixes that differ in one byte only those with another known pattern or role are read", () => {
  for (const [place, known] of [[0x4b], [1], [1, 2, 3], [1, 2]].entries())
    for (let byte = 0; byte < 256; byte++) {
      const message = Uint8Array.of(0x4b, 1, 1, 1);
      message[place] = byte;
      if (known.includes(byte)) expect(readPrefix(message)).toBeDefined();
      else
        expect(() => readPrefix(message)).toThrow(failure(place === 1 ? "unsupported" : "schema"));
    }
});

test("fewer than four bytes are no prefix", () => {
  for (let length = 0; length < 4; length++)
    expect(() => readPrefix(Uint8Array.of(0x4b, 1, 1, 1).subarray(0, length))).toThrow(
      failure("schema"),
    );
});

test("the prologue is the protocol's name, the prefix, the path, a zero byte and, for IK, the gateway", () => {
  const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
  expect(text(prologue({ pattern: "IK", role: "node", path: "/v1/mesh", gateway }))).toBe(
    `kith-mesh-v1K\x01\x01\x01/v1/mesh\0${gateway}`,
  );
  expect(text(prologue({ pattern: "XX", role: "operator", path: "/v1/web" }))).toBe(
    "kith-mesh-v1K\x01\x03\x02/v1/web\0",
  );
});

test("a gateway id belongs to IK and to nothing else", () => {
  expect(() => prologue({ pattern: "IK", role: "node", path: "/v1/mesh" })).toThrow(RangeError);
  expect(() => prologue({ pattern: "XX", role: "node", path: "/v1/mesh", gateway })).toThrow(
    RangeError,
  );
});
