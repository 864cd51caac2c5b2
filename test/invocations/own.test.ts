/** Capabilities that a device's owner wrote: what a permission rests on, and what is checked here. */
import { canonical } from "@kith/shared/capabilities/own";
import type { Offered } from "@kith/shared/protocol/session";
import { beforeEach, expect, test } from "vitest";
import { Desk } from "./desk.ts";

const cap = "x.lamp.set";
const schema = (most: number) =>
  canonical({
    input: {
      type: "object",
      properties: { percent: { type: "integer", minimum: 1, maximum: most } },
      required: ["percent"],
    },
    output: { type: "object", properties: { was: { type: "string" } }, required: ["was"] },
  });
const lamp = (change: Partial<Offered> = {}) =>
  ({ effect: "idempotent", schema: schema(100), ...change }) as const;
const request = { cap, args: { percent: 40 } };

let desk: Desk;
beforeEach(() => {
  desk = new Desk();
  desk.device("laptop", { ceiling: ["x.*"] });
  desk.offer(cap, lamp());
});

test("it is called like any other, within its schema", () => {
  desk.sent("C", request);
  expect([desk.state("C"), desk.steps()]).toEqual(["sent", ["invoke C"]]);
  desk.result("C", { out: { was: "off" }, streams: [] });
  expect(desk.state("C")).toBe("done");
  for (const args of [{}, { percent: 0 }, { percent: 1, more: 1 }])
    expect(desk.request("D", { cap, args, allow: "once" }).failure?.code).toBe("bad-args");
  desk.sent("E", request);
  desk.result("E", { out: { was: 7 }, streams: [] });
  expect(desk.state("E")).toMatch(/bad-result/);
});

test.for<[string, Partial<Offered>]>([
  ["another schema", { schema: schema(400) }],
  ["another effect", { effect: "once" }],
])("a permission does not fit %s under the same name", ([, change]) => {
  desk.sent("C", { ...request, allow: "1h" });
  expect(desk.request("D", request).state).toBe("ready");
  desk.offer(cap, lamp(change));
  expect(desk.request("E", request).state).toBe("asked");
});

test("a yes does not fit what the capability has become since it was asked for", () => {
  desk.request("C", request);
  desk.offer(cap, lamp({ schema: schema(400) }));
  desk.allow("C");
  expect([desk.state("C"), desk.steps()]).toEqual(["denied revoked none", []]);
});

test.for<[string, object, string]>([
  [
    "a schema that says too much",
    { schema: '{"input":{"type":"object","if":{}},"output":{"type":"object"}}' },
    "unsupported",
  ],
  ["no schema", { schema: undefined }, "unsupported"],
])("with %s it is not known", ([, change, code]) => {
  desk.offer(cap, { ...lamp(), ...change });
  expect(desk.request("C", { ...request, allow: "once" }).failure?.code).toBe(code);
});

test("a device that was paired for other things is not asked for it", () => {
  desk.device("laptop", { ceiling: ["camera.snap"] });
  expect(desk.request("C", { ...request, allow: "once" }).failure?.code).toBe("not-offered");
});
