/** A yes that is for the rest of a model's turn: what it serves, and what it never does. */
import { expect, test } from "vitest";
import { Desk } from "./desk.ts";

const session = "session/S" as const;
const asked = { session, model: true, chat: "console", labels: ["untrusted"] } as const;
const told = (desk: Desk) => desk.tells().filter(({ event }) => event.type === "turn.permitted");
const terms = (desk: Desk) => desk.tells().flatMap(({ event }) => event.terms ?? []);

test("it permits the call that was asked about, and its session is told", () => {
  const desk = new Desk();
  desk.request("C", asked);
  expect(terms(desk)).toEqual(["once", "turn"]);
  desk.allow("C", "turn");
  expect(told(desk)).toMatchObject([
    { to: session, event: { call: "C", device: "laptop", cap: "camera.snap" } },
  ]);
  expect([desk.state("C"), desk.documents.list("grant")]).toEqual(["sent", []]);
});

test("what its session permits so runs without a question, once each, and nothing else does", () => {
  const desk = new Desk();
  desk.request("C", { ...asked, turn: ["laptop"] });
  expect([desk.state("C"), desk.call("C").rule]).toEqual(["sent", "owner-word for this turn"]);
  desk.device("phone", { name: "phone" });
  desk.request("D", { ...asked, turn: ["phone"] });
  expect(desk.state("D")).toBe("asked");
  desk.request("E", asked);
  expect(desk.state("E")).toBe("asked");
  expect(desk.documents.list("grant")).toEqual([]);
});

test("what is powerful is asked about each time, whatever was said", () => {
  const desk = new Desk();
  desk.offer("shell.open", {});
  const shell = { ...asked, cap: "shell.open" };
  desk.request("C", shell);
  expect([desk.state("C"), terms(desk)]).toEqual(["asked", []]);
  desk.allow("C", "turn");
  expect(told(desk)).toEqual([]);
  desk.request("D", { ...shell, turn: ["laptop"] });
  expect(desk.state("D")).toBe("asked");
});

test("a program is asked about each time: another one is not what was approved", () => {
  const desk = new Desk();
  desk.offer("shell.run", {});
  const run = (argv: string[]) => ({ ...asked, cap: "shell.run", args: { argv } });
  desk.request("C", run(["ls"]));
  expect(terms(desk)).toEqual(["once"]);
  desk.allow("C", "turn");
  expect(told(desk)).toEqual([]);
  desk.request("D", { ...run(["rm", "-r", "."]), turn: ["laptop"] });
  expect(desk.state("D")).toBe("asked");
});

test("a line that denies, and the lock, come before it", () => {
  const desk = new Desk();
  desk.boundaries = { preset: "careful", rules: [{ word: "deny", what: "camera.*" }] };
  desk.restart();
  expect(desk.request("C", { ...asked, turn: ["laptop"] })).toMatchObject({ state: "denied" });
  const locked = new Desk();
  locked.put("setting", "lock", { locked: true });
  expect(locked.request("C", { ...asked, turn: ["laptop"] })).toMatchObject({ state: "denied" });
});
