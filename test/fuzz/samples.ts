/**
 * Valid frames made from the schemas themselves, so that a new frame joins by itself, and the
 * two ways to spoil one: by its structure and by its bytes.
 */
import * as fc from "fast-check";
import * as v from "valibot";
import type { Random } from "./random.ts";

interface Node {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Node>>;
  readonly options?: readonly unknown[];
  readonly wrapped?: Node;
  readonly item?: Node;
  readonly literal?: unknown;
}

const WORDS = [
  "",
  "a",
  "camera.snap",
  "01JCQ0000000000000000000SE",
  "cc6wtab6rgspd48j",
  "image/jpeg",
  "Büro 📷",
];
const NUMBERS = [0, 1, 2, 7, 64, 1_000, 60_000, 2 ** 31, 2 ** 32 - 1, 2 ** 40];
const SIZES = [16, 32, 0, 1];

/** Values that this schema takes. @throws Error where none of ours fits: add one above */
export function valid(schema: v.GenericSchema): fc.Arbitrary<unknown> {
  const node = schema as unknown as Node;
  const inside = (one: unknown) => valid(one as v.GenericSchema);
  const fitting = (candidates: readonly unknown[]) => {
    const fit = candidates.filter((one) => v.is(schema, one));
    if (fit.length === 0) throw new Error(`no sample fits a ${node.type}`);
    return fc.constantFrom(...fit);
  };
  switch (node.type) {
    case "variant":
      return fc.oneof(...(node.options ?? []).map(inside));
    case "strict_object": {
      const entries = Object.entries(node.entries ?? {});
      return fc.record(Object.fromEntries(entries.map(([key, entry]) => [key, inside(entry)])), {
        requiredKeys: entries.flatMap(([key, { type }]) => (type === "optional" ? [] : [key])),
        noNullPrototype: true,
      });
    }
    case "optional":
      return inside(node.wrapped);
    case "array":
      return fc.array(inside(node.item), { maxLength: 3 });
    case "string":
      return fitting(WORDS);
    case "number":
      return fitting(NUMBERS);
    case "custom":
      return fitting(SIZES.map((size) => new Uint8Array(size).fill(7)));
    case "picklist":
      return fc.constantFrom(...(node.options ?? []));
    case "literal":
      return fc.constant(node.literal);
    case "boolean":
      return fc.boolean();
    case "record":
      return fc.dictionary(fc.constantFrom("a", "b", "c"), fc.constantFrom(...NUMBERS), {
        noNullPrototype: true,
      });
    default:
      throw new Error(`no samples of a ${node.type}`);
  }
}

const STRANGE: readonly unknown[] = [
  null,
  undefined,
  -1,
  0.5,
  Number.NaN,
  Infinity,
  2 ** 53,
  "",
  "x".repeat(70_000),
  "\u001b[2J",
  "\u202e",
  "\ud800",
  "__proto__",
  "../../etc/passwd",
  [],
  {},
  new Date(0),
  new Set([1]),
  /a/,
  Array.from({ length: 5_000 }, () => 0),
  new Uint8Array(70_000),
  10n ** 18n,
  deep(40),
];

function deep(levels: number): unknown {
  return levels === 0 ? 1 : [deep(levels - 1)];
}

/** Frames about which one thing is wrong, somewhere. */
export const bent = (frames: fc.Arbitrary<unknown>): fc.Arbitrary<object> =>
  fc
    .tuple(
      frames,
      fc.array(fc.nat(99), { maxLength: 3 }),
      fc.nat(99),
      fc.nat(3),
      fc.constantFrom(...STRANGE),
    )
    .map(([frame, path, which, way, strange]) => {
      const copy = structuredClone(frame) as Record<string, unknown>;
      let place: Record<string, unknown> = copy;
      for (const step of path) {
        const inner = Object.values(place).filter(
          (one): one is Record<string, unknown> =>
            typeof one === "object" && one !== null && !(one instanceof Uint8Array),
        );
        place = inner[step % Math.max(1, inner.length)] ?? place;
      }
      const keys = Object.keys(place);
      const key = keys[which % Math.max(1, keys.length)] ?? "x";
      if (way === 0) delete place[key];
      else if (way === 1)
        place[["more", "constructor", "k".repeat(32), "t "][which % 4] ?? "x"] = 1;
      else place[key] = strange;
      return copy;
    });

/** Some bytes of it are others, more or fewer. */
export function mangled(bytes: Uint8Array, chance: Random): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let times = 1 + chance.below(4); times > 0; times--) {
    const at = chance.below(Math.max(1, out.length));
    switch (chance.below(5)) {
      case 0:
        if (out.length > 0) out[at] = (out[at] ?? 0) ^ (1 << chance.below(8));
        break;
      case 1:
        if (out.length > 0) out[at] = chance.pick([0, 0x7f, 0x80, 0xc1, 0xc7, 0xd4, 0xdf, 0xff]);
        break;
      case 2:
        out = out.slice(0, at);
        break;
      case 3:
        out = Uint8Array.from([
          ...out.slice(0, at),
          ...chance.bytes(1 + chance.below(8)),
          ...out.slice(at),
        ]);
        break;
      default:
        out = Uint8Array.from([...out.slice(0, at), ...out.slice(chance.below(out.length + 1))]);
    }
  }
  return out;
}
