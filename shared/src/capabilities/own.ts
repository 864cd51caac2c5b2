/**
 * Capabilities that a device's owner wrote, `x.*`: what they are is told by the device, and held
 * against bounds here, alike on both ends.
 */
import * as v from "valibot";
import { KithError } from "../errors.ts";
import type { EffectClass } from "../protocol/call.ts";
import { tame } from "../protocol/words.ts";
import { sha256Hex } from "@kith/shared/sha256";
import type { Capability } from "./capability.ts";
import { fromJsonSchema } from "./json-schema.ts";

/** Bytes of the text that describes one; so in the frame. */
const SCHEMA_BYTES = 8_192;
const SUMMARY_BYTES = 200;
const HOUR_MS = 3_600_000;
const LONGEST_MS = 600_000;
/** Every own capability, in a list of what a device may be asked for. */
export const ANY_OWN = "x.*";

export const isOwn = (cap: string): boolean =>
  /^x\.[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*$/.test(cap) && cap.length <= 48;

/** Whether a device that was paired for `ceiling` may be asked for it. */
export const within = (ceiling: readonly string[], cap: string): boolean =>
  ceiling.includes(cap) || (isOwn(cap) && ceiling.includes(ANY_OWN));

/** How a device names one. */
export interface Own {
  readonly cap: string;
  readonly v: number;
  readonly effect: EffectClass;
  /** JSON of `{input, output}`; see json-schema.ts. */
  readonly schema?: string | undefined;
  readonly max_ms: number;
}

const both = v.strictObject({ input: v.unknown(), output: v.unknown() });

/** The same words are read once: a device says them whenever one of its states changes. */
const known = new Map<string, Capability | KithError>();
const MOST_KNOWN = 512;

/**
 * What a device's own words make of it. The device says what a retry may do and how long it takes; how much
 * trust it needs is not its to say: whatever runs `once` is asked about each time.
 * @throws KithError bad-args for words that say too much, or too little
 */
export function ownCapability({ cap, v: version, effect, schema = "", max_ms }: Own): Capability {
  const words = JSON.stringify([cap, version, effect, schema, max_ms]);
  let found = known.get(words);
  if (!found) {
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(words, (found = read(cap, version, effect, schema, max_ms)));
  }
  if (found instanceof KithError) throw found;
  return found;
}

function read(
  cap: string,
  version: number,
  effect: EffectClass,
  schema: string,
  maxMs: number,
): Capability | KithError {
  try {
    if (!isOwn(cap)) throw new KithError("bad-args", `${cap} is no name such as x.lamp.set`);
    if (new TextEncoder().encode(schema).length > SCHEMA_BYTES)
      throw new KithError("bad-args", `its schemas have more than ${SCHEMA_BYTES} bytes`);
    const { input, output } = v.parse(both, JSON.parse(schema));
    const { description } = input as { description?: unknown };
    return {
      name: cap,
      version,
      summary: tame(typeof description === "string" ? description : "", SUMMARY_BYTES) || cap,
      effect,
      tier: effect === "once" ? 3 : 2,
      longestGrantMs: effect === "once" ? 8 * HOUR_MS : 7 * 24 * HOUR_MS,
      ttlMs: Math.min(LONGEST_MS, Math.max(1_000, maxMs)),
      args: fromJsonSchema(input, { integers: true }),
      out: fromJsonSchema(output, { integers: false }),
      streams: {},
      own: {
        schema,
        shape: sha256Hex(new TextEncoder().encode(JSON.stringify([cap, version, effect, schema]))),
      },
    };
  } catch (error) {
    if (error instanceof KithError) return error;
    return new KithError("bad-args", "its schemas are not JSON of {input, output}", {
      cause: error,
    });
  }
}

/** JSON with sorted keys (RFC 8785 for what schemas hold): the same schema is the same text. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`).join(",")}}`;
}
