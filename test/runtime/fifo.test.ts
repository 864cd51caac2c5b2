import { Fifo } from "@kith/gateway/runtime/fifo";
import { expect, test } from "vitest";

test("hands things out in the order in which they came, however they mix", () => {
  const fifo = new Fifo<{ n: number }>();
  let [pushed, taken] = [0, 0];
  for (let round = 1; round <= 300; round++) {
    for (let at = 0; at < round % 7; at++) fifo.push({ n: pushed++ });
    for (let at = 0; at < round % 5; at++) {
      const item = fifo.shift();
      if (item) expect(item.n).toBe(taken++);
      else expect(taken).toBe(pushed);
    }
  }
  while (fifo.shift()) taken++;
  expect(taken).toBe(pushed);
  expect(fifo.shift()).toBeUndefined();
});
