/** Calls over broken links, restarts and passed deadlines. */
import type { Call } from "@kith/gateway/invocations/call";
import { describe, expect, test } from "vitest";
import { Desk } from "./desk.ts";

const HASH = "07".repeat(32);
const session = "session/S" as const;

/** A call is on its way, and its link was replaced by the next one. */
function broken(change: Partial<Call> = {}, request: { cap?: string; args?: object } = {}) {
  const desk = new Desk();
  desk.sent("C", { session, ...request } as never);
  desk.put("call", "C", { ...desk.call("C"), ...change });
  desk.restart();
  desk.links.set("laptop", 2);
  desk.tell("*", { type: "link.ready", device: "laptop", epoch: 2, ledger: "LEDGER" });
  return desk;
}

describe("after a broken link", () => {
  test("the ledger is asked before anything is sent again", () => {
    expect(broken().steps()).toEqual(["ledger-query C"]);
  });

  test("absent: the same call leaves once more on the new link", () => {
    const desk = broken();
    desk.ledger("C", "absent");
    expect([desk.steps(), desk.call("C").epoch, desk.state("C")]).toEqual([
      ["invoke C"],
      2,
      "sent",
    ]);
  });

  test("absent after the settings read the tailnet's policy more strictly: it does not go again", () => {
    const desk = broken();
    desk.ceiling = "strict";
    desk.restart();
    desk.tell("*", { type: "link.ready", device: "laptop", epoch: 2, ledger: "LEDGER" });
    desk.ledger("C", "absent");
    expect(desk.state("C")).toBe("cancelled revoked none");
  });

  test("what waited for its device does not leave when the settings are stricter since", () => {
    const desk = new Desk();
    desk.links.clear();
    desk.settling = true;
    desk.request("C", { cap: "device.info" } as never);
    expect(desk.state("C")).toBe("ready");
    desk.ceiling = "strict";
    desk.restart();
    desk.links.set("laptop", 2);
    desk.tell("*", { type: "link.ready", device: "laptop", epoch: 2, ledger: "LEDGER" });
    expect([desk.steps(), desk.state("C")]).toEqual([[], "denied revoked none"]);
  });

  test.for([
    ["another ledger", { ledger: "OTHER" }],
    ["a number below its floor", { floor: Number.MAX_SAFE_INTEGER }],
  ] as const)(
    "absent in %s proves nothing: a new attempt under a new id, and who waits is told",
    ([, more]) => {
      const desk = broken();
      desk.ledger("C", "absent", more);
      const [fresh] = desk.calls.list();
      expect(desk.state("C")).toBe("failed interrupted unknown");
      expect([fresh?.state, desk.steps()]).toEqual(["sent", [`invoke ${fresh?.id}`]]);
      expect(desk.audit()).toEqual(["call.replaced", "call.sent"]);
      expect(desk.tells()).toEqual([
        { kind: "tell", to: session, event: { type: "call.replaced", call: "C", by: fresh?.id } },
      ]);
    },
  );

  test("what a forgotten try may have done is not taken back by the end of the next one", () => {
    const desk = broken();
    desk.ledger("C", "absent", { ledger: "OTHER" });
    const fresh = desk.calls.list()[0]?.id ?? "";
    desk.error(fresh, { code: "busy", effect: "none" });
    expect(desk.state(fresh)).toBe("failed busy unknown");
  });

  test("a device that keeps forgetting ends with the time of the first try", () => {
    const desk = broken();
    const { deadlineAt } = desk.call("C");
    for (let tries = 0; tries < 100 && desk.calls.list().length > 0; tries++) {
      desk.now += 1_000;
      desk.ledger(desk.calls.list()[0]?.id ?? "", "absent", { ledger: "OTHER" });
    }
    expect(desk.calls.list()).toEqual([]);
    expect(desk.now).toBeLessThanOrEqual(deadlineAt);
  });

  test("absent after the device's rights were renewed: its permission is gone", () => {
    const desk = broken();
    desk.device("laptop", { revocation: 1 });
    desk.ledger("C", "absent");
    expect(desk.state("C")).toBe("cancelled revoked none");
  });

  test("absent after its standing grant ran out, was revoked, or with the clock set back", () => {
    for (const [past, back] of [
      [0, 0],
      [0, 3_600_000],
    ] as const) {
      const desk = new Desk();
      desk.sent("C", { allow: "15m" });
      desk.put("call", "C", { ...desk.call("C"), deadlineAt: desk.now + 3_600_000 });
      desk.restart();
      desk.now += 15 * 60_000 + past;
      desk.request("look");
      desk.now -= back;
      desk.ledger("C", "absent");
      expect(desk.state("C")).toBe("cancelled revoked none");
    }
  });

  test("running: it waits; done: the stored frame follows and counts", () => {
    const desk = broken();
    for (const found of ["received", "asking", "running", "done"]) {
      desk.ledger("C", found);
      expect([desk.state("C"), desk.steps()]).toEqual(["sent", []]);
    }
    desk.media.add(HASH);
    desk.result("C");
    expect(desk.state("C")).toBe("done");
  });

  test("a wait for an answer of the person there goes on under the new link", () => {
    const desk = broken();
    desk.ledger("C", "asking");
    expect(desk.call("C").epoch).toBe(2);
  });
});

describe("a call that may happen only once", () => {
  const once = () => broken({ class: "once" });

  test.for([
    ["doubt", {}],
    ["absent", { ledger: "OTHER" }],
    ["absent", { floor: Number.MAX_SAFE_INTEGER }],
  ] as const)("%s %j: it is unknown, shown, and never sent again", ([found, more]) => {
    const desk = once();
    desk.ledger("C", found, more);
    expect([desk.state("C"), desk.steps()]).toEqual(["unknown unknown unknown", []]);
    expect(desk.tells()).toMatchObject([
      { to: session, event: { type: "call.ended", outcome: { state: "unknown" } } },
    ]);
    for (const again of ["doubt", "running", "done"]) desk.ledger("C", again);
    desk.ledger("C", "absent", { ledger: "OTHER" });
    desk.tell("C", { type: "deadline.passed" });
    desk.tell("C", { type: "grace.passed" });
    expect([desk.state("C"), desk.steps()]).toEqual(["unknown unknown unknown", []]);
  });

  test.for<[string, (desk: Desk) => void, string]>([
    ["a result", (desk) => desk.result("C"), "done"],
    ["an error", (desk) => desk.error("C"), "failed driver none"],
    [
      "proof that it never arrived",
      (desk) => desk.ledger("C", "absent"),
      "failed interrupted none",
    ],
  ])("unknown is left by %s, also after a restart", ([, say, state]) => {
    const desk = once();
    desk.ledger("C", "doubt");
    desk.restart();
    desk.media.add(HASH);
    say(desk);
    expect(desk.state("C")).toBe(state);
  });

  test.for(["revoked", "locked"] as const)(
    "%s while it runs: that it ran counts, what it brought is refused",
    (code) => {
      const desk = once();
      if (code === "locked") desk.tell("*", { type: "lock.set", locked: true, by: "x" });
      else desk.tell("*", { type: "grant.revoked", grant: desk.call("C").grant, by: "x" });
      if (code === "revoked") {
        // A one-use grant is used up and cannot be taken back; the device can.
        desk.device("laptop", { state: "revoked", revocation: 1 });
        desk.tell("*", { type: "device.revoked", device: "laptop" });
      }
      expect([desk.state("C"), desk.steps()]).toEqual([
        `unknown ${code} unknown`,
        ["cancel-revoked C"],
      ]);
      desk.media.add(HASH);
      desk.result("C");
      expect([desk.state("C"), desk.call("C").out, desk.call("C").streams]).toEqual([
        `failed ${code} partial`,
        undefined,
        undefined,
      ]);
    },
  );
});

describe("deadlines", () => {
  test("a question that nobody answers, and one that was", () => {
    const desk = new Desk();
    desk.request("C");
    expect(desk.call("C").deadlineAt).toBe(desk.now + 15 * 60_000 + 2_000);
    desk.tell("C", { type: "deadline.passed" });
    expect(desk.state("C")).toBe("expired owner-silent none");
  });

  test("a call counts its time from when it left, and gets two seconds more", () => {
    const desk = new Desk();
    const { deadlineAt } = desk.sent("C");
    expect(deadlineAt).toBe(desk.now + 15_000 + 2_000);
  });

  test("cancelled at the deadline, given up after the grace", () => {
    const desk = new Desk();
    desk.sent("C");
    desk.tell("C", { type: "deadline.passed" });
    expect([desk.state("C"), desk.steps()]).toEqual(["sent", ["cancel C"]]);
    desk.tell("C", { type: "grace.passed" });
    expect(desk.state("C")).toBe("failed timeout unknown");
  });

  test("an answer within the grace still counts", () => {
    const desk = new Desk();
    desk.sent("C");
    desk.tell("C", { type: "deadline.passed" });
    desk.error("C", { code: "cancelled" });
    expect(desk.state("C")).toBe("cancelled cancelled none");
  });

  test("a call that never left says why: the device was away, or busy with others", () => {
    const desk = new Desk();
    desk.offer("camera.snap", { parallel: 1 });
    for (const id of ["A", "B", "C"]) desk.sent(id);
    desk.tell("B", { type: "deadline.passed" });
    desk.links.clear();
    desk.tell("C", { type: "deadline.passed" });
    expect([desk.state("B"), desk.state("C")]).toEqual([
      "expired busy none",
      "expired device-away none",
    ]);
  });
});

test("a deadline that passes writes nothing, so that it cannot arm itself again", () => {
  const desk = new Desk();
  desk.sent("A", { cap: "device.info" });
  desk.now += 60_000;
  const effects = desk.tell("A", { type: "deadline.passed" });
  expect(effects.map(({ kind }) => kind)).toEqual(["signal"]);
  expect(desk.call("A").state).toBe("sent");
  desk.tell("A", { type: "grace.passed" });
  expect(desk.call("A")).toMatchObject({ state: "failed", failure: { code: "timeout" } });
});

test("a read that its device forgets again and again ends", () => {
  const desk = new Desk();
  desk.sent("A", { cap: "device.info" });
  let id = "A";
  for (let tries = 0; tries < 2; tries++) {
    desk.ledger(id, "doubt");
    const next = desk.calls.list()[0];
    expect(next?.id).not.toBe(id);
    id = next?.id ?? "";
  }
  desk.ledger(id, "doubt");
  expect(desk.call(id)).toMatchObject({ state: "failed", failure: { code: "interrupted" } });
});
