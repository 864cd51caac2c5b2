/** What a device says about calls: its own and open ones count, everything else is only counted. */
import { describe, expect, test } from "vitest";
import { Desk, image, sha256 } from "./desk.ts";

const HASH = "07".repeat(32);
const session = "session/S" as const;

/** A photo is on its way. */
function start() {
  const desk = new Desk();
  desk.sent("C", { session });
  return desk;
}

describe("a result", () => {
  test("with its content ends the call, and the chat hears it", () => {
    const desk = start();
    desk.media.add(HASH);
    desk.result("C");
    expect(desk.state("C")).toBe("done");
    expect(desk.audit()).toEqual(["call.done"]);
    expect(desk.tells()).toMatchObject([
      {
        to: session,
        event: { type: "call.ended", outcome: { state: "done", streams: [{ sha256: HASH }] } },
      },
    ]);
  });

  test("before its content waits for it; the content alone is nothing yet", () => {
    const desk = start();
    desk.tell("C", { type: "stream.ended", device: "laptop" });
    expect(desk.state("C")).toBe("sent");
    desk.result("C");
    expect([desk.state("C"), desk.effects]).toEqual(["sent", []]);
    desk.media.add(HASH);
    desk.tell("C", { type: "stream.ended", device: "laptop" });
    expect(desk.state("C")).toBe("done");
  });

  test("said again with other content: the first word stays, the second is counted", () => {
    const desk = start();
    desk.result("C");
    desk.media.add("08".repeat(32));
    desk.result("C", { streams: [{ ...image, sha256: sha256.map(() => 8) }] });
    expect([desk.state("C"), desk.calls.strays]).toEqual(["sent", 1]);
    desk.media.add(HASH);
    desk.tell("C", { type: "stream.ended", device: "laptop" });
    expect(desk.call("C").streams).toMatchObject([{ sha256: HASH }]);
  });

  test.for<[string, object, string]>([
    ["not of its schema", { out: {} }, "failed bad-result partial"],
    ["without its content", { streams: [] }, "failed bad-result partial"],
    [
      "of a role that every object has",
      { streams: [{ ...image, role: "constructor" }] },
      "failed bad-result partial",
    ],
    [
      "of another type",
      { streams: [{ ...image, type: "text/html" }] },
      "failed bad-result partial",
    ],
    ["too big", { streams: [{ ...image, size: 32 * 1_048_576 + 1 }] }, "failed too-big partial"],
  ])("%s fails the call and stores nothing", ([, change, state]) => {
    const desk = start();
    desk.media.add(HASH);
    desk.result("C", change);
    expect([desk.state("C"), desk.call("C").out]).toEqual([state, undefined]);
  });

  test("whose content broke on the way fails with that", () => {
    const desk = start();
    desk.result("C");
    desk.tell("C", {
      type: "stream.ended",
      device: "laptop",
      failure: { code: "hash-mismatch", message: "", effect: "partial" },
    });
    expect(desk.state("C")).toBe("failed hash-mismatch partial");
  });
});

describe("an error", () => {
  test.for<[object, string]>([
    [{ code: "busy" }, "failed busy none"],
    [{ code: "cancelled" }, "cancelled cancelled none"],
    [{ code: "no-such-code" }, "failed internal none"],
    [{ code: "toString" }, "failed internal none"],
    [{ effect: undefined }, "failed driver unknown"],
  ])("%j", ([change, state]) => {
    const desk = start();
    desk.error("C", change);
    expect(desk.state("C")).toBe(state);
  });

  test("never says nothing, and never more than it may", () => {
    const desk = start();
    desk.error("C", { text: "\u001b\u202e" });
    expect(desk.call("C").failure?.message).toBe("laptop: the device gave no reason");
  });
});

describe("frames that are none of its business change nothing and are counted", () => {
  const frames: [string, (desk: Desk, call: string, device: string) => void][] = [
    ["result", (desk, call, device) => desk.result(call, {}, device)],
    ["error", (desk, call, device) => desk.error(call, {}, device)],
    ["stream", (desk, call, device) => void desk.tell(call, { type: "stream.ended", device })],
    [
      "ledger",
      (desk, call, device) =>
        void desk.tell(call, {
          type: "ledger.read",
          device,
          found: "absent",
          ledger: "LEDGER",
          floor: 0,
          epoch: 1,
        }),
    ],
  ];
  test.for(frames)("%s", ([, say]) => {
    const desk = start();
    desk.media.add(HASH);
    desk.device("phone");
    say(desk, "C", "phone");
    say(desk, "UNKNOWN", "laptop");
    say(desk, "constructor", "laptop");
    expect([desk.effects, desk.state("C"), desk.calls.strays]).toEqual([[], "sent", 3]);
    desk.result("C");
    expect(desk.state("C")).toBe("done");
    const before = desk.call("C");
    say(desk, "C", "laptop");
    expect([desk.effects, desk.call("C"), desk.calls.strays]).toEqual([[], before, 4]);
  });

  test("a result for a call that has not left", () => {
    const desk = new Desk();
    desk.media.add(HASH);
    desk.request("C");
    desk.result("C");
    desk.error("C");
    expect([desk.state("C"), desk.calls.strays]).toEqual(["asked", 2]);
  });
});

describe("rights that end in mid-call", () => {
  const ends: [string, (desk: Desk) => void, string][] = [
    [
      "device",
      (desk) => (
        desk.device("laptop", { state: "revoked", revocation: 1 }),
        void desk.tell("*", { type: "device.revoked", device: "laptop" })
      ),
      "revoked",
    ],
    [
      "grant",
      (desk) =>
        void desk.tell("*", {
          type: "grant.revoked",
          grant: desk.call("C").grant,
          by: "console:owner",
        }),
      "revoked",
    ],
    [
      "the tailnet's policy",
      (desk) => {
        const seen = { node: "n", ip: "100.64.0.2", name: "n", login: "", tags: [], epoch: 1 };
        desk.device("laptop", { tailnet: { ...seen, may: ["screen"] } });
        desk.tell("*", { type: "ceiling.changed" });
      },
      "revoked",
    ],
    [
      "lock",
      (desk) => void desk.tell("*", { type: "lock.set", locked: true, by: "console:owner" }),
      "locked",
    ],
  ];
  test.for(ends)("%s: the call is stopped, and what arrives later is dropped", ([, end, code]) => {
    const desk = new Desk();
    desk.media.add(HASH);
    desk.sent("C", { allow: "1h" });
    end(desk);
    expect(desk.state("C")).toBe(`cancelled ${code} unknown`);
    expect(desk.steps()).toEqual(["cancel-revoked C"]);
    const before = desk.call("C");
    desk.result("C");
    desk.error("C");
    desk.ledger("C", "done");
    expect([desk.call("C"), desk.effects, desk.calls.strays]).toEqual([before, [], 3]);
  });

  test.for(ends)(
    "%s: what waits is denied and never leaves, not even for a moment",
    ([, end, code]) => {
      const desk = new Desk();
      desk.offer("camera.snap", { parallel: 1 });
      desk.sent("C", { allow: "1h" });
      desk.request("next");
      expect(desk.state("next")).toBe("ready");
      end(desk);
      expect(desk.state("next")).toBe(`denied ${code} none`);
      expect(desk.audit()).not.toContain("call.sent");
      expect(desk.steps()).toEqual(["cancel-revoked C"]);
    },
  );

  test("a question that was open is withdrawn", () => {
    const desk = new Desk();
    desk.request("C", { session });
    desk.tell("*", { type: "lock.set", locked: true, by: "console:owner" });
    expect(desk.state("C")).toBe("denied locked none");
    expect(desk.tells()).toMatchObject([
      { to: "approval/C", event: { type: "call.ended" } },
      { to: session, event: { type: "call.ended", outcome: { state: "denied" } } },
    ]);
  });

  test("a question that was answered with no is not told so again", () => {
    const desk = new Desk();
    desk.request("C", { session });
    desk.tell("C", {
      type: "approval.refused",
      failure: { code: "denied-owner", message: "", effect: "none" },
    });
    expect(desk.tells().map(({ to }) => to)).toEqual([session]);
  });

  test("the grants of a device end with its pairing, those of others stay", () => {
    const desk = new Desk();
    desk.sent("C", { allow: "1h" });
    desk.device("phone");
    desk.put("grant", "other", {
      id: "other",
      device: "phone",
      cap: "x",
      requester: "owner",
      since: 0,
      revocation: 0,
      by: "",
      state: "live",
    });
    desk.device("laptop", { revocation: 1 });
    desk.tell("*", { type: "device.revoked", device: "laptop" });
    expect(desk.documents.list<{ id: string }>("grant").map(({ id }) => id)).toEqual(["other"]);
    expect(desk.request("D").state).toBe("asked");
  });

  test("lifting the lock lets the grant carry again", () => {
    const desk = new Desk();
    desk.sent("C", { allow: "1h" });
    desk.tell("*", { type: "lock.set", locked: true, by: "console:owner" });
    expect(desk.request("D").failure?.code).toBe("locked");
    desk.tell("*", { type: "lock.set", locked: false, by: "console:owner" });
    expect(desk.request("E").state).toBe("ready");
  });
});
