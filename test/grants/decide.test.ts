/** Who may do what, now: every cell of the matrix against a small table of its own. */
import { catalogue } from "@kith/shared/capabilities/index";
import { type Offered, capabilityStates } from "@kith/shared/protocol/session";
import type { DeviceRow } from "@kith/gateway/devices/device";
import { type Question, decide } from "@kith/gateway/grants/decide";
import type { Grant } from "@kith/gateway/grants/grant";
import { describe, expect, test } from "vitest";

const NOW = 1_000_000;

const laptop: DeviceRow = {
  ...{
    id: "k",
    name: "laptop",
    kind: "laptop",
    os: "linux",
    arch: "x64",
    agent: "0.1.0",
    key: "00",
  },
  ...{ state: "paired", ceiling: ["camera.snap"], pairedAt: 1, seenAt: 1, epoch: 3, revocation: 2 },
};

const offer = (cap: string, change: Partial<Offered> = {}): Offered => ({
  ...{ cap, v: 1, effect: catalogue.get(cap)?.effect ?? "once", state: "ready", policy: "allow" },
  ...{ foreground: false, parallel: 1, max_ms: 10_000, max_bytes: 0 },
  ...change,
});

const grant: Grant = {
  ...{
    id: "g",
    device: "k",
    cap: "camera.snap",
    requester: "owner",
    since: NOW - 10,
    notAfter: NOW + 10,
  },
  ...{ revocation: 2, by: "console:owner", state: "live", kept: {} },
};

const ask = (change: Partial<Question> = {}) =>
  decide({
    ...{ device: laptop, capability: catalogue.get("camera.snap"), offered: offer("camera.snap") },
    ...{ requester: "owner", grants: [], kept: {}, ceiling: undefined },
    ...{ locked: false, safe: false, now: NOW },
    ...change,
  });

describe("every cell", () => {
  const grants: Record<string, readonly Grant[]> = {
    none: [],
    live: [{ ...grant, requester: "*" }],
    expired: [{ ...grant, requester: "*", notAfter: NOW }],
    foreign: [{ ...grant, requester: "*", device: "other" }],
  };
  const cells = [...catalogue.keys()].flatMap((cap) =>
    capabilityStates.flatMap((state) =>
      (["allow", "ask", "deny"] as const).flatMap((policy) =>
        Object.keys(grants).flatMap((held) =>
          ["owner", "telegram:9"].flatMap((requester) =>
            [true, false].map((locked) => ({ cap, state, policy, held, requester, locked })),
          ),
        ),
      ),
    ),
  );
  /** The expected verdict, said in another way than the code says it. */
  const expected = ({
    cap,
    state,
    policy,
    held,
    requester,
    locked,
  }: (typeof cells)[number]): string => {
    const usable = new Set(["ready", "busy", "unavailable"]).has(state) && policy !== "deny";
    if (!usable || locked) return "deny";
    if (
      // A shell is asked for each time, whatever was permitted before.
      (held === "live" && cap !== "shell.open") ||
      ["camera.list", "device.info", "device.status", "screen.list"].includes(cap)
    )
      return "allow";
    return requester === "owner" ? "ask" : "deny";
  };

  test("has exactly the verdict of the table", () => {
    const wrong = cells.filter(({ cap, state, policy, held, requester, locked }, at) => {
      const given = (grants[held] ?? []).map((one) => ({
        ...one,
        cap,
        requester: one.requester === "*" ? requester : one.requester,
      }));
      const decision = ask({
        capability: catalogue.get(cap),
        offered: offer(cap, { state, policy }),
        grants: given,
        requester,
        locked,
      });
      return (
        decision.verdict !== expected(cells[at]!) ||
        decision.steps.at(-1)?.verdict !== decision.verdict
      );
    });
    expect(cells.length).toBe(catalogue.size * 6 * 3 * 4 * 2 * 2);
    expect(wrong).toEqual([]);
  });
});

describe("rules come in order", () => {
  const rules = [
    "device-known",
    "capability-on",
    "tailnet-ceiling",
    "lock",
    "safe-mode",
    "boundaries",
    "grant",
    "harmless",
    "owner-asked",
  ];
  test("and each step is told", () => {
    expect(ask().steps.map(({ rule }) => rule)).toEqual(rules);
  });

  test.for<[string, Partial<Question>, string]>([
    [
      "an unknown device",
      { device: undefined, capability: undefined, locked: true },
      "device-unknown",
    ],
    [
      "a revoked device",
      { device: { ...laptop, state: "revoked" }, capability: undefined, grants: [grant] },
      "revoked",
    ],
    ["a device that is held", { device: { ...laptop, state: "held" }, grants: [grant] }, "fenced"],
    ["an unknown capability", { capability: undefined, offered: undefined }, "unsupported"],
    ["one that is not offered", { offered: undefined, locked: true }, "not-offered"],
    ["another version", { offered: offer("camera.snap", { v: 2, state: "off" }) }, "unsupported"],
    [
      "a weaker promise about repeats",
      { offered: offer("camera.snap", { effect: "read" }) },
      "unsupported",
    ],
    [
      "one that is off, before its policy",
      { offered: offer("camera.snap", { state: "off", policy: "deny" }), locked: true },
      "capability-off",
    ],
    [
      "one that the device denies",
      { offered: offer("camera.snap", { policy: "deny", state: "denied" }) },
      "denied-local",
    ],
    [
      "one that the system denies",
      { offered: offer("camera.snap", { state: "needs-permission" }), locked: true },
      "os-permission",
    ],
    [
      "what the tailnet does not permit, before a grant",
      { ceiling: ["screen"], locked: true, grants: [grant] },
      "outside-tailnet",
    ],
    [
      "what a tailnet permits that is off at the device",
      { ceiling: ["camera"], offered: offer("camera.snap", { state: "off" }) },
      "capability-off",
    ],
    ["the lock, before a grant", { locked: true, safe: true, grants: [grant] }, "locked"],
    ["safe mode, before a grant", { safe: true, grants: [grant] }, "safe-mode"],
    ["somebody without a grant", { requester: "telegram:9", grants: [grant] }, "not-granted"],
  ])("%s is refused first", ([, change, code]) => {
    expect(ask(change)).toMatchObject({ verdict: "deny", code });
  });

  test("a ceiling that permits it allows nothing by itself", () => {
    expect(ask({ ceiling: ["camera"] }).verdict).toBe("ask");
    expect(ask({ ceiling: ["*"], requester: "telegram:9" }).verdict).toBe("deny");
  });

  test("a stricter promise about repeats is taken", () => {
    expect(ask({ offered: offer("camera.snap", { effect: "once" }) }).verdict).toBe("ask");
  });
});

describe("a grant carries only what it was given for", () => {
  test.for<[string, Partial<Grant>, boolean]>([
    ["as it is", {}, true],
    ["another device", { device: "other" }, false],
    ["another capability", { cap: "files.read" }, false],
    ["another requester", { requester: "telegram:9" }, false],
    ["one call only", { call: "C" }, false],
    ["an earlier epoch of rights", { revocation: 1 }, false],
    ["a later epoch of rights", { revocation: 3 }, false],
    ["no use left", { uses: 0 }, false],
    ["a use left", { uses: 1 }, true],
    ["used", { state: "used" }, false],
    ["revoked", { state: "revoked" }, false],
    ["expired, and the clock was set back", { state: "expired", notAfter: NOW + 99 }, false],
    ["the last millisecond", { notAfter: NOW + 1 }, true],
    ["the end itself", { notAfter: NOW }, false],
    ["the first millisecond", { since: NOW }, true],
    ["before it began", { since: NOW + 1 }, false],
  ])("%s", ([, change, carries]) => {
    expect(ask({ grants: [{ ...grant, ...change }] }).verdict).toBe(carries ? "allow" : "ask");
  });
});

test("a permission that does not count, since others' words were read, is the reason of the question", () => {
  const rule = (change: Partial<Question>) => ask(change).rule;
  expect(rule({ grants: [grant], tainted: true })).toBe("words-of-others-read");
  expect(rule({ grants: [], tainted: true })).toBe("owner-asked");
  expect(rule({ grants: [grant], tainted: false })).toBe("grant g");
});
