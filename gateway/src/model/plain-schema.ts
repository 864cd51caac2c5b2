/**
 * A schema that a device's owner wrote, as a model may read it: its shape and bounds, and none of its prose. A
 * device's own words would be instructions to the model.
 */
type Json = Readonly<Record<string, unknown>>;

const KEPT = [
  ...["type", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"],
] as const;
/** A choice that is one word is a name; anything longer may be a sentence. */
const WORD = /^[\w.-]{1,32}$/;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isPlain = (value: unknown): boolean => typeof value !== "string" || WORD.test(value);

/** It was read by fromJsonSchema before: names of properties and its depth have bounds. */
export function plainSchema(schema: unknown): Json {
  if (!isObject(schema)) return {};
  const kept: Record<string, unknown> = {};
  for (const key of KEPT) if (key in schema) kept[key] = schema[key];
  const { enum: choices, const: only, properties, items, anyOf } = schema;
  if (Array.isArray(choices) && choices.every(isPlain)) kept.enum = choices;
  if (only !== undefined && isPlain(only)) kept.const = only;
  if (isObject(properties))
    kept.properties = Object.fromEntries(
      Object.entries(properties).map(([name, one]) => [name, plainSchema(one)]),
    );
  if (items !== undefined) kept.items = plainSchema(items);
  if (Array.isArray(anyOf)) kept.anyOf = anyOf.map(plainSchema);
  return kept;
}
