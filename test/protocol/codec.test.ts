/** Bytes that a peer may send: each hex literal is commented field by field. */
import { KithError } from "@kith/shared/errors";
import { fromHex } from "@kith/shared/ids";
import { frameReader, joinControl, pack, splitControl } from "@kith/shared/protocol/codec";
import { decode } from "@kith/shared/protocol/decode";
import { toGateway, toNode } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { describe, expect, test } from "vitest";
import * as v from "valibot";

const bytes = (hex: string) => fromHex(hex.replaceAll(/\s/g, ""));
const refused = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error instanceof KithError ? error.code : String(error);
  }
  return "taken";
};
const nested = (depth: number) => "91".repeat(depth - 1) + "c0";

test.for<[string, string]>([
  ["extension of 1 byte", "d4 01 00"],
  ["extension of 2, 4, 8, 16 bytes", "d5 01 0000"],
  ["4 bytes: a timestamp", "d6 ff 5e0be100"],
  ["8 bytes: a timestamp", "d7 ff 0000000000000000"],
  ["16 bytes", `d8 01 ${"00".repeat(16)}`],
  ["extension of any length", "c7 00 01"],
  ["16-bit length", "c8 0000 01"],
  ["32-bit length", "c9 00000000 01"],
  ["a record definition of msgpackr", "d4 72 40 91 a1 61 01"],
  ["undefined as msgpackr writes it", "d4 00 00"],
  ["an extension inside a map", "81 a1 61 d4 01 00"],
  ["float32", "ca 3f800000"],
  ["the byte that never is", "c1"],
  ["NaN", "cb 7ff8000000000000"],
  ["infinity", "cb 7ff0000000000000"],
  ["minus infinity", "cb fff0000000000000"],
  ["2^53", "cf 0020000000000000"],
  ["2^64-1", "cf ffffffffffffffff"],
  ["-2^53", "d3 ffe0000000000000"],
  ["the smallest int64", "d3 8000000000000000"],
  ["the same key twice", "82 a1 61 01 a1 61 02"],
  ["the same key in two spellings", "82 a1 61 01 d9 01 61 02"],
  ["__proto__", "81 a9 5f5f70726f746f5f5f 80"],
  ["constructor", "81 ab 636f6e7374727563746f72 80"],
  ["prototype", "81 a9 70726f746f74797065 80"],
  ["a number as key", "81 01 01"],
  ["nil as key", "81 c0 01"],
  ["bytes as key", "81 c4 01 61 01"],
  ["a key in 16 bits of length", "81 da 0001 61 01"],
  ["a key of 32 bytes", `81 d9 20 ${"61".repeat(32)} 01`],
  ["bad UTF-8: a lone continuation", "a1 80"],
  ["bad UTF-8: cut short", "a2 c3 28"],
  ["bad UTF-8: an overlong slash", "a2 c0af"],
  ["bad UTF-8: a surrogate", "a3 eda080"],
  ["bad UTF-8: in a key", "81 a1 ff 01"],
  ["bad UTF-8: above U+10FFFF", "a4 f4908080"],
  ["nothing", ""],
  ["a string cut short", "a2 61"],
  ["a string that claims 4 GiB", "db ffffffff 61"],
  ["bytes that claim 4 GiB", "c6 ffffffff 61"],
  ["an array that claims 4 billion", "dd ffffffff"],
  ["a map that claims 4 billion", "df ffffffff"],
  ["an array one short", "92 01"],
  ["a map without its value", "81 a1 61"],
  ["an integer cut short", "ce 000000"],
  ["trailing bytes", "01 02"],
  ["trailing bytes after a map", "80 c0"],
  ["depth 17", nested(17)],
  ["depth 17 of maps", `${"81 a1 61".repeat(16)} c0`],
  ["4,097 values", `dc 1000 ${"c0".repeat(4_096)}`],
  ["4,097 values in two arrays", `92 dc 0800 ${"c0".repeat(2_048)} dc 07fe ${"c0".repeat(2_046)}`],
])("%s is refused", ([, hex]) => {
  expect(refused(() => decode(bytes(hex)))).toBe("schema");
});

test.for<[string, string]>([
  ["nil, booleans", "93 c0 c2 c3"],
  ["small integers", "94 00 7f e0 ff"],
  [
    "all sizes of integers",
    "98 cc ff cd ffff ce ffffffff cf 001fffffffffffff d0 80 d1 8000 d2 80000000 d3 ffe0000000000001",
  ],
  ["float64", "92 cb 3ff8000000000000 cb c1e0000000000000"],
  ["all sizes of strings", "94 a0 d9 01 61 da 0001 61 db 00000001 61"],
  ["UTF-8", "a4 f09f9880"],
  ["all sizes of bytes", "93 c4 01 00 c5 0001 00 c6 00000001 00"],
  ["all sizes of arrays", "92 dc 0001 c0 dd 00000001 c0"],
  ["all sizes of maps", "92 de 0001 a1 61 01 df 00000001 a1 61 01"],
  ["a key of 31 bytes", `81 bf ${"61".repeat(31)} 01`],
  ["an empty key", "81 a0 01"],
  ["depth 16", nested(16)],
  ["4,096 values", `dc 0fff ${"c0".repeat(4_095)}`],
])("%s is taken", ([, hex]) => {
  expect(refused(() => decode(bytes(hex)))).toBe("taken");
});

test("decoding looks only at its own bytes", () => {
  const around = bytes("01 81a16101 02");
  expect(refused(() => decode(around.subarray(1, 5)))).toBe("taken");
  expect(refused(() => decode(around.subarray(1)))).toBe("schema");
});

test("any mutation of a frame is taken or refused with `schema`, and makes nothing alive", () => {
  const read = frameReader(toGateway);
  const frame = pack({
    t: "event",
    seq: 1,
    name: "battery",
    data: { percent: 50, list: [1, "a", new Uint8Array(3)] },
  });
  for (let at = 0; at < frame.length; at++) {
    for (let value = 0; value < 256; value++) {
      const mutant = Uint8Array.from(frame);
      mutant[at] = value;
      expect(["schema", "taken"]).toContain(refused(() => structuredClone(read(mutant))));
    }
  }
  expect(({} as Record<string, unknown>)["percent"]).toBeUndefined();
});

describe("a frame", () => {
  const ping = "82 a1 74 a4 70696e67 a1 6e 01"; // {t: "ping", n: 1}
  test("is read, with a field too many it is refused", () => {
    expect(frameReader(toGateway)(bytes(ping))).toEqual({ t: "ping", n: 1 });
    expect(
      refused(() => frameReader(toGateway)(bytes(ping.replace("82", "83") + "a1 78 01"))),
    ).toBe("schema");
    expect(refused(() => frameReader(toGateway)(bytes("81 a1 74 a4 70696e67")))).toBe("schema");
  });

  test("of the other direction, of no kind, or no map at all is refused", () => {
    expect(
      refused(() =>
        frameReader(toNode)(
          pack({ t: "accept", call: "0".repeat(26), state: "running", left_ms: 1 }),
        ),
      ),
    ).toBe("schema");
    for (const value of [{ t: "x" }, { t: 1 }, {}, [], null, 1, "ping"])
      expect(refused(() => frameReader(toGateway)(pack(value)))).toBe("schema");
  });

  test("takes a whole number as float64, a fraction not", () => {
    const as = (float: string) => `82 a1 74 a4 70696e67 a1 6e cb ${float}`;
    expect(frameReader(toGateway)(bytes(as("3ff0000000000000")))).toEqual({ t: "ping", n: 1 });
    expect(refused(() => frameReader(toGateway)(bytes(as("3ff8000000000000"))))).toBe("schema");
  });

  test("leaves an absent field out, also one that is spelt undefined", () => {
    expect(Uint8Array.from(pack({ a: undefined, b: 1 }))).toEqual(bytes("81 a1 62 01"));
  });

  test("is the reader's own: what was packed before does not change", () => {
    const first = pack({ n: 1 });
    // A Buffer's own slice would share the bytes that it is compared with.
    const copy = Uint8Array.from(first);
    for (let at = 0; at < 1_000; at++) pack({ n: at, text: "x".repeat(at) });
    expect(Uint8Array.from(first)).toEqual(copy);
    expect(v.is(v.looseObject({ n: v.literal(1) }), frameReader(v.looseObject({}))(first))).toBe(
      true,
    );
  });
});

describe("a control message", () => {
  const frame = (size: number) => new Uint8Array(size).fill(0xc0);
  const split = (message: Uint8Array) => [...splitControl(message)].map(({ length }) => length);

  test("holds 64 frames, the 65th goes into the next", () => {
    expect(joinControl(Array(64).fill(frame(1))).map(split)).toEqual([Array(64).fill(1)]);
    expect(joinControl(Array(65).fill(frame(1))).map(split)).toEqual([Array(64).fill(1), [1]]);
  });

  test("holds 65,536 bytes, one more goes into the next, and order stays", () => {
    const exact = [frame(limits.controlBytes - 4 - 5), frame(1)];
    expect(joinControl(exact).map(({ length }) => length)).toEqual([65_536]);
    expect(
      joinControl([frame(limits.controlBytes - 4 - 5), frame(2), frame(3)]).map(split),
    ).toEqual([[65_527], [2, 3]]);
    expect(joinControl([])).toEqual([]);
  });

  test.for<[string, Uint8Array]>([
    ["no frame", new Uint8Array()],
    ["an empty frame", bytes("00000000")],
    ["a length cut short", bytes("000000")],
    ["a frame cut short", bytes("00000002 c0")],
    ["a length of 4 GiB", bytes("ffffffff c0")],
    ["a rest", bytes("00000001 c0 00")],
    ["65 frames", bytes("00000001 c0".repeat(65))],
    ["65,537 bytes", new Uint8Array([0, 0, 0xff, 0xfd, ...frame(65_533)])],
  ])("with %s is refused", ([, message]) => {
    expect(refused(() => split(message))).toBe("schema");
  });

  test("of 65,536 bytes and of 64 frames is taken", () => {
    expect(split(new Uint8Array([0, 0, 0xff, 0xfc, ...frame(65_532)]))).toEqual([65_532]);
    expect(split(bytes("00000001 c0".repeat(64)))).toHaveLength(64);
  });
});
