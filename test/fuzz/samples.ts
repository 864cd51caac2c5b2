/**
 * Valid frames made from the schemas themselves, so that a new frame joins by itself, and the
 * two ways to spoil one: by its structure and by its bytes.
 */
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

/** A value that this schema takes. @throws Error where none of ours fits: add one above */
export function valid(schema: v.GenericSchema, chance: Random): unknown {
  const node = schema as unknown as Node;
  const fitting = <T>(candidates: readonly T[]): T => {
    const fit = candidates.filter((one) => v.is(schema, one));
    if (fit.length === 0) throw new Error(`no sample fits a ${node.type}`);
    return chance.pick(fit);
  };
  const inside = (one: unknown) => valid(one as v.GenericSchema, chance);
  switch (node.type) {
    case "variant":
      return inside(chance.pick(node.options ?? []));
    case "strict_object":
      return Object.fromEntries(
        Object.entries(node.entries ?? {}).flatMap(([key, entry]) =>
          entry.type === "optional" && chance.float() < 0.5 ? [] : [[key, inside(entry)]],
        ),
      );
    case "optional":
      return inside(node.wrapped);
    case "array":
      return Array.from({ length: chance.below(4) }, () => inside(node.item));
    case "string":
      return fitting(WORDS);
    case "number":
      return fitting(NUMBERS);
    case "custom":
      return fitting(SIZES.map((size) => chance.bytes(size)));
    case "picklist":
      return chance.pick(node.options ?? []);
    case "literal":
      return node.literal;
    case "boolean":
      return chance.float() < 0.5;
    case "record":
      return Object.fromEntries(
        Array.from({ length: chance.below(4) }, (_, at) => [`k${at}`, chance.pick(NUMBERS)]),
      );
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

/** One thing about it is wrong, somewhere. */
export function bent(frame: object, chance: Random): object {
  const copy = structuredClone(frame) as Record<string, unknown>;
  let place: Record<string, unknown> = copy;
  for (;;) {
    const inner = Object.values(place).filter(
      (one): one is Record<string, unknown> =>
        typeof one === "object" && one !== null && !(one instanceof Uint8Array),
    );
    if (inner.length === 0 || chance.float() < 0.5) break;
    place = chance.pick(inner);
  }
  const keys = Object.keys(place);
  const key = keys.length > 0 ? chance.pick(keys) : "x";
  const way = chance.below(4);
  if (way === 0) delete place[key];
  else if (way === 1) place[chance.pick(["more", "constructor", "k".repeat(32), "t "])] = 1;
  else place[key] = chance.pick(STRANGE);
  return copy;
}

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
