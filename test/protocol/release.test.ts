import { release } from "@kith/shared/release";
import { expect, test } from "vitest";

const KIB = 1_024;

test("memory is given back where the bytes are all of it, or have their head before them", () => {
  const whole = new Uint8Array(64 * KIB);
  release(whole);
  expect(whole.length).toBe(0);
  const chunk = new Uint8Array(12 + 64 * KIB).subarray(12);
  release(chunk, 12);
  expect(chunk.length).toBe(0);
});

test("a buffer that others may share stays", () => {
  const few = new Uint8Array(16 * KIB);
  const before = new Uint8Array(64 * KIB);
  const [front, back, behind] = [before.subarray(0, 40 * KIB), before.subarray(1), before];
  release(few);
  release(front);
  release(back);
  release(back.subarray(12), 12);
  release(Buffer.from(new SharedArrayBuffer(64 * KIB)));
  expect([few.length, front.length, back.length, behind.length]).toEqual([
    16 * KIB,
    40 * KIB,
    64 * KIB - 1,
    64 * KIB,
  ]);
});
