/**
 * The shape of a capability: what a device can do, said once, read by three:
 * the model (summary, JSON Schema), the gateway (effect, tier, bounds), the node (args, out).
 */
import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import type { EffectClass } from "../protocol/call.ts";

type Fields = v.GenericSchema<Record<string, unknown>, Record<string, unknown>>;

export interface Capability<
  Args extends v.GenericSchema = Fields,
  Out extends v.GenericSchema = Fields,
> {
  readonly name: string;
  readonly version: number;
  /** One sentence for the model and for people. */
  readonly summary: string;
  /** What a retry may do. When unsure, the stricter. */
  readonly effect: EffectClass;
  /** How much trust a call needs: 0 harmless to 3 powerful. */
  readonly tier: 0 | 1 | 2 | 3;
  /**
   * What was permitted counts also for a model that has read what others may have written: it shows itself,
   * or only reads where its owner shared.
   */
  readonly tainted?: "allowed";
  /**
   * Arguments whose values a standing permission keeps: it is for calls that have the same of these. Without any,
   * it is for all that the capability does.
   */
  readonly kept?: readonly string[];
  /** Longest grant, in ms; `Infinity` where none needs to end. */
  readonly longestGrantMs: number;
  /** Default time to live of a call, in ms. What asks for more than ten minutes stays open on purpose. */
  readonly ttlMs: number;
  readonly args: Args;
  readonly out: Out;
  /** Roles of the content that a call brings to the device, at most one each. */
  readonly takes?: Readonly<Record<string, StreamRole>>;
  /** Its call is a terminal while it runs, with live streams both ways (protocol/terminal.ts). */
  readonly terminal?: true;
  /** Roles of the streams a result carries, with their media types and bounds. */
  readonly streams: Readonly<Record<string, StreamRole>>;
  /** Of one that is not in the catalogue: the text that describes it, and a hash of all that a permission rests on. */
  readonly own?: { readonly schema: string; readonly shape: string };
}

export interface StreamRole {
  readonly types: readonly string[] | "any";
  readonly maxBytes: number;
  /** A result without it is whole: there was nothing to send. */
  readonly mayLack?: true;
}

/** Keeps the exact schema types while checking the shape. */
export const defineCapability = <
  const Args extends v.GenericSchema,
  const Out extends v.GenericSchema,
>(
  capability: Capability<Args, Out>,
): Capability<Args, Out> => capability;

export type ArgsOf<C> = C extends Capability<infer A, v.GenericSchema> ? v.InferOutput<A> : never;
export type OutOf<C> = C extends Capability<v.GenericSchema, infer O> ? v.InferInput<O> : never;

/** The tool schema a model gets: JSON Schema with bounds, defaults and descriptions. */
export function argsSchema(capability: Pick<Capability, "args">): Record<string, unknown> {
  return { ...toJsonSchema(capability.args, { typeMode: "input", errorMode: "ignore" }) };
}
