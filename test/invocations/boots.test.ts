import { booted } from "@kith/gateway/invocations/boots";
import { expect, test } from "vitest";

const MINUTE = 60_000;

test("the third start after a crash within five minutes is in safe mode, and those after it", () => {
  const first = booted(undefined, false, MINUTE);
  const second = booted(first, false, 2 * MINUTE);
  expect([first.safe, second.safe]).toEqual([false, false]);
  const third = booted(second, false, 6 * MINUTE - 1);
  expect(third.safe).toBe(true);
  // Also long after: only its owner or an orderly stop ends it.
  expect(booted(third, false, 600 * MINUTE).safe).toBe(true);
});

test("crashes that lie apart are no reason", () => {
  let boots = booted(undefined, false, 0);
  for (let at = 1; at < 20; at++) boots = booted(boots, false, at * 3 * MINUTE);
  expect(boots.safe).toBe(false);
});

test("an orderly stop forgets them, and a clock set back counts none twice", () => {
  const two = booted(booted(undefined, false, MINUTE), false, 2 * MINUTE);
  expect(booted(two, true, 3 * MINUTE)).toEqual({ unclean: [], safe: false });
  expect(booted(two, false, 0)).toEqual({ unclean: [0], safe: false });
});
