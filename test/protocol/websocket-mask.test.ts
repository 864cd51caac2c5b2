import { mask, unmask } from "@kith/shared/websocket-mask";
import { expect, test } from "vitest";

const key = Uint8Array.of(0xff, 0x01, 0x80, 0x7e);
const content = (length: number) => Uint8Array.from({ length }, (_, at) => (at * 7) & 255);

test("every length and every place is masked as RFC 6455 says, and nothing beside it", () => {
  for (let length = 0; length < 70; length++)
    for (let offset = 0; offset < 15; offset++) {
      const source = content(length + 3).subarray(1, 1 + length);
      const output = new Uint8Array(offset + length + 2);
      mask(source, key, output, offset, length);
      const expected = new Uint8Array(output.length);
      source.forEach((byte, at) => (expected[offset + at] = byte ^ (key[at & 3] ?? 0)));
      expect(output).toEqual(expected);
    }
});

test("what is unmasked in place is what was masked", () => {
  const bytes = content(1_000).subarray(5);
  const before = bytes.slice();
  mask(bytes, key, bytes, 0, bytes.length);
  expect(bytes).not.toEqual(before);
  unmask(bytes, key);
  expect(bytes).toEqual(before);
});
