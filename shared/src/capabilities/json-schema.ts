/**
 * The part of JSON Schema 2020-12 in which a device may describe its own capabilities, as a valibot
 * schema. It comes from a peer, so it is a closed subset: nothing refers elsewhere, nothing is
 * matched by a pattern, and what a word here does not say is refused, never ignored.
 *
 *   object (properties, required; always strict)   array (items, minItems, maxItems)
 *   string (minLength, maxLength)   integer, number (minimum, maximum)   boolean   null
 *   enum, const, anyOf   with each: title, description, default
 */
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { KithError } from "../errors.ts";
import { lines } from "../protocol/words.ts";

const MOST_NODES = 200;
const MOST_DEPTH = 8;
const MOST_CHOICES = 64;
/** Bytes of a text, and entries of a list, where the schema sets no bound: no call carries more. */
const MOST_BYTES = 32_768;
const MOST_ENTRIES = 1_024;

type Json = Readonly<Record<string, unknown>>;
type Any = v.GenericSchema<unknown, unknown>;

/** `integers`: other numbers are refused, since arguments are hashed and a fraction has no one form. */
export interface Reading {
  readonly integers: boolean;
}

/** @throws KithError bad-args that names the place and the word */
export function fromJsonSchema(
  schema: unknown,
  reading: Reading,
): v.GenericSchema<Record<string, unknown>, Record<string, unknown>> {
  const reader = new Reader(reading);
  if (!isObject(schema) || schema.type !== "object")
    throw new KithError("bad-args", "the schema itself must be of type object");
  return reader.read(schema, "schema", 1) as never;
}

/** A schema of valibot as JSON Schema; any other as it is. @throws Error for what JSON Schema cannot say */
export function asJsonSchema(schema: Json, typeMode: "input" | "output"): Json {
  if (schema.kind !== "schema") return schema;
  const { $schema: _, ...made } = toJsonSchema(schema as never, { typeMode, errorMode: "throw" });
  return made;
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Names that are arguments; none of them is a property that every object has. */
const NAME = /^(?!__proto__$|constructor$|prototype$)[A-Za-z_][A-Za-z0-9_-]{0,30}$/;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const bound = v.pipe(v.number(), v.finite());
const scalar = v.union([
  v.pipe(v.string(), v.maxLength(256)),
  v.pipe(v.number(), v.finite()),
  v.boolean(),
  v.null(),
]);
const texts = {
  title: v.optional(v.pipe(v.string(), v.maxLength(128))),
  description: v.optional(v.pipe(v.string(), v.maxLength(1_024))),
  default: v.optional(v.unknown()),
};
const length = { minLength: v.optional(count), maxLength: v.optional(count) };
const range = { minimum: v.optional(bound), maximum: v.optional(bound) };

/** What each form may say. */
const forms = {
  object: v.strictObject({
    ...texts,
    type: v.literal("object"),
    properties: v.optional(v.record(v.string(), v.unknown()), {}),
    required: v.optional(v.array(v.string()), []),
    additionalProperties: v.optional(v.literal(false)),
  }),
  array: v.strictObject({
    ...texts,
    type: v.literal("array"),
    items: v.unknown(),
    minItems: v.optional(count),
    maxItems: v.optional(count),
  }),
  string: v.strictObject({ ...texts, ...length, type: v.literal("string") }),
  integer: v.strictObject({ ...texts, ...range, type: v.literal("integer") }),
  number: v.strictObject({ ...texts, ...range, type: v.literal("number") }),
  boolean: v.strictObject({ ...texts, type: v.literal("boolean") }),
  null: v.strictObject({ ...texts, type: v.literal("null") }),
  enum: v.strictObject({
    ...texts,
    type: v.optional(v.picklist(["string", "integer", "number", "boolean", "null"])),
    enum: v.pipe(v.array(scalar), v.minLength(1), v.maxLength(MOST_CHOICES)),
  }),
  const: v.strictObject({
    ...texts,
    type: v.optional(v.picklist(["string", "integer", "number", "boolean", "null"])),
    const: scalar,
  }),
  anyOf: v.strictObject({
    ...texts,
    anyOf: v.pipe(v.array(v.unknown()), v.minLength(1), v.maxLength(MOST_CHOICES)),
  }),
} as const;

class Reader {
  readonly #integers: boolean;
  #nodes = 0;

  constructor({ integers }: Reading) {
    this.#integers = integers;
  }

  read(node: unknown, at: string, depth: number): Any {
    if (++this.#nodes > MOST_NODES) throw wrong(at, `more than ${MOST_NODES} parts`);
    if (depth > MOST_DEPTH) throw wrong(at, `deeper than ${MOST_DEPTH}`);
    if (!isObject(node)) throw wrong(at, "no schema");
    for (const key of ["enum", "const", "anyOf"] as const)
      if (Object.hasOwn(node, key)) return this.#choice(key, node, at, depth);
    const type = String(node.type);
    switch (type) {
      case "object": {
        // Names that every object has are no keys to a schema library, which would skip them.
        const odd = Object.keys(Object(node.properties) as object).find((one) => !NAME.test(one));
        if (odd !== undefined) throw wrong(at, `${JSON.stringify(odd.slice(0, 40))} is no name`);
        const { properties, required } = said(forms.object, node, at);
        const entries = Object.entries(properties).map(([name, one]) => {
          const where = `${at}.${name}`;
          const schema = this.read(one, where, depth + 1);
          return [name, required.includes(name) ? schema : optional(schema, one as Json, where)];
        });
        const unknown = required.find((name) => !Object.hasOwn(properties, name));
        if (unknown !== undefined) throw wrong(at, `requires ${unknown}, which it does not have`);
        // A list is an object too, to a schema library.
        return v.pipe(
          v.custom<Record<string, unknown>>(isObject, "an object"),
          v.strictObject(Object.fromEntries(entries) as Record<string, Any>),
        );
      }
      case "array": {
        const { items, minItems = 0, maxItems = MOST_ENTRIES } = said(forms.array, node, at);
        const item = this.read(items, `${at}.items`, depth + 1);
        return v.pipe(v.array(item), v.minLength(minItems), v.maxLength(maxItems));
      }
      case "string": {
        const { minLength = 0, maxLength = MOST_BYTES } = said(forms.string, node, at);
        return v.pipe(lines(MOST_BYTES), v.minLength(minLength), v.maxLength(maxLength));
      }
      case "number":
        if (this.#integers) throw wrong(at, "arguments are integers: say it in smaller units");
        return ranged(v.pipe(v.number(), v.finite()), said(forms.number, node, at));
      case "integer":
        return ranged(v.pipe(v.number(), v.safeInteger()), said(forms.integer, node, at));
      case "boolean":
        said(forms.boolean, node, at);
        return v.boolean();
      case "null":
        said(forms.null, node, at);
        return v.null();
      default:
        throw wrong(at, `no type ${JSON.stringify(node.type)?.slice(0, 40) ?? "at all"}`);
    }
  }

  #choice(key: "enum" | "const" | "anyOf", node: Json, at: string, depth: number): Any {
    if (key === "anyOf") {
      const { anyOf } = said(forms.anyOf, node, at);
      return v.union(anyOf.map((one, n) => this.read(one, `${at}.anyOf[${n}]`, depth + 1)));
    }
    const values =
      key === "enum" ? said(forms.enum, node, at).enum : [said(forms.const, node, at).const];
    const fraction = values.some((one) => typeof one === "number" && !Number.isSafeInteger(one));
    if (fraction && this.#integers) throw wrong(at, "arguments are integers");
    return oneOf(values);
  }
}

const oneOf = (values: readonly unknown[]): Any =>
  v.custom<unknown>(
    (value) => values.includes(value),
    `one of ${values.map((one) => JSON.stringify(one)).join(", ")}`,
  );

const ranged = (
  schema: v.GenericSchema<number, number>,
  {
    minimum = Number.NEGATIVE_INFINITY,
    maximum = Number.POSITIVE_INFINITY,
  }: { minimum?: number | undefined; maximum?: number | undefined },
): Any => v.pipe(schema, v.minValue(minimum), v.maxValue(maximum));

/** A default is as good as what it stands for, or it is none. */
function optional(schema: Any, node: Json, at: string): Any {
  if (node.default === undefined) return v.optional(schema);
  if (!v.is(schema, node.default)) throw wrong(at, "its default is not what it allows");
  return v.optional(schema, node.default as never);
}

/** What a node says, where it says nothing else. */
function said<const S extends v.GenericSchema>(form: S, node: Json, at: string): v.InferOutput<S> {
  const read = v.safeParse(form, node);
  if (read.success) return read.output;
  const [issue] = read.issues;
  const key = v.getDotPath(issue) ?? "";
  const unknown = issue.type === "strict_object" && issue.expected === "never";
  throw wrong(at, unknown ? `the word ${key} is not understood` : `${key}: ${issue.message}`);
}

const wrong = (at: string, what: string): KithError => new KithError("bad-args", `${at}: ${what}`);
