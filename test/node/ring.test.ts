import { Ring } from "@kith/node-agent/ring";
import * as fc from "fast-check";
import { expect, test } from "vitest";

function all(ring: Ring, from = ring.start): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = from; at < ring.end;) {
    const part = ring.read(at, 5).slice();
    expect(part.length).toBeGreaterThan(0);
    parts.push(part);
    at += part.length;
  }
  return Buffer.concat(parts);
}

test("keeps the latest bytes, and knows where they stand", () => {
  const ring = new Ring(8);
  ring.write(Buffer.from("abcdef"));
  expect([ring.start, ring.end, all(ring).toString()]).toEqual([0, 6, "abcdef"]);
  ring.write(Buffer.from("ghij"));
  expect([ring.start, ring.end, all(ring).toString()]).toEqual([2, 10, "cdefghij"]);
  expect(all(ring, 7).toString()).toBe("hij");
  expect(ring.read(10, 5)).toHaveLength(0);
});

test("is as a string whose beginning is cut off, whatever is written", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }),
      (size, writes) => {
        const ring = new Ring(size);
        let whole = Buffer.alloc(0);
        for (const bytes of writes) {
          ring.write(bytes);
          whole = Buffer.concat([whole, bytes]);
          expect(ring.end).toBe(whole.length);
          expect(ring.start).toBe(Math.max(0, whole.length - size));
          expect(Buffer.compare(all(ring), whole.subarray(ring.start))).toBe(0);
        }
      },
    ),
  );
});
