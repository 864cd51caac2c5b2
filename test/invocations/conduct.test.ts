/** Who keeps saying what is not theirs to say stays out for a minute. */
import { Conduct } from "@kith/gateway/invocations/conduct";
import { expect, test } from "vitest";
import { FakeClock } from "../node/world.ts";

function start() {
  const clock = new FakeClock();
  const conduct = new Conduct(clock);
  const offend = (times: number, how: "claim" | "break" = "claim") =>
    Array.from({ length: times }, () => conduct.offends("liar", how)).filter(Boolean).length;
  return { clock, conduct, offend };
}

test("ninety-nine claims in a minute are suffered, the hundredth cuts off, for a minute", () => {
  const { clock, conduct, offend } = start();
  expect(offend(99)).toBe(0);
  expect(conduct.out("liar")).toBe(false);
  expect(offend(1)).toBe(1);
  expect(conduct.out("liar")).toBe(true);
  expect(conduct.out("another")).toBe(false);
  clock.pass(60_000);
  expect(conduct.out("liar")).toBe(false);
});

test("what it still says while it is out is not told again", () => {
  const { offend } = start();
  expect(offend(1_000)).toBe(1);
});

test("the third broken link in a minute cuts off, three in an hour do not", () => {
  const { offend } = start();
  expect(offend(2, "break")).toBe(0);
  expect(offend(1, "break")).toBe(1);
  const patient = start();
  for (let time = 0; time < 3; time++) {
    expect(patient.offend(1, "break")).toBe(0);
    patient.clock.pass(1_200_000);
  }
});
