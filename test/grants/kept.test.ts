/** What a standing permission keeps of the arguments that it was given for. */
import { catalogue } from "@kith/shared/capabilities/index";
import type { Capability } from "@kith/shared/capabilities/capability";
import { isSameKept, keptOf } from "@kith/gateway/grants/grant";
import { describe, expect, test } from "vitest";
import { Desk } from "../invocations/desk.ts";

const shell = catalogue.get("shell.run") as Capability;

test("of a program: itself, its arguments, where it runs, what it reads; not how long it may take", () => {
  const kept = keptOf(shell, { argv: ["ls", "-l"], timeout_s: 5 });
  expect(kept).toEqual({ argv: ["ls", "-l"], cwd: {}, env: [], stdin: "" });
  expect(keptOf(catalogue.get("camera.snap") as Capability, { facing: "front" })).toBeUndefined();
});

test.for([
  [{ argv: ["ls"] }, { argv: ["ls"], timeout_s: 9 }, true],
  [{ argv: ["ls"] }, { argv: ["ls"], cwd: {} }, true],
  [{ argv: ["ls"] }, { argv: ["ls", "/"] }, false],
  [{ argv: ["ls -l"] }, { argv: ["ls", "-l"] }, false],
  [{ argv: ["ls"] }, { argv: ["ls"], stdin: "x" }, false],
  [{ argv: ["ls"] }, { argv: ["ls"], env: [{ name: "A", value: "b" }] }, false],
  [{ argv: ["ls"] }, { argv: ["ls"], cwd: { path: "sub" } }, false],
  [{ argv: ["ls"] }, { argv: "ls" }, false],
  [{ argv: ["ls"] }, {}, false],
] as const)("%j and %j are the same: %s", ([one, other, same]) => {
  const [a = {}, b = {}] = [keptOf(shell, one), keptOf(shell, other)];
  expect(isSameKept(a, b)).toBe(same);
});

describe("a permission for an hour", () => {
  function permitted(cap: string, args: object) {
    const desk = new Desk();
    desk.offer(cap, {});
    desk.request("C", { cap, args: args as never });
    desk.allow("C", "1h");
    const after = (other: object, more = {}) => {
      const call = `D${Math.random()}`;
      desk.request(call, { cap, args: other as never, ...more });
      return desk.call(call).state;
    };
    return { desk, after };
  }

  test("to run one program is for that one alone", () => {
    const { after } = permitted("shell.run", { argv: ["git", "status"] });
    expect(after({ argv: ["git", "status"], timeout_s: 5 })).toBe("sent");
    expect(after({ argv: ["git", "push"] })).toBe("asked");
    expect(after({ argv: ["sh", "-c", "git status"] })).toBe("asked");
  });

  test.for([["\ud800"], ["a\0b"], [1e99], [{}], "ls"])(
    "is nothing for what no program can be: %j",
    (argv) => {
      const { desk } = permitted("shell.run", { argv: ["ls"] });
      const told = desk.request("D", { cap: "shell.run", args: { argv } as never });
      expect(told).toMatchObject({ state: "denied", failure: { code: "bad-args" } });
    },
  );

  test("to read in one folder is for that folder alone", () => {
    const { after } = permitted("files.read", { root: "docs", path: "a.txt" });
    expect(after({ root: "docs", path: "b.txt" })).toBe("sent");
    expect(after({ root: "photos", path: "b.txt" })).toBe("asked");
    expect(after({ path: "b.txt" })).toBe("asked");
  });

  test("to take photos is for every photo", () => {
    const { after } = permitted("camera.snap", { facing: "front" });
    expect(after({ facing: "back" })).toBe("sent");
  });

  test("from before permissions kept arguments is for none of them", () => {
    const { desk, after } = permitted("shell.run", { argv: ["ls"] });
    const [grant] = desk.documents.list<{ id: string; kept?: object }>("grant");
    const { kept: _, ...old } = grant ?? { id: "" };
    desk.put("grant", old.id, old);
    expect(after({ argv: ["ls"] })).toBe("asked");
  });
});
