import { readFileSync } from "node:fs";
import { argsSchema } from "@kith/shared/capabilities/capability";
import { catalogue } from "@kith/shared/capabilities/index";
import { describe, expect, test } from "vitest";

const DAYS = 86_400_000;

/** Class, tier and longest grant as they were decided: a change is a decision, never a slip. */
const decided: Readonly<
  Record<string, readonly [effect: string, tier: number, longestGrantMs: number]>
> = {
  "audio.record": ["idempotent", 2, 7 * DAYS],
  "audio.play": ["once", 1, Infinity],
  "camera.list": ["read", 0, Infinity],
  "camera.snap": ["idempotent", 2, 7 * DAYS],
  "camera.clip": ["idempotent", 2, 7 * DAYS],
  "clipboard.read": ["read", 2, 7 * DAYS],
  "clipboard.write": ["idempotent", 1, 30 * DAYS],
  "device.info": ["read", 0, Infinity],
  "device.status": ["read", 0, Infinity],
  "files.list": ["read", 1, 30 * DAYS],
  "files.stat": ["read", 1, 30 * DAYS],
  "files.read": ["read", 2, 7 * DAYS],
  "files.write": ["idempotent", 2, 7 * DAYS],
  "location.get": ["read", 2, 7 * DAYS],
  "notify.show": ["idempotent", 1, Infinity],
  "screen.list": ["read", 0, Infinity],
  "screen.snap": ["idempotent", 2, 7 * DAYS],
  "screen.record": ["idempotent", 2, 7 * DAYS],
  "shell.open": ["once", 3, DAYS / 3],
  "shell.run": ["once", 2, DAYS / 3],
  "speech.say": ["once", 1, Infinity],
  "url.open": ["once", 2, 7 * DAYS],
};

const page = readFileSync(new URL("../docs/capabilities.md", import.meta.url), "utf8");
const [, ...parts] = page.split(/^## /m);
const sections = new Map(parts.map((part) => [part.slice(0, part.indexOf("\n")), part]));

test("every capability has a section, and every section a capability", () => {
  expect([...sections.keys()]).toEqual([...catalogue.keys()]);
});

test("effect class, tier and longest grant are those that were decided", () => {
  const found = [...catalogue.values()].map(({ name, effect, tier, longestGrantMs }) => [
    name,
    [effect, tier, longestGrantMs],
  ]);
  expect(Object.fromEntries(found)).toEqual(decided);
});

type Json = Readonly<Record<string, unknown>>;
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null;

/** Where this schema leaves a size open, as paths. */
function open(schema: unknown, path: string): string[] {
  if (!isJson(schema)) return [`${path}: no schema`];
  if ("const" in schema || "enum" in schema || schema.type === "boolean" || schema.type === "null")
    return [];
  for (const key of ["anyOf", "oneOf", "allOf"])
    if (Array.isArray(schema[key]))
      return schema[key].flatMap((one, at) => open(one, `${path}.${key}[${at}]`));
  const bounded = (...keys: string[]) =>
    keys.every((key) => Number.isFinite(schema[key]))
      ? []
      : [`${path}: without ${keys.join(", ")}`];
  switch (schema.type) {
    case "string":
      return bounded("maxLength");
    case "integer":
    case "number":
      return bounded("minimum", "maximum");
    case "array":
      return [...bounded("maxItems"), ...open(schema.items, `${path}[]`)];
    case "object": {
      const inner = Object.entries(isJson(schema.properties) ? schema.properties : {});
      return [
        ...(schema.additionalProperties === false ? [] : [`${path}: takes any field`]),
        ...inner.flatMap(([name, one]) => open(one, `${path}.${name}`)),
      ];
    }
    default:
      return [`${path}: of no known type`];
  }
}

test("the walk finds what is open", () => {
  const properties = {
    a: { type: "string" },
    b: { type: "integer", minimum: 0 },
    c: { type: "array", maxItems: 2, items: { type: "string" } },
    d: {},
  };
  expect(open({ type: "object", properties }, "x")).toHaveLength(5);
});

describe.for([...catalogue.values()])("$name", (capability) => {
  const schema = argsSchema(capability);
  const section = sections.get(capability.name) ?? "";

  test("has arguments that are a JSON Schema object with bounds", () => {
    expect(schema.type).toBe("object");
    expect(open(schema, "args")).toEqual([]);
  });

  test("has a default for each argument that may be left out and changes what is done", () => {
    const required: readonly unknown[] = Array.isArray(schema.required) ? schema.required : [];
    // These choose among several; left out, there is one, or the device's first. `replaces`: there is none.
    const choices = ["camera", "root", "screen", "replaces"];
    for (const [name, field] of Object.entries(
      isJson(schema.properties) ? schema.properties : {},
    )) {
      if (required.includes(name) || choices.includes(name)) continue;
      expect(field, name).toHaveProperty("default");
    }
  });

  test("has a section that names its fields, streams, class, tier and version", () => {
    const results = (capability.out as unknown as { entries: Json }).entries;
    for (const name of [
      ...Object.keys(isJson(schema.properties) ? schema.properties : {}),
      ...Object.keys(results),
      ...Object.keys(capability.streams),
    ])
      expect(section).toContain(`\`${name}\``);
    expect(section).toContain(
      `Version ${capability.version}, class ${capability.effect}, tier ${capability.tier},`,
    );
    for (const word of ["Arguments:", "Result:", "Streams:", "States and refusals:"])
      expect(section).toContain(word);
  });
});
