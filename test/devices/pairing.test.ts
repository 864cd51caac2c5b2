/** Pairing by code: each limit of docs/protocol.md "Pairing" at the limit and one above. */
import {
  type PairingEvent,
  pairingLimits,
  pairingMachine,
} from "@kith/gateway/devices/pairing.machine";
import { describe, expect, test } from "vitest";
import { type Driven, drive } from "../support/drive.ts";

type Desk = Driven<typeof pairingMachine>;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

function start(): Desk {
  const desk = drive(pairingMachine, { type: "gateway.started" });
  desk.owed();
  return desk;
}

let attempts = 0;
const did = (desk: Desk) => desk.owed();
const answer = (desk: Desk) =>
  did(desk).flatMap((effect) => (effect.kind === "reply" ? [effect.value] : []))[0] as Record<
    string,
    unknown
  >;

const listen = (desk: Desk) => {
  desk.send({ type: "owner.listened", by: "console:owner" });
  return answer(desk);
};
const begin = (desk: Desk, id = `attempt-${++attempts}`) => {
  const about = {
    name: "phone",
    kind: "phone",
    os: "android",
    arch: "arm64",
    agent: "0.1.0",
  } as const;
  desk.send({
    type: "attempt.begun",
    attempt: {
      id,
      device: `device-${id}`,
      key: "00",
      about,
      caps: ["camera.snap"],
      source: "10.0.0.9",
    },
  });
  return { id, ...answer(desk) } as { id: string; leftMs?: number; refuse?: string };
};
const reveal = (desk: Desk, attempt: string, code = `CODE-${attempt}`) =>
  desk.send({ type: "attempt.revealed", attempt, code, returnCode: "0189" });
const type = (desk: Desk, code: string) => {
  desk.send({ type: "owner.typed", code, by: "console:owner" });
  return answer(desk);
};
const confirm = (desk: Desk, attempt: string) => {
  desk.send({ type: "attempt.confirmed", attempt });
  return did(desk);
};
const abandon = (desk: Desk, attempt: string) => desk.send({ type: "attempt.abandoned", attempt });

/** A window is open. */
function open(): Desk {
  const desk = start();
  listen(desk);
  return desk;
}

/** Begins and gives up so many attempts. */
const spend = (desk: Desk, count: number) => {
  for (let at = 0; at < count; at++) abandon(desk, begin(desk).id);
};

test("the whole way: begun, revealed, typed, confirmed, and a device is paired", () => {
  const desk = open();
  const { id, leftMs } = begin(desk);
  expect(leftMs).toBe(15 * MINUTE_MS);
  reveal(desk, id, "E8ZPKGEJH");
  expect(did(desk)).toContainEqual({
    kind: "signal",
    topic: "pairing.waiting",
    data: { name: "phone" },
  });
  desk.send({ type: "owner.typed", code: "E8ZPKGEJH", by: "console:owner" });
  expect(did(desk)).toMatchObject([
    {
      kind: "audit",
      what: "pairing.approved",
      data: { by: "console:owner", device: `device-${id}` },
    },
    { kind: "signal", topic: "pairing.speak", data: { attempts: [id], say: "approved" } },
    { kind: "reply", value: { attempt: { id, returnCode: "0189", source: "10.0.0.9" } } },
  ]);
  expect(confirm(desk, id)).toMatchObject([
    {
      kind: "tell",
      to: `device/device-${id}`,
      event: { type: "device.paired", ceiling: ["camera.snap"], how: "code" },
    },
    { kind: "reply", value: { attempt: { id } } },
  ]);
  expect(desk.context().pending).toEqual([]);
});

describe("outside a window", () => {
  test("nothing begins, nothing is typed, nothing is confirmed", () => {
    const desk = start();
    expect(begin(desk)).toMatchObject({ refuse: "pairing-closed" });
    expect(type(desk, "CODE")).toMatchObject({ refuse: "pairing-closed" });
    expect(confirm(desk, "x")).toEqual([{ kind: "reply", value: { refuse: "pairing-closed" } }]);
  });

  test("it is over after fifteen minutes, and whoever waits is told", () => {
    const desk = open();
    const { id } = begin(desk);
    desk.pass(15 * MINUTE_MS - 1);
    expect(desk.state()).toBe("open");
    desk.pass(1);
    expect(did(desk)).toMatchObject([
      { kind: "signal", topic: "pairing.window", data: { open: false } },
      {
        kind: "signal",
        topic: "pairing.speak",
        data: { attempts: [id], say: "refused", why: "closed" },
      },
    ]);
    expect([desk.state(), desk.context().pending]).toEqual(["closed", []]);
  });

  test("to open an open one again is the same window, not a new one", () => {
    const desk = open();
    const { until } = desk.context();
    spend(desk, 5);
    desk.pass(MINUTE_MS);
    expect(listen(desk)).toEqual({ until });
    expect(begin(desk).refuse).toBe("pairing-full");
  });
});

describe("limits", () => {
  test("five slots a window, also for attempts that were given up; the sixth is refused", () => {
    const desk = open();
    spend(desk, 5);
    expect(begin(desk)).toMatchObject({ refuse: "pairing-full" });
    desk.pass(15 * MINUTE_MS);
    listen(desk);
    expect(begin(desk).refuse).toBeUndefined();
  });

  test("three pending at once; the fourth waits until one is gone", () => {
    const desk = open();
    const [first] = [begin(desk), begin(desk), begin(desk)];
    expect(begin(desk)).toMatchObject({ refuse: "pairing-full" });
    abandon(desk, first!.id);
    expect(begin(desk).refuse).toBeUndefined();
  });

  test("forty slots within 24 hours, over all windows", () => {
    const desk = start();
    for (let window = 0; window < 8; window++) {
      listen(desk);
      spend(desk, 5);
      desk.pass(15 * MINUTE_MS);
    }
    listen(desk);
    expect(begin(desk)).toMatchObject({ refuse: "pairing-full" });
    // The first window's slots become free one day after they were spent.
    desk.pass(DAY_MS - 8 * 15 * MINUTE_MS);
    listen(desk);
    expect(begin(desk).refuse).toBeUndefined();
  });

  test("24 windows within 24 hours", () => {
    const desk = start();
    for (let window = 0; window < 24; window++) {
      expect(listen(desk)).toHaveProperty("until");
      desk.pass(15 * MINUTE_MS);
    }
    expect(listen(desk)).toMatchObject({ refuse: "pairing-full" });
    desk.pass(DAY_MS - 24 * 15 * MINUTE_MS - 1);
    expect(listen(desk)).toMatchObject({ refuse: "pairing-full" });
    desk.pass(1);
    expect(listen(desk)).toHaveProperty("until");
  });

  test("two wrong codes are only refused, the third closes pairing for fifteen minutes", () => {
    const desk = open();
    const { id } = begin(desk);
    expect(type(desk, "WRONG")).toMatchObject({ refuse: "code-unknown" });
    expect(type(desk, "WRONG")).toMatchObject({ refuse: "code-unknown" });
    desk.send({ type: "owner.typed", code: "WRONG", by: "console:owner" });
    expect(did(desk)).toContainEqual({
      kind: "signal",
      topic: "pairing.speak",
      data: { attempts: [id], say: "refused", why: "closed" },
    });
    expect(desk.state()).toBe("locked");
    expect(listen(desk)).toMatchObject({ refuse: "pairing-locked" });
    expect(begin(desk)).toMatchObject({ refuse: "pairing-locked" });
    expect(type(desk, `CODE-${id}`)).toMatchObject({ refuse: "pairing-locked" });
    desk.pass(pairingLimits.lockMs - 1);
    expect(listen(desk)).toMatchObject({ refuse: "pairing-locked" });
    desk.pass(1);
    expect(listen(desk)).toHaveProperty("until");
  });

  test("a new window begins with no wrong code counted, an old one's count stays", () => {
    const desk = open();
    type(desk, "WRONG");
    listen(desk);
    expect(desk.context().wrong).toBe(1);
    desk.pass(15 * MINUTE_MS);
    listen(desk);
    expect(desk.context().wrong).toBe(0);
  });

  test("two devices with one code: both are dropped, pairing is locked, the owner is warned", () => {
    const desk = open();
    const [one, two] = [begin(desk).id, begin(desk).id];
    reveal(desk, one, "SAME");
    did(desk);
    reveal(desk, two, "SAME");
    const effects = did(desk);
    expect(effects).toContainEqual({
      kind: "signal",
      topic: "pairing.speak",
      data: { attempts: [one, two], say: "refused", why: "closed" },
    });
    expect(effects).toContainEqual(expect.objectContaining({ kind: "signal", topic: "notice" }));
    expect([desk.state(), desk.context().pending]).toEqual(["locked", []]);
    expect(type(desk, "SAME")).toMatchObject({ refuse: "pairing-locked" });
  });
});

describe("an attempt", () => {
  test("that confirms without approval is refused, and that is noted", () => {
    const desk = open();
    const { id } = begin(desk);
    reveal(desk, id);
    did(desk);
    expect(confirm(desk, id)).toEqual([
      { kind: "audit", what: "pairing.unapproved", data: {} },
      { kind: "reply", value: { refuse: "pairing-refused" } },
    ]);
  });

  test("that was given up has no code any more, and cannot confirm", () => {
    const desk = open();
    const { id } = begin(desk);
    reveal(desk, id);
    did(desk);
    type(desk, `CODE-${id}`);
    abandon(desk, id);
    expect(confirm(desk, id).at(-1)).toEqual({
      kind: "reply",
      value: { refuse: "pairing-refused" },
    });
    expect(type(desk, `CODE-${id}`)).toMatchObject({ refuse: "code-unknown" });
  });

  test("that has not shown its code is never found by none", () => {
    const desk = open();
    begin(desk);
    expect(type(desk, "")).toMatchObject({ refuse: "code-unknown" });
  });

  test("shows one code: a second one is refused, so a slot is one guess", () => {
    const desk = open();
    const { id } = begin(desk);
    reveal(desk, id, "FIRST");
    did(desk);
    reveal(desk, id, "SECOND");
    expect(answer(desk)).toMatchObject({ refuse: "pairing-closed" });
    expect(type(desk, "SECOND")).toMatchObject({ refuse: "code-unknown" });
  });
});

test("a restart drops who waits and gives no slot back", () => {
  const desk = open();
  begin(desk);
  begin(desk);
  desk.send({ type: "gateway.started" });
  expect(did(desk)).toContainEqual({
    kind: "signal",
    topic: "pairing.window",
    data: { open: true },
  });
  expect(desk.context()).toMatchObject({ pending: [], slotsHere: 2 });
  spend(desk, 3);
  expect(begin(desk)).toMatchObject({ refuse: "pairing-full" });
});

test("an address that was opened is in the audit, by whose word", () => {
  const desk = start();
  desk.owed();
  desk.send({ type: "owner.opened", address: "192.168.1.2:5484", by: "console:owner" });
  expect(desk.owed()).toMatchObject([
    { kind: "audit", what: "pairing.opened", data: { address: "192.168.1.2:5484" } },
  ]);
});

test("it handles exactly the events of its type", () => {
  const all: Record<PairingEvent["type"], true> = {
    ...{ "gateway.started": true, "desk.read": true, "owner.listened": true, "owner.typed": true },
    "owner.opened": true,
    ...{
      "attempt.begun": true,
      "attempt.revealed": true,
      "attempt.confirmed": true,
      "attempt.abandoned": true,
    },
    ...{ "timer.window": true, "timer.lock": true },
  };
  expect([...pairingMachine.events].toSorted()).toEqual(Object.keys(all).toSorted());
});
