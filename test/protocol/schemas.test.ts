/** Every string, array and number that a peer may send has a bound: proved by walking all schemas. */
import { catalogue } from "@kith/shared/capabilities/index";
import { toGateway, toGatewayPairing, toNode, toNodePairing } from "@kith/shared/protocol/frames";
import {
  bin,
  id26,
  int,
  key16,
  lines,
  list,
  mediaType,
  name,
  str,
  tame,
  u32,
  u53,
} from "@kith/shared/protocol/words";
import { describe, expect, test } from "vitest";
import * as v from "valibot";

interface Node {
  readonly kind: string;
  readonly type: string;
  readonly pipe?: readonly Node[];
  readonly entries?: Readonly<Record<string, Node>>;
  readonly options?: readonly Node[];
  readonly wrapped?: Node;
  readonly item?: Node;
  readonly key?: Node;
  readonly value?: Node;
  readonly requirement?: unknown;
}

/** Names of all checks of a schema, also of the pipes that it was made of. */
const actions = ({ pipe: [first, ...rest] = [] }: Node): string[] => [
  ...(first ? actions(first) : []),
  ...rest.map(({ type }) => type),
];

/** Paths of whatever has no bound of its own. */
function unbounded(schema: Node, path = ""): string[] {
  const checks = new Set(actions(schema));
  const bad = (why: string) => [`${path}: ${why}`];
  switch (schema.type) {
    case "variant":
      return (schema.options ?? []).flatMap((one) => {
        const t = (one.entries?.["t"] as { literal?: string } | undefined)?.literal;
        return unbounded(one, t ?? "");
      });
    case "strict_object":
      return Object.entries(schema.entries ?? {}).flatMap(([key, entry]) =>
        unbounded(entry, `${path}.${key}`),
      );
    case "optional":
      return unbounded(schema.wrapped as Node, path);
    case "array":
      return [
        ...(checks.has("max_length") ? [] : bad("an array")),
        ...unbounded(schema.item as Node, `${path}[]`),
      ];
    case "string":
      return checks.has("max_length") || checks.has("regex") ? [] : bad("a string");
    case "number":
      return checks.has("safe_integer") && checks.has("min_value") && checks.has("max_value")
        ? []
        : bad("a number");
    case "custom":
      return checks.has("check") ? [] : bad("bytes");
    case "literal":
    case "picklist":
    case "boolean":
      return [];
    case "record":
      // Its content is bounded by the frame here and by the capability's own schema behind it.
      return unbounded(schema.key as Node, `${path}{}`);
    default:
      return bad(`a ${schema.type}`);
  }
}

const frames = { toNode, toGateway, toNodePairing, toGatewayPairing };

test.for(Object.keys(frames) as (keyof typeof frames)[])("%s", (direction) => {
  expect(unbounded(frames[direction] as unknown as Node)).toEqual([]);
});

test("only four fields hold free data: arguments, output and events", () => {
  const free = [toNode, toGateway].flatMap((variant) =>
    variant.options.flatMap((frame) =>
      Object.entries(frame.entries).flatMap(([key, entry]) =>
        (entry as unknown as Node).type === "record" ? [`${frame.entries.t.literal}.${key}`] : [],
      ),
    ),
  );
  expect(free.toSorted()).toEqual(["event.data", "event.data", "invoke.args", "result.out"]);
});

test.for([...catalogue.keys()])("arguments, output and streams of %s", (cap) => {
  const capability = catalogue.get(cap);
  expect(unbounded(capability?.args as unknown as Node)).toEqual([]);
  expect(unbounded(capability?.out as unknown as Node)).toEqual([]);
  // A day is what the wire allows; only a terminal stays open on purpose.
  expect(capability?.ttlMs).toBeLessThanOrEqual(capability?.terminal ? 86_400_000 : 600_000);
  for (const { maxBytes } of Object.values(capability?.streams ?? {}))
    expect(maxBytes).toBeLessThanOrEqual(4 * 1_024 ** 3);
});

test("the walk sees what has no bound", () => {
  const loose = v.strictObject({
    a: v.string(),
    b: v.array(str(1)),
    c: v.number(),
    d: v.pipe(v.number(), v.minValue(0)),
    e: v.any(),
    f: v.optional(v.string()),
    g: list(v.string(), 2),
  });
  expect(unbounded(loose as unknown as Node)).toHaveLength(7);
});

describe("words", () => {
  const takes = (schema: v.GenericSchema, value: unknown) => v.is(schema, value);
  const id = "01JCQ0000000000000000000AA";

  test.for<[string, v.GenericSchema, readonly unknown[], readonly unknown[]]>([
    ["text counts bytes", str(4), ["", "abcd", "éé", "😀"], ["abcde", "ééa", "😀a", 5, null]],
    ["a name is not empty", name(4), ["a"], [""]],
    [
      "text has no controls",
      str(9),
      ["a b"],
      [
        "a\nb",
        "\u0000",
        "\u001b[",
        "\u007f",
        "\u0085",
        "\u200b",
        "\u202e",
        "\u2066",
        "\u2028",
        "\ufeff",
        "\ud800",
      ],
    ],
    [
      "text of several lines",
      lines(5),
      ["a\n\tb", "", "é\né"],
      ["a\r\nb", "\u001b[", "\u202e", "\u200b", "é\néé", "\ud800", 5],
    ],
    ["whole numbers", int(1, 3), [1, 3], [0, 4, 1.5, "1", Number.NaN]],
    ["u32", u32, [0, 2 ** 32 - 1], [-1, 2 ** 32]],
    ["u53", u53, [0, 2 ** 53 - 1], [-1, 2 ** 53]],
    ["bytes", bin(2), [new Uint8Array(2)], [new Uint8Array(1), new Uint8Array(3), [0, 0], "ab"]],
    ["lists", list(u32, 2), [[], [1, 2]], [[1, 2, 3], [-1], { length: 0 }]],
    ["ids", id26, [id], [id.toLowerCase(), `${id}A`, id.slice(1), id.replace("J", "I"), `${id}\n`]],
    [
      "keys",
      key16,
      ["cc6wtab6rgspd48j"],
      ["CC6WTAB6RGSPD48J", "cc6wtab6rgspd48", "cc6wtab6rgspd48jj", "cc6wtab6rgspd48u"],
    ],
    [
      "media types",
      mediaType,
      ["image/jpeg", "a/b+c"],
      ["image", "image/", "a/b; c=d", "A/b", `a/${"b".repeat(63)}`, "../x/y"],
    ],
  ])("%s", ([, schema, good, bad]) => {
    expect(good.filter((value) => !takes(schema, value))).toEqual([]);
    expect(bad.filter((value) => takes(schema, value))).toEqual([]);
  });

  test("what we send ourselves is made to fit, and never cut within a character", () => {
    expect([
      tame("a\u0000b\u202ec", 9),
      tame("ééé", 5),
      tame("😀😀", 7),
      tame("\ud800", 9),
      tame("abc", 0),
    ]).toEqual(["abc", "éé", "😀", "\ufffd", ""]);
    for (let bytes = 0; bytes < 20; bytes++)
      expect(takes(str(bytes), tame("aé😀\u0007".repeat(9), bytes))).toBe(true);
  });
});
