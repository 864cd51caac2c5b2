/** From a request to the frame, or to the word why not. */
import type { Grant } from "@kith/gateway/grants/grant";
import type { Request } from "@kith/gateway/invocations/request";
import { describe, expect, test } from "vitest";
import { Desk } from "./desk.ts";

const session = "session/S" as const;
const content = (byte: string) => ({ sha256: byte.repeat(32), type: "text/plain", bytes: 5 });

describe("a request is refused with its reason, and nothing is kept", () => {
  test.for<[string, (desk: Desk) => void, Partial<Request>]>([
    ["device-unknown", () => {}, { device: "toaster" }],
    ["device-unknown", (desk) => desk.documents.put("device", "laptop", false, {}), { device: "" }],
    [
      "device-ambiguous",
      (desk) => (desk.device("other"), desk.links.set("other", 1), desk.offers("laptop")),
      { device: "" },
    ],
    ["device-away", (desk) => desk.links.clear(), {}],
    ["revoked", (desk) => desk.device("laptop", { state: "revoked" }), {}],
    ["fenced", (desk) => desk.device("laptop", { state: "held" }), {}],
    ["capability-off", (desk) => desk.offer("camera.snap", { state: "off" }), {}],
    ["denied-local", (desk) => desk.offer("camera.snap", { policy: "deny" }), {}],
    ["os-permission", (desk) => desk.offer("camera.snap", { state: "denied" }), {}],
    ["not-offered", () => {}, { cap: "device.status" }],
    ["not-offered", (desk) => desk.device("laptop", { ceiling: ["camera.list"] }), {}],
    ["unsupported", () => {}, { cap: "toast.make" }],
    ["unsupported", () => {}, { cap: "constructor" }],
    ["unsupported", (desk) => desk.offer("camera.snap", { v: 2 }), {}],
    ["bad-args", () => {}, { args: { max_edge_px: 1 } }],
    ["bad-args", () => {}, { args: { path: "/etc/passwd" } }],
    ["bad-args", () => {}, { args: { facing: Object } }],
    ["locked", (desk) => desk.put("setting", "lock", { locked: true }), {}],
    ["not-granted", () => {}, { requester: "telegram:9" }],
  ])("%s", ([code, change, request]) => {
    const desk = new Desk();
    change(desk);
    const { state, failure } = desk.request("C", { ...request, session, allow: "once" });
    expect([state, failure?.code, failure?.effect]).toEqual(["denied", code, "none"]);
    expect([desk.audit(), desk.calls.list(), desk.steps()]).toEqual([["call.refused"], [], []]);
    expect(desk.tells()).toMatchObject([
      { to: session, event: { type: "call.ended", outcome: { failure: { code } } } },
    ]);
  });

  test.for<[string, Partial<Request>]>([
    ["nothing to send", { cap: "files.write", args: { path: "a" } }],
    [
      "content that is not here",
      { cap: "files.write", args: { path: "a" }, content: content("08") },
    ],
    ["content for what takes none", { content: content("07") }],
  ])("%s", ([, request]) => {
    const desk = new Desk();
    desk.media.add("07".repeat(32));
    desk.offer("files.write", {});
    expect(desk.request("C", { ...request, allow: "once" }).failure?.code).toBe("bad-args");
  });

  test("several devices come as choices", () => {
    const desk = new Desk();
    desk.device("phone");
    desk.put("device", "caps/phone", desk.documents.get("device", "caps/laptop"));
    desk.links.set("phone", 1);
    expect(desk.request("C", { device: "", args: { facing: "front" } })).toMatchObject({
      choices: [
        { id: "laptop", name: "laptop" },
        { id: "phone", name: "phone" },
      ],
      request: { cap: "camera.snap", args: { facing: "front" }, by: "console:owner" },
    });
  });

  test("of several devices a guest hears of those only that are permitted", () => {
    const desk = new Desk();
    for (const id of ["attic", "phone"]) {
      desk.device(id);
      desk.put("device", `caps/${id}`, desk.documents.get("device", "caps/laptop"));
      desk.links.set(id, 1);
    }
    const guest = { requester: "telegram:9", by: "telegram:9", session };
    for (const device of ["", "all"]) {
      const { failure } = desk.request(`none${device}`, { ...guest, device });
      expect(failure).toMatchObject({ code: "device-unknown" });
      expect(failure?.message).not.toMatch(/attic|phone|laptop/);
    }
    const grant: Grant = {
      ...{ id: "g", device: "phone", cap: "camera.snap", requester: "telegram:9", since: 1 },
      ...{ revocation: 0, by: "console:owner", state: "live" },
    };
    desk.put("grant", "g", grant);
    desk.request("one", { ...guest, device: "all" });
    expect([desk.call("one").device, desk.steps()]).toEqual(["phone", ["invoke one"]]);
    desk.put("grant", "h", { ...grant, id: "h", device: "attic" });
    desk.request("both", { ...guest, device: "all" });
    expect(desk.tells()).toMatchObject([
      { to: session, event: { type: "call.spread", devices: ["attic", "phone"] } },
    ]);
    expect(desk.request("which", { ...guest, device: "" }).choices).toHaveLength(2);
  });

  test("a fourth question of one requester, and none of the first three is lost", () => {
    const desk = new Desk();
    for (const id of ["A", "B", "C"]) expect(desk.request(id).state).toBe("asked");
    expect(desk.request("D").failure?.code).toBe("too-many");
    expect(desk.calls.list()).toHaveLength(3);
    desk.tell("A", {
      type: "approval.refused",
      failure: { code: "denied-owner", message: "", effect: "none" },
    });
    expect(desk.request("E").state).toBe("asked");
  });

  test("a name with controls in it is shown without them", () => {
    expect(new Desk().request("C", { device: "a\u001b[2Jb\u202e" }).failure?.message).toMatch(
      /^no device is called “a\[2Jb”/,
    );
  });
});

describe("what needs a word asks first", () => {
  test("the question carries plan and arguments; yes mints a grant and the call leaves", () => {
    const desk = new Desk();
    expect(desk.request("C", { session, args: { facing: "front" } })).toMatchObject({
      state: "asked",
    });
    const { planHash } = desk.call("C");
    expect(desk.tells()).toEqual([
      {
        ...{ kind: "tell", to: "approval/C" },
        event: {
          type: "approval.requested",
          call: "C",
          device: "laptop",
          name: "laptop",
          cap: "camera.snap",
          args: { facing: "front", max_edge_px: 1_600 },
          planHash,
          rule: "owner-asked",
          session,
        },
      },
    ]);
    desk.allow("C");
    expect(desk.audit()).toEqual(["grant.made", "call.ready", "call.sent"]);
    expect(desk.steps()).toEqual(["invoke C"]);
    expect(desk.call("C")).toMatchObject({
      state: "sent",
      epoch: 1,
      ledger: "LEDGER",
      args: { facing: "front", max_edge_px: 1_600 },
    });
    expect(desk.call("C").n).toBeGreaterThan(0);
  });

  test("a yes to another plan is none", () => {
    const desk = new Desk();
    desk.request("C");
    desk.tell("C", {
      type: "approval.approved",
      planHash: `${desk.call("C").planHash.slice(1)}0`,
      for: "once",
      by: "x",
    });
    expect(desk.state("C")).toBe("denied revoked none");
  });

  test.for<[string, (desk: Desk) => void]>([
    ["paired anew", (desk) => desk.device("laptop", { revocation: 1 })],
    ["revoked", (desk) => desk.device("laptop", { state: "revoked" })],
    ["held", (desk) => desk.device("laptop", { state: "held" })],
  ])("a yes after the device was %s is none", ([, change]) => {
    const desk = new Desk();
    desk.request("C");
    change(desk);
    desk.allow("C", "1h");
    expect(desk.state("C")).toBe("denied revoked none");
    expect(desk.documents.list("grant")).toEqual([]);
  });

  test("a second yes sends nothing", () => {
    const desk = new Desk();
    desk.request("C");
    desk.allow("C");
    desk.allow("C");
    expect(desk.effects).toEqual([]);
  });

  test("what is harmless never asks", () => {
    const desk = new Desk();
    expect(desk.request("C", { cap: "device.info" }).state).toBe("ready");
    expect(desk.steps()).toEqual(["invoke C"]);
  });
});

describe("a grant", () => {
  test("for once carries no second call, not for a hundred requests in one batch", () => {
    const desk = new Desk();
    desk.request("first");
    desk.allow("first");
    // Whatever becomes of the first one meanwhile.
    const sent = Array.from({ length: 100 }, (_, at) => desk.request(`C${at}`)).filter(
      ({ state }) => state !== "asked" && state !== "denied",
    );
    expect(sent).toEqual([]);
    expect(desk.documents.list("grant")).toEqual([]);
    expect(desk.documents.find<Grant>("grant", desk.call("first").grant ?? "")).toMatchObject({
      state: "used",
      uses: 0,
      call: "first",
    });
  });

  test("for 15 minutes carries until then, and ends for good", () => {
    const desk = new Desk();
    desk.request("first");
    desk.allow("first", "15m");
    desk.now += 15 * 60_000 - 1;
    expect(desk.request("A").state).toBe("ready");
    desk.now += 1;
    expect(desk.request("B").state).toBe("asked");
    expect(desk.audit()).toContain("grant.expired");
    desk.now -= 10 * 60_000;
    expect(desk.request("C").state).toBe("asked");
  });

  test("is never longer than a device may hold: the 65th becomes one for this call", () => {
    const desk = new Desk();
    const grant = {
      device: "laptop",
      cap: "x",
      requester: "x",
      since: 0,
      revocation: 0,
      by: "",
      state: "live",
    };
    for (let at = 0; at < 63; at++) desk.put("grant", `g${at}`, { ...grant, id: `g${at}` });
    desk.sent("A", { allow: "1h" });
    expect(desk.documents.find<Grant>("grant", desk.call("A").grant ?? "")?.state).toBe("live");
    desk.documents.put("grant", desk.call("A").grant ?? "", true, { ...grant, id: "g63" });
    desk.sent("B", { allow: "1h" });
    expect(desk.documents.find<Grant>("grant", desk.call("B").grant ?? "")).toMatchObject({
      state: "used",
      call: "B",
    });
    expect(desk.effects).toContainEqual(
      expect.objectContaining({
        kind: "audit",
        what: "grant.made",
        data: expect.objectContaining({ for: "once" }),
      }),
    );
  });
});

test("whoever read what others may have written is asked about, whatever was permitted before", () => {
  const desk = new Desk();
  desk.sent("A", { allow: "1h" });
  expect(desk.request("B", { session }).state).not.toBe("asked");
  expect(desk.request("C", { session, labels: ["untrusted"] }).state).toBe("asked");
  expect(desk.tells().at(-1)?.event).toMatchObject({
    warning: expect.stringContaining("others may have written"),
  });
  const sources = ["a page of x.org", "clipboard.read of laptop"];
  desk.request("F", { session, labels: ["untrusted"], sources });
  expect(desk.tells().at(-1)?.event).toMatchObject({
    warning: expect.stringContaining("written: a page of x.org, clipboard.read of laptop."),
  });
  // What only reads where its owner shared goes on as permitted.
  desk.sent("G", { cap: "files.read", args: { path: "a" }, allow: "1h" });
  const read = { session, labels: ["untrusted"] as const, cap: "files.read", args: { path: "b" } };
  expect(desk.request("H", read).state).toBe("ready");
  expect(
    desk.request("D", { session, labels: ["untrusted"], cap: "camera.list", args: {} }).state,
  ).toBe("ready");
});

describe("what is powerful", () => {
  const shell = { cap: "shell.open", args: { columns: 80, rows: 24 } };
  const start = () => {
    const desk = new Desk();
    desk.offer("shell.open", { parallel: 1 });
    return desk;
  };

  test("is asked for each time, also within the hour for which it was permitted", () => {
    const desk = start();
    expect(desk.request("A", shell).state).toBe("asked");
    desk.allow("A", "1h");
    expect(desk.call("A").state).toBe("sent");
    expect(desk.request("B", shell).state).toBe("asked");
    expect(desk.documents.list("grant")).toEqual([]);
  });

  test("ends with its permission, also when it had to wait for its turn", () => {
    const desk = start();
    const from = desk.now;
    desk.sent("A", { ...shell, allow: "15m" });
    expect(desk.call("A").deadlineAt).toBe(from + 15 * 60_000 + 2_000);
    desk.sent("B", { ...shell, allow: "1h" });
    desk.now += 60_000;
    desk.error("A", { code: "cancelled" });
    expect(desk.call("B")).toMatchObject({ state: "sent", deadlineAt: from + 3_600_000 + 2_000 });
    desk.restart();
    expect(desk.calls.get("B")?.deadlineAt).toBe(from + 3_600_000 + 2_000);
  });

  test("lasts eight hours at most", () => {
    const desk = start();
    desk.sent("A", { ...shell, allow: "once" });
    expect(desk.call("A").deadlineAt).toBe(desk.now + 8 * 3_600_000 + 2_000);
  });
});

describe("what may leave", () => {
  test("waits while the device does as many as it can, in the order of asking", () => {
    const desk = new Desk();
    desk.offer("camera.snap", { parallel: 1 });
    for (const id of ["A", "B", "C"]) desk.sent(id);
    expect(["A", "B", "C"].map((id) => desk.state(id))).toEqual(["sent", "ready", "ready"]);
    // Another capability is not held up by it.
    expect(desk.sent("info", { cap: "device.info" }).state).toBe("sent");
    desk.media.add("07".repeat(32));
    desk.result("A");
    expect(desk.steps()).toEqual(["invoke B"]);
    desk.error("B");
    expect(desk.steps()).toEqual(["invoke C"]);
    expect(desk.call("C").n).toBeGreaterThan(desk.call("B").n ?? 0);
  });

  test("is never more than 64 calls of one device", () => {
    const desk = new Desk();
    for (let at = 0; at < 5; at++)
      desk.offer(
        ["camera.snap", "camera.list", "device.info", "files.read", "device.status"][at] ?? "",
        { parallel: 16 },
      );
    for (let at = 0; at < 80; at++)
      desk.sent(`C${at}`, {
        cap:
          ["camera.snap", "camera.list", "device.info", "files.read", "device.status"][at % 5] ??
          "",
        args: at % 5 === 3 ? { path: "a" } : {},
      });
    expect(desk.calls.list().filter(({ state }) => state === "sent")).toHaveLength(64);
    expect(desk.calls.list().filter(({ state }) => state === "ready")).toHaveLength(16);
  });

  test("after a start waits for a device that may be on its way back", () => {
    const desk = new Desk();
    desk.links.clear();
    desk.settling = true;
    expect(desk.sent("C").state).toBe("ready");
    desk.links.set("laptop", 2);
    desk.tell("*", { type: "link.ready", device: "laptop", epoch: 2, ledger: "LEDGER" });
    expect([desk.steps(), desk.call("C").epoch]).toEqual([["invoke C"], 2]);
  });

  test("numbers do not fall behind after a clock that was set back and a restart", () => {
    const desk = new Desk();
    const first = desk.sent("A");
    desk.error("A");
    desk.restart();
    desk.now -= 5_000;
    expect(desk.sent("B").n).toBeGreaterThanOrEqual(first.n ?? Infinity);
  });

  test("never numbers again after a restore: the numbers grow with time too", () => {
    const desk = new Desk();
    const n = desk.sent("A").n ?? 0;
    const later = new Desk();
    later.now += 1;
    expect(later.sent("B").n).toBeGreaterThan(n);
  });
});

test("what is sent is the content that the plan names, whatever the arguments say", () => {
  const desk = new Desk();
  desk.media.add("07".repeat(32));
  desk.offer("files.write", {});
  const lie = { path: "a", size: 1, sha256: "09".repeat(32) };
  desk.request("C", { cap: "files.write", args: lie, content: content("07"), allow: "once" });
  expect(desk.call("C")).toMatchObject({
    state: "sent",
    content: content("07"),
    args: { path: "a", size: 5, sha256: "07".repeat(32) },
  });
});

describe("a call that waits until its device is unlocked", () => {
  const locked = (desk: Desk, now: boolean) => {
    const caps = ["camera.snap", "device.info"].map((cap) => ({
      ...{ cap, v: 1, effect: cap === "device.info" ? "read" : "idempotent", foreground: false },
      ...{ parallel: 16, max_ms: 10_000, max_bytes: 0 },
      ...(now ? { state: "denied", policy: "deny" } : { state: "ready", policy: "allow" }),
    }));
    desk.put("device", "caps/laptop", {
      hash: new Uint8Array(32),
      caps,
      ...(now && { locked: true }),
    });
  };
  const info = { cap: "device.info", deliverMs: 60_000 };

  test("is kept while it is locked, over a restart, and leaves once when it is not", () => {
    const desk = new Desk();
    locked(desk, true);
    desk.request("C", { ...info, unlocked: true } as never);
    expect([desk.state("C"), desk.steps()]).toEqual(["ready", []]);
    desk.restart();
    desk.tell("*", { type: "link.ready", device: "laptop", epoch: 1, ledger: "LEDGER" });
    expect([desk.state("C"), desk.steps()]).toEqual(["ready", []]);
    locked(desk, false);
    desk.tell("*", { type: "caps.changed", device: "laptop" });
    expect([desk.state("C"), desk.steps()]).toEqual(["sent", ["invoke C"]]);
    desk.tell("*", { type: "caps.changed", device: "laptop" });
    expect(desk.steps()).toEqual([]);
  });

  test("still needs its permission, and ends with its time", () => {
    const desk = new Desk();
    locked(desk, true);
    desk.request("C", { cap: "camera.snap", args: {}, deliverMs: 60_000, unlocked: true } as never);
    expect(desk.state("C")).toBe("asked");
    desk.request("D", { ...info, unlocked: true } as never);
    desk.now += 120_000;
    locked(desk, false);
    desk.tell("*", { type: "caps.changed", device: "laptop" });
    expect(desk.state("D")).toMatch(/^expired/);
  });

  test("is another wish than one that only waits for the device: that is refused as ever", () => {
    const desk = new Desk();
    locked(desk, true);
    for (const wish of [info, { cap: "device.info", unlocked: true }])
      expect(desk.request("C", wish as never)).toMatchObject({ failure: { code: "denied-local" } });
  });
});
