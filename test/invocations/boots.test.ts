import { type Boots, booted, countStart } from "@kith/gateway/invocations/boots";
import type { Write } from "@kith/gateway/runtime/store";
import { KithError } from "@kith/shared/errors";
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
  expect(booted(two, true, 3 * MINUTE)).toMatchObject({ unclean: [], safe: false });
  expect(booted(two, false, 0)).toMatchObject({ unclean: [0], safe: false });
});

test("the newest starts are remembered", () => {
  let boots: Boots | undefined;
  for (let at = 1; at <= 60; at++) boots = booted(boots, at % 2 === 0, at);
  expect(boots?.starts).toHaveLength(50);
  expect(boots?.starts.slice(-2)).toEqual([
    { at: 59, clean: false },
    { at: 60, clean: true },
  ]);
});

test("a start is on disk before anything is done; safe mode leaves a row in the audit trail, once", async () => {
  const writes: Write[] = [];
  let boots: unknown;
  const store = {
    document: () => boots,
    commit: async (batch: readonly Write[]) => {
      for (const write of batch) if (write.k === "put") boots = write.body;
      writes.push(...batch);
    },
  };
  const report = () => expect.unreachable();
  const entered = [];
  for (const at of [1, 2, 3, 4]) entered.push((await countStart(store, false, at, report)).entered);
  expect(entered).toEqual([false, false, true, false]);
  expect(writes.map(({ k }) => k)).toEqual(["put", "put", "put", "audit", "put"]);
});

test("a full disk does not keep the gateway from starting; a store that is gone does", async () => {
  const reports: string[] = [];
  const start = (code: "disk-full" | "store-fenced") =>
    countStart(
      { document: () => undefined, commit: () => Promise.reject(new KithError(code, "no")) },
      false,
      1,
      (what) => void reports.push(what),
    );
  expect(await start("disk-full")).toMatchObject({ safe: false });
  expect(reports).toEqual(["the count of starts"]);
  await expect(start("store-fenced")).rejects.toMatchObject({ code: "store-fenced" });
});
