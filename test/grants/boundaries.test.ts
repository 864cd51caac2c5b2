/** The owner's lines in config.yaml: which one decides, and that they never give what a question is for. */
import { catalogue } from "@kith/shared/capabilities/index";
import { type Boundaries, type Rule, boundaryOf } from "@kith/gateway/grants/boundaries";
import { type Question, decide } from "@kith/gateway/grants/decide";
import type { Grant } from "@kith/gateway/grants/grant";
import { toolbox } from "@kith/gateway/model/tools";
import { ownTool } from "@kith/gateway/tools/tool";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { Desk } from "../invocations/desk.ts";

const rules = (...all: Rule[]): Boundaries => ({ preset: "careful", rules: all });
const word = (boundaries: Boundaries, use: object) =>
  boundaryOf(boundaries, { name: "camera.snap", tier: 2, ...use })?.word;

describe("a line fits", () => {
  test.for<[string, string, boolean]>([
    ["camera.snap", "camera.snap", true],
    ["camera_snap", "camera.snap", true],
    ["camera.*", "camera.snap", true],
    ["web_*", "web_fetch", true],
    ["camera", "camera.snap", false],
    ["cam*", "camera.snap", true],
    ["camera.snap", "camera.snapshot", false],
    ["*", "anything", true],
  ])("%s and %s: %s", ([what, name, fits]) => {
    expect(word(rules({ word: "deny", what }), { name })).toBe(fits ? "deny" : undefined);
  });

  test("only its chat, person, assistant and device, where it names them", () => {
    for (const key of ["chat", "person", "agent", "device"] as const) {
      const boundaries = rules({ word: "deny", what: "*", [key]: "x" });
      expect([
        word(boundaries, { [key]: "x" }),
        word(boundaries, { [key]: "y" }),
        word(boundaries, {}),
      ]).toEqual(["deny", undefined, undefined]);
    }
  });

  test("and the strictest of those that do counts, by its number", () => {
    const all = rules(
      { word: "allow", what: "*" },
      { word: "ask", what: "camera.*" },
      { word: "allow", what: "camera.snap" },
    );
    expect(boundaryOf(all, { name: "camera.snap" })).toEqual({
      ...{ word: "ask", rule: "rule 2 of permissions (ask: camera.*)" },
    });
  });
});

const decided = (
  boundaries: Boundaries,
  cap: string,
  change: Partial<Question> & { model?: boolean } = {},
) => {
  const capability = catalogue.get(cap);
  if (!capability) throw new Error(cap);
  const { model, ...rest } = change;
  const grant = {
    ...{
      id: "g",
      device: "k",
      cap,
      requester: "owner",
      since: 0,
      notAfter: 99,
      revocation: 0,
      by: "x",
      state: "live",
    },
  } as Grant;
  const device = { id: "k", name: "laptop", state: "paired", revocation: 0 } as Question["device"];
  const offered = {
    cap,
    v: 1,
    effect: capability.effect,
    state: "ready",
    policy: "allow",
  } as Question["offered"];
  return decide({
    ...{ device, capability, offered, requester: "owner", grants: [grant], ceiling: undefined },
    ...{ locked: false, safe: false, now: 10 },
    boundary: boundaryOf(boundaries, { name: cap, tier: capability.tier, model }),
    ...rest,
  });
};

describe("what is decided", () => {
  const none = { grants: [] };
  const trusting: Boundaries = { preset: "trusting", rules: [] };
  const locked: Boundaries = { preset: "locked", rules: [] };
  const allow = (what: string) => rules({ word: "allow", what });
  test.for<[string, Boundaries, string, object, string]>([
    [
      "a line that denies, against a grant",
      rules({ word: "deny", what: "camera.*" }),
      "camera.snap",
      {},
      "deny",
    ],
    [
      "a line that asks, against a grant",
      rules({ word: "ask", what: "camera.*" }),
      "camera.snap",
      {},
      "ask",
    ],
    [
      "a line that asks, of what is harmless",
      rules({ word: "ask", what: "*" }),
      "camera.list",
      none,
      "ask",
    ],
    ["a line that allows", allow("camera.*"), "camera.snap", none, "allow"],
    ["but not what is powerful", allow("*"), "shell.open", none, "ask"],
    ["nor in a tainted conversation", allow("*"), "camera.snap", { ...none, tainted: true }, "ask"],
    [
      "nor for others than the owner",
      allow("*"),
      "camera.snap",
      { ...none, requester: "guest" },
      "deny",
    ],
    ["nor past a lock", allow("*"), "camera.snap", { ...none, locked: true }, "deny"],
    ["careful asks", { preset: "careful", rules: [] }, "notify.show", none, "ask"],
    ["trusting does not, below tier 2", trusting, "notify.show", none, "allow"],
    ["trusting asks from tier 2 on", trusting, "camera.snap", none, "ask"],
    ["trusting counts grants", trusting, "camera.snap", {}, "allow"],
    ["locked counts none", locked, "camera.snap", {}, "ask"],
    ["locked asks of what is harmless", locked, "camera.list", none, "ask"],
    ["locked denies a model what is powerful", locked, "shell.open", { model: true }, "deny"],
    ["locked asks the owner about it", locked, "shell.open", {}, "ask"],
  ])("%s: %s", ([, boundaries, cap, change, verdict]) => {
    expect(decided(boundaries, cap, change).verdict).toBe(verdict);
  });

  test("says which line it was", () => {
    const decision = decided(rules({ word: "deny", what: "camera.*" }), "camera.snap");
    expect(decision).toMatchObject({
      ...{ rule: "rule 1 of permissions (deny: camera.*)", code: "not-granted" },
      message: expect.stringContaining("denies camera.snap"),
    });
  });
});

test("a call of a chat or an assistant is decided by the lines that name it", () => {
  const desk = new Desk();
  desk.boundaries = rules({ word: "deny", what: "camera.snap", agent: "work" });
  desk.restart();
  const call = { session: "session/S", chat: "office", model: true } as const;
  expect(desk.request("A", { ...call, agent: "work" })).toMatchObject({
    ...{ state: "denied", failure: { code: "not-granted" } },
  });
  desk.request("B", { ...call, agent: "main" });
  expect(desk.state("B")).toBe("asked");
});

test("a tool of the gateway is hidden where it is denied, and asked about where a line says so", () => {
  const args = v.strictObject({ url: v.string() });
  const tool = ownTool({
    ...{ name: "web_fetch", description: "Fetch.", args, class: "read" },
    run: () => Promise.reject(new Error("not here")),
  });
  const call = { id: "t", name: "web_fetch", args: { url: "x" } };
  const { documents } = new Desk();
  const hidden = toolbox(documents, [tool], {
    denies: (name) => (name === "web_fetch" ? "rule 1" : undefined),
  });
  expect(hidden.tools.map(({ name }) => name)).not.toContain("web_fetch");
  expect(hidden.read(call, [])).toHaveProperty("wrong", "it is not for you: rule 1");
  const asked = toolbox(documents, [tool], { mustAsk: () => true });
  expect(asked.read(call, [])).toMatchObject({ asks: 'use web_fetch {"url":"x"}' });
  expect(toolbox(documents, [tool]).read(call, [])).not.toHaveProperty("asks");
});

test("preset locked asks about the gateway's own tools as well", () => {
  expect(word({ preset: "locked", rules: [] }, { name: "web_fetch", tier: undefined })).toBe("ask");
});
