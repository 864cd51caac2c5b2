/** What a device may say of its own capabilities, and what is made of it. */
import { catalogue } from "@kith/shared/capabilities/index";
import { asJsonSchema, fromJsonSchema } from "@kith/shared/capabilities/json-schema";
import { canonical, isOwn, ownCapability, within } from "@kith/shared/capabilities/own";
import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";

const integers = { integers: true };
const object = (properties: object, more = {}) => ({ type: "object", properties, ...more });
const read = (properties: object, more = {}) => fromJsonSchema(object(properties, more), integers);
const fits = (schema: object, value: unknown) =>
  v.is(read({ a: schema }, { required: ["a"] }), { a: value });

describe("a schema of a device", () => {
  test.for<[object, unknown[], unknown[]]>([
    [{ type: "string" }, ["", "a\tb"], [1, null, "\u0007", "\u202e"]],
    [{ type: "string", minLength: 1, maxLength: 2 }, ["a", "ab"], ["", "abc"]],
    [{ type: "integer" }, [0, -5], [0.5, Number.NaN, 2 ** 53, "1"]],
    [{ type: "integer", minimum: 1, maximum: 3 }, [1, 3], [0, 4]],
    [{ type: "boolean" }, [true], [0, "true"]],
    [{ type: "null" }, [null], [false]],
    [{ enum: ["a", 2, null] }, ["a", 2, null], ["b", 3, false]],
    [{ const: "a" }, ["a"], ["b"]],
    [{ type: "array", items: { type: "integer" }, maxItems: 2 }, [[], [1, 2]], [[1, 2, 3], ["a"]]],
    [{ anyOf: [{ type: "integer" }, { type: "null" }] }, [1, null], ["a"]],
    [object({ b: { type: "boolean" } }), [{}, { b: true }], [{ c: 1 }, { b: 1 }, []]],
  ])("%j", ([schema, good, bad]) => {
    expect(good.filter((value) => !fits(schema, value))).toEqual([]);
    expect(bad.filter((value) => fits(schema, value))).toEqual([]);
  });

  test("a default stands for what is left out", () => {
    expect(v.parse(read({ a: { type: "integer", default: 3 }, b: { type: "null" } }), {})).toEqual({
      a: 3,
    });
  });

  test("fractions are for results only", () => {
    const number = object({ a: { type: "number" } });
    expect(v.is(fromJsonSchema(number, { integers: false }), { a: 0.5 })).toBe(true);
    expect(() => fromJsonSchema(number, integers)).toThrow(/integers/);
  });

  test.for<[string, unknown]>([
    ["a pattern", { type: "string", pattern: "(a+)+$" }],
    ["a format", { type: "string", format: "email" }],
    ["a reference", { $ref: "#/$defs/a" }],
    ["a condition", { if: {}, type: "string" }],
    ["an open object", { type: "object", additionalProperties: true }],
    ["no type", {}],
    ["two types", { type: ["string", "null"] }],
    [
      "a name of every object",
      object({ ["__proto__"]: { type: "null" }, constructor: { type: "null" } }),
    ],
    ["a name that is none", object({ "a b": { type: "null" } })],
    ["what it does not have", object({}, { required: ["a"] })],
    ["a default that it does not allow", { ...object({ a: { type: "string", default: 1 } }) }],
    ["a bound that is none", { type: "string", maxLength: -1 }],
    ["a fraction as a choice", { enum: [0.5] }],
    ["no choice", { enum: [] }],
    ["a list of nothing", { type: "array" }],
    ["no object", 7],
  ])("%s is refused, with its place", ([, schema]) => {
    expect(() => read({ here: schema })).toThrow(/^schema\.here/);
  });

  test("eight deep and two hundred parts, and no more", () => {
    const deep = (levels: number): object =>
      levels === 0 ? { type: "null" } : object({ a: deep(levels - 1) });
    expect(() => fromJsonSchema(deep(7), integers)).not.toThrow();
    expect(() => fromJsonSchema(deep(8), integers)).toThrow(/deeper/);
    const wide = (parts: number) =>
      object(
        Object.fromEntries(Array.from({ length: parts }, (_, n) => [`a${n}`, { type: "null" }])),
      );
    expect(() => fromJsonSchema(wide(199), integers)).not.toThrow();
    expect(() => fromJsonSchema(wide(200), integers)).toThrow(/parts/);
  });

  test("whatever comes, it is a schema or a refusal", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (schema, value) => {
        try {
          v.safeParse(fromJsonSchema({ type: "object", properties: { a: schema } }, integers), {
            a: value,
          });
        } catch (error) {
          expect(error).toMatchObject({ code: "bad-args" });
        }
      }),
    );
  });
});

describe("a capability of one's own", () => {
  const schema = canonical({
    input: object({ on: { type: "boolean" } }, { description: "Turn the lamp on." }),
    output: object({}),
  });
  const own = { cap: "x.lamp.set", v: 1, effect: "once", schema, max_ms: 5_000 } as const;

  test("is asked about each time where it runs once, and is never harmless", () => {
    expect(ownCapability(own)).toMatchObject({
      ...{ name: "x.lamp.set", tier: 3, summary: "Turn the lamp on.", ttlMs: 5_000 },
    });
    expect(ownCapability({ ...own, effect: "read" }).tier).toBe(2);
    expect(ownCapability({ ...own, max_ms: 2 ** 31 }).ttlMs).toBe(600_000);
  });

  test("is another one when anything that a permission rests on is another", () => {
    const shape = (change: object) => ownCapability({ ...own, ...change }).own?.shape;
    const others = [{ v: 2 }, { effect: "read" }, { schema: schema.replace('"on"', '"of"') }];
    expect(new Set([shape({}), ...others.map(shape)]).size).toBe(4);
    expect(shape({ max_ms: 1 })).toBe(shape({}));
  });

  test.for([
    "",
    "{}",
    "[1]",
    '{"input":{"type":"object"}}',
    `${schema.slice(0, -1)},"more":1}`,
    " ".repeat(9_000),
  ])("that is told as %j is refused", (told) =>
    expect(() => ownCapability({ ...own, schema: told })).toThrow(
      expect.objectContaining({ code: "bad-args" }),
    ),
  );

  test("takes no name of the catalogue, and none that looks like one", () => {
    for (const cap of [
      ...catalogue.keys(),
      "x",
      "x.",
      "x.A",
      "x..a",
      "y.a",
      "x.a b",
      `x.${"a".repeat(48)}`,
    ])
      expect([cap, isOwn(cap)]).toEqual([cap, false]);
    expect(["x.a", "x.lamp.set", "x.a-b_c.d1"].filter((cap) => !isOwn(cap))).toEqual([]);
  });

  test("is within what a device was paired for by its name, or by all of them", () => {
    expect([
      within(["x.a"], "x.a"),
      within(["x.*"], "x.a"),
      within(["x.*"], "camera.snap"),
      within([], "x.a"),
    ]).toEqual([...[true, true, false, false]]);
  });

  test("may be told in valibot", () => {
    const made = asJsonSchema(
      v.strictObject({
        on: v.boolean(),
        percent: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 100),
      }) as never,
      "input",
    );
    expect(v.parse(fromJsonSchema(made, integers), { on: true })).toEqual({
      on: true,
      percent: 100,
    });
  });
});
