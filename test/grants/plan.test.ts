import { type Plan, type Value, canonical, planHash } from "@kith/gateway/grants/plan";
import { hex } from "@kith/shared/ids";
import { expect, test } from "vitest";

/** Values that other encodings confuse with one another. */
const alike: readonly Value[] = [
  ...[null, "null", "", "0", 0, 1, "1", true, "true", false, "false", -1, "-1", [], {}, "[]", "{}"],
  ...[
    [[]],
    [null],
    [""],
    [[], []],
    ["ab", "c"],
    ["a", "bc"],
    ["abc"],
    [1, 2],
    [12],
    ["1", "2"],
    [1, [2]],
    [[1], 2],
  ],
  ...[
    { a: 1 },
    { a: "1" },
    { a: [1] },
    { b: 1 },
    { a: { b: 1 } },
    { "a.b": 1 },
    { a: 1, b: 1 },
    { "": 1 },
  ],
  ...["é", "e\u0301", "a", "а", "A", "a ", " a", "a\u0000", "a\u200b", "ﬁ", "fi"],
  ...[
    new Uint8Array(),
    new Uint8Array([97]),
    new Uint8Array([0]),
    [new Uint8Array([97])],
    2 ** 32,
    2 ** 53 - 1,
  ],
  ...["l\0\0\0\0", "s\0\0\0\u0001a", ["s\0\0\0\u0001a"], { s: "a" }],
];

/** A small generator with a seed: the same values at every run. */
function values(seed: number) {
  let state = seed;
  const next = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const text = () => Array.from({ length: next(3) }, () => "ab1\u0000é"[next(5)]).join("");
  const value = (depth: number): Value => {
    switch (next(depth > 2 ? 4 : 7)) {
      case 0:
        return text();
      case 1:
        return next(4) - 1;
      case 2:
        return [null, true, false][next(3)] as Value;
      case 3:
        return new Uint8Array(Array.from({ length: next(3) }, () => next(2)));
      case 4:
        return Array.from({ length: next(3) }, () => value(depth + 1));
      default:
        return Object.fromEntries(
          Array.from({ length: next(3) }, () => [text(), value(depth + 1)]),
        );
    }
  };
  return () => value(0);
}

/** Another unambiguous form, to tell equal from different. */
const same = (value: Value): string =>
  value instanceof Uint8Array
    ? `<${hex(value)}>`
    : Array.isArray(value)
      ? `[${value.map(same).join()}]`
      : typeof value === "object" && value !== null
        ? `{${Object.entries(value)
            .map(([key, entry]) => `${JSON.stringify(key)}:${same(entry)}`)
            .toSorted()
            .join()}}`
        : JSON.stringify(value);

test("values that look alike have bytes of their own", () => {
  expect(new Set(alike.map((value) => hex(canonical(value)))).size).toBe(alike.length);
});

test("10,000 drawn values are equal in bytes exactly when they are equal", () => {
  const draw = values(7);
  const seen = new Map<string, string>();
  for (let at = 0; at < 10_000; at++) {
    const value = draw();
    const bytes = hex(canonical(value));
    const before = seen.get(bytes);
    if (before !== undefined) expect(before).toBe(same(value));
    seen.set(bytes, same(value));
  }
  expect(new Set(seen.values()).size).toBe(seen.size);
});

test("the order of fields does not matter, the order of a list does", () => {
  expect(canonical({ a: 1, b: [1, 2] })).toEqual(canonical({ b: [1, 2], a: 1 }));
  expect(canonical([1, 2])).not.toEqual(canonical([2, 1]));
});

test.for([
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  "\ud800",
  { "\udc00": 1 },
  [["\ud800"]],
])("what would collide is refused: %j", (value) => {
  expect(() => canonical(value as Value)).toThrow(TypeError);
});

const plan: Plan = {
  ...{
    gateway: "gateway",
    device: "device",
    cap: "files.read",
    v: 1,
    requester: "owner",
    call: "CALL",
    revocation: 0,
  },
  args: { path: "a/b.txt", max_bytes: 4_096, root: "docs" },
};

/** The same plan with one byte of one field changed, for each field and each byte. */
function* changed(of: Readonly<Record<string, unknown>>): Generator<Record<string, unknown>> {
  for (const [key, value] of Object.entries(of)) {
    if (typeof value === "number") yield { ...of, [key]: value + 1 };
    else if (typeof value === "string") {
      for (let at = 0; at < value.length; at++) {
        yield {
          ...of,
          [key]: `${value.slice(0, at)}${String.fromCharCode(value.charCodeAt(at) ^ 1)}${value.slice(at + 1)}`,
        };
      }
      yield { ...of, [key]: `${value} ` };
    } else
      for (const inner of changed(value as Record<string, unknown>)) yield { ...of, [key]: inner };
  }
}

test("each field of the plan changed by one byte gives another hash", () => {
  const hashes = [plan, ...changed({ ...plan })].map((one) => planHash(one as unknown as Plan));
  expect(hashes.length).toBeGreaterThan(50);
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(planHash({ ...plan })).toBe(planHash(plan));
});
