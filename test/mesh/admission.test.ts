import { systemClock } from "@kith/shared/clock";
import { limits } from "@kith/shared/protocol/limits";
import { admission, canonicalSource, plainAddress } from "@kith/gateway/mesh/admission";
import { later, recent } from "@kith/gateway/mesh/recent";
import { expect, test } from "vitest";
import { fakeClock, lowered } from "./world.ts";

test.each([
  ["192.168.1.7", "192.168.1.7"],
  ["::ffff:192.168.1.7", "192.168.1.7"],
  ["::FFFF:c0a8:107", "192.168.1.7"],
  ["0:0:0:0:0:ffff:192.168.1.7", "192.168.1.7"],
  ["127.0.0.1", "127.0.0.1"],
  ["::ffff:127.0.0.1", "127.0.0.1"],
  ["::1", "0:0:0:0::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:DB8:1:2::9", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002:ffff::", "2001:db8:1:2::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["fe80::2%wlan1", "fe80:0:0:0::/64"],
])("the address %s counts as %s", (address, source) => {
  expect(canonicalSource(address)).toBe(source);
});

test("an address that is none has a source of its own", () => {
  expect([
    canonicalSource(undefined),
    canonicalSource(":::"),
    plainAddress("::ffff:1.2.3.4"),
  ]).toEqual(["unknown", ":::", "1.2.3.4"]);
});

const source = (at: number) => `10.0.${at >> 8}.${at & 255}`;

/** Admits one of `name` who is then trusted or leaves. */
const admitted = (status: ReturnType<ReturnType<typeof admission>["admit"]>) => {
  if (typeof status === "number") throw new Error(`refused with ${status}`);
  return status;
};

test("256 strangers of many sources are taken, one more is refused until one leaves", () => {
  const clock = fakeClock();
  const doors = admission(clock);
  const guests = Array.from({ length: limits.strangers }, (_, at) => {
    clock.pass(20); // below the limit of failures per second
    return admitted(doors.admit(source(at)));
  });
  clock.pass(1_000);
  expect(doors.admit(source(999))).toBe(503);
  guests[0]?.left();
  guests[0]?.left();
  admitted(doors.admit(source(999)));
  clock.pass(1_000);
  expect(doors.admit(source(998))).toBe(503);
});

test("a hundred attempts a second are taken from all sources together, one more is refused", () => {
  const clock = fakeClock();
  const doors = admission(clock);
  for (let at = 0; at < limits.failuresPerSecond; at++) admitted(doors.admit(source(at))).left();
  expect(doors.admit(source(500))).toBe(503);
  clock.pass(1_000);
  admitted(doors.admit(source(500)));
});

test("an attempt is charged before it fails, so many at once gain nothing", () => {
  const clock = fakeClock();
  const doors = admission(clock);
  for (let round = 0; round < 2; round++) {
    const guests = Array.from({ length: limits.strangersPerSource }, () =>
      admitted(doors.admit("10.0.0.1")),
    );
    for (const guest of guests) guest.left();
  }
  expect(doors.admit("10.0.0.1")).toBe(429);
});

test("a source that failed too often is paused for five minutes, not only for the minute that counts", () => {
  const clock = fakeClock();
  const doors = admission(clock);
  for (let at = 0; at < limits.failuresPerSource; at++) admitted(doors.admit("10.0.0.1")).left();
  expect(doors.admit("10.0.0.1")).toBe(429);
  clock.pass(limits.failuresPauseMs - 1);
  expect(doors.admit("10.0.0.1")).toBe(429);
  admitted(doors.admit("10.0.0.2"));
  clock.pass(1);
  admitted(doors.admit("10.0.0.1"));
});

test("whoever is trusted is neither a stranger nor a failure any more", () => {
  const clock = fakeClock();
  const doors = admission(clock);
  for (let at = 0; at < 50; at++) {
    const guest = admitted(doors.admit("10.0.0.1"));
    guest.trusted();
    guest.left();
  }
});

test("another source is not paused with one that failed", () => {
  const clock = fakeClock();
  const doors = admission(clock);
  for (let at = 0; at <= limits.failuresPerSource; at++) {
    const status = doors.admit("10.0.0.1");
    if (typeof status !== "number") status.left();
  }
  admitted(doors.admit("10.0.0.2"));
});

test("sources are forgotten when there are too many, but none that has a socket open", () => {
  using _ = lowered({ failuresPerSecond: 100_000 }); // or there are never so many
  const clock = fakeClock();
  const doors = admission(clock);
  for (let at = 0; at < limits.strangersPerSource; at++) admitted(doors.admit("192.168.0.1"));
  for (let at = 0; at < 20_000; at++) doors.knock(source(at))?.(); // idle at once
  expect(doors.admit("192.168.0.1")).toBe(429);
  for (let at = 0; at < 20_000; at++) admitted(doors.admit(source(at))).left(); // failures of this minute
  expect(doors.admit("192.168.0.1")).toBe(429);
});

test("32 connections of one source may knock at once", () => {
  const doors = admission(fakeClock());
  const gone = Array.from({ length: 32 }, () => doors.knock("10.0.0.1"));
  expect(gone.every(Boolean)).toBe(true);
  expect(doors.knock("10.0.0.1")).toBeUndefined();
  gone[0]?.();
  expect(doors.knock("10.0.0.1")).toBeDefined();
});

test("a peer that proves its key is no failure, on a clock with fractions too", () => {
  const doors = admission(systemClock);
  for (let at = 0; at < 50; at++) {
    const guest = doors.admit("10.0.0.1");
    if (typeof guest === "number") throw new Error(`refused with ${guest} at ${at}`);
    guest.trusted();
  }
});

test("a window counts exactly, and takes back only what it still has", () => {
  const clock = fakeClock();
  const window = recent(clock, 2, 1_000);
  const counted = () => window.hit() !== undefined;
  const at = window.hit();
  if (at === undefined) throw new Error("the first one counts");
  expect([counted(), counted()]).toEqual([true, false]);
  window.forgive(at);
  expect([counted(), counted()]).toEqual([true, false]);
  clock.pass(999);
  expect([counted(), window.idle]).toEqual([false, false]);
  clock.pass(1);
  window.forgive(at);
  expect([window.idle, counted()]).toEqual([true, true]);
});

test("a long wait ends at its time, and not at all when it is cancelled", () => {
  const clock = fakeClock();
  let rung = 0;
  later(clock, 100_000, () => rung++);
  const cancel = later(clock, 100_000, () => rung++);
  clock.pass(99_999);
  expect(rung).toBe(0);
  cancel();
  clock.pass(1);
  expect(rung).toBe(1);
});
