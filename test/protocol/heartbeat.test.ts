/** Is the other side alive? With the numbers of docs/protocol.md "Reconnect". */
import { type Heartbeat, heartbeat } from "@kith/shared/protocol/heartbeat";
import { describe, expect, test } from "vitest";
import { fakeClock } from "../mesh/world.ts";

function start(everyMs?: number) {
  const clock = fakeClock();
  const pings: number[] = [];
  const begun = clock.mono();
  const world = {
    clock,
    pings,
    busy: false,
    deadAt: undefined as number | undefined,
    deaths: 0,
    beat: undefined as unknown as Heartbeat,
  };
  world.beat = heartbeat({
    clock,
    ...(everyMs === undefined ? {} : { everyMs }),
    busy: () => world.busy,
    ping: () => pings.push(clock.mono() - begun),
    dead: () => {
      world.deaths++;
      world.deadAt = clock.mono() - begun;
    },
  });
  return world;
}

/** Each ping is answered after `ms`. */
const answering = (world: ReturnType<typeof start>, ms: number, until: number) => {
  let answered = 0;
  for (let passed = 0; passed < until; passed += ms) {
    world.clock.pass(ms);
    if (world.pings.length > answered) {
      answered = world.pings.length;
      world.beat.alive();
      world.beat.pong(answered);
    }
  }
};

describe("a node with nothing open", () => {
  test("pings on its beat, from the first beat on", () => {
    const world = start(20_000);
    answering(world, 1_000, 65_000);
    expect(world.pings).toEqual([20_000, 40_000, 60_000]);
    expect(world.deaths).toBe(0);
  });

  test("finds the link dead when a pong is ten seconds late, once", () => {
    const world = start(20_000);
    world.clock.pass(29_999);
    expect(world.deaths).toBe(0);
    world.clock.pass(1);
    expect([world.deadAt, world.pings]).toEqual([30_000, [20_000]]);
    world.clock.pass(300_000);
    expect([world.deaths, world.pings.length]).toEqual([1, 1]);
  });

  test("takes other frames for life, not for its pong", () => {
    const world = start(20_000);
    for (let at = 0; at < 31; at++) {
      world.beat.alive();
      world.clock.pass(1_000);
    }
    expect(world.deadAt).toBe(30_000);
  });

  test("ignores a pong to a ping that it never sent", () => {
    const world = start(20_000);
    world.clock.pass(20_000);
    for (const n of [0, 2, 99, -1, Number.NaN]) world.beat.pong(n);
    world.clock.pass(10_000);
    expect(world.deadAt).toBe(30_000);
  });
});

describe("a gateway with nothing open", () => {
  test("never pings, and gives a silent link up after 45 seconds", () => {
    const world = start();
    world.clock.pass(44_999);
    expect(world.deaths).toBe(0);
    world.clock.pass(1);
    expect([world.deadAt, world.pings]).toEqual([45_000, []]);
  });

  test("counts from the last valid frame", () => {
    const world = start();
    world.clock.pass(44_000);
    world.beat.alive();
    world.clock.pass(44_999);
    expect(world.deaths).toBe(0);
    world.clock.pass(1);
    expect(world.deadAt).toBe(89_000);
  });
});

describe("with a call open", () => {
  test.for([[20_000], [undefined]] as const)(
    "both sides ping every five seconds (beat %s)",
    ([everyMs]) => {
      const world = start(everyMs);
      world.busy = true;
      world.beat.poke();
      answering(world, 500, 20_000);
      expect(world.pings).toEqual([5_000, 10_000, 15_000, 20_000]);
    },
  );

  test.for([[20_000], [undefined]] as const)(
    "ten seconds of silence are death (beat %s)",
    ([everyMs]) => {
      const world = start(everyMs);
      world.busy = true;
      world.beat.poke();
      world.clock.pass(9_999);
      expect(world.deaths).toBe(0);
      world.clock.pass(1);
      expect(world.deadAt).toBe(10_000);
    },
  );

  test("an old silence does not count: the other side had no reason to speak", () => {
    const world = start();
    world.clock.pass(40_000);
    world.busy = true;
    world.beat.poke();
    world.clock.pass(9_999);
    expect(world.deaths).toBe(0);
    world.clock.pass(1);
    expect(world.deadAt).toBe(50_000);
  });

  test("and ended again, the long patience holds", () => {
    const world = start();
    world.busy = true;
    world.beat.poke();
    world.clock.pass(5_000);
    world.beat.alive();
    world.beat.pong(1);
    world.busy = false;
    world.beat.poke();
    world.clock.pass(44_999);
    expect(world.deaths).toBe(0);
    world.clock.pass(1);
    expect(world.deadAt).toBe(50_000);
  });
});

describe("a probe after sleep", () => {
  test("asks at once, and is answered by any frame", () => {
    const world = start(20_000);
    world.beat.probe(3_000);
    expect(world.pings).toEqual([0]);
    world.clock.pass(2_999);
    world.beat.alive();
    world.clock.pass(1);
    expect(world.deaths).toBe(0);
  });

  test("finds the link dead when nothing comes in time", () => {
    const world = start(20_000);
    world.beat.probe(3_000);
    world.clock.pass(2_999);
    expect(world.deaths).toBe(0);
    world.clock.pass(1);
    expect(world.deadAt).toBe(3_000);
  });
});

test("the age of a ping is known as long as it may be asked for", () => {
  const world = start(20_000);
  expect(world.beat.sentAgo(0)).toBe(0);
  answering(world, 10_000, 65 * 20_000);
  expect([world.beat.sentAgo(0), world.beat.sentAgo(1)]).toEqual([undefined, undefined]);
  expect(world.beat.sentAgo(65)).toBe(0);
  expect(world.beat.sentAgo(2)).toBe(63 * 20_000);
  expect(world.beat.sentAgo(66)).toBeUndefined();
});

test("stopped, it says nothing more", () => {
  const world = start(20_000);
  world.beat.probe(3_000);
  world.beat.stop();
  world.beat.probe(1);
  world.beat.poke();
  world.clock.pass(600_000);
  expect([world.deaths, world.pings]).toEqual([0, [0]]);
});
