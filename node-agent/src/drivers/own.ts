/**
 * A capability of the owner's own, from a module that they wrote (`kith node --driver FILE`):
 *
 *   export default {
 *     name: "x.lamp.set", summary: "Turn the lamp on or off.", effect: "idempotent",
 *     args: { type: "object", properties: { on: { type: "boolean" } }, required: ["on"] },
 *     out: { type: "object", properties: { on: { type: "boolean" } }, required: ["on"] },
 *     async run({ on }, { signal, notice }) { ... return { on }; },
 *   };
 *
 * `args` and `out` are JSON Schema (shared/capabilities/json-schema.ts) or valibot. The module runs with
 * all rights of the agent: its owner named it, and nobody else can.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { asJsonSchema } from "@kith/shared/capabilities/json-schema";
import { canonical, ownCapability } from "@kith/shared/capabilities/own";
import { KithError } from "@kith/shared/errors";
import { name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Driver, Probe, Tools } from "./driver.ts";

type Run = (args: unknown, tools: Pick<Tools, "signal" | "notice" | "call">) => unknown;

const object = v.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null,
  "a schema",
);
const fn = <T>() => v.custom<T>((value) => typeof value === "function", "a function");

const shape = v.strictObject({
  name: name(48),
  version: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)), 1),
  summary: name(200),
  /** What a retry may do; left out, nothing: it runs once, and is asked about each time. */
  effect: v.optional(v.picklist(["read", "idempotent", "once"]), "once"),
  args: v.optional(object, { type: "object" }),
  out: v.optional(object, { type: "object" }),
  /** Calls that may run at once. */
  parallel: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16)), 1),
  /** Longest run in ms; it is stopped then. */
  maxMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(600_000)), 30_000),
  probe: v.optional(fn<() => unknown>()),
  run: fn<Run>(),
});

const probed = v.object({
  state: v.picklist(["ready", "needs-permission", "denied", "busy", "unavailable"]),
  reason: v.optional(str(160)),
});

/** In a single executable `import` knows Node's own modules only; there a module may not await at its top. */
async function load(path: string): Promise<unknown> {
  const { isSea } = await import("node:sea"); // not in every Node that shall read that it is too old
  return isSea() ? createRequire(path)(path) : await import(pathToFileURL(path).href);
}

/** @throws KithError config-invalid that names the file and what is wrong in it */
export async function loadOwn(path: string): Promise<Driver> {
  const wrong = (what: string, cause?: unknown): KithError =>
    new KithError("config-invalid", `${path}: ${what}`, { cause });
  let module: { default?: unknown };
  try {
    module = (await load(path)) as typeof module;
  } catch (error) {
    throw wrong(
      error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error),
      error,
    );
  }
  const read = v.safeParse(shape, module.default);
  if (!read.success) {
    const [issue] = read.issues;
    const field = v.getDotPath(issue);
    throw wrong(`${field === null ? "its default export" : field}: ${issue.message}`);
  }
  const { name: cap, version, summary, effect, parallel, maxMs, probe, run } = read.output;
  try {
    const input = { ...asJsonSchema(read.output.args, "input"), description: summary };
    const schema = canonical({ input, output: asJsonSchema(read.output.out, "output") });
    const capability = ownCapability({ cap, v: version, effect, schema, max_ms: maxMs });
    return {
      capability,
      parallel,
      maxMs,
      probe: async () => (probe ? (v.parse(probed, await probe()) as Probe) : { state: "ready" }),
      run: async (args, tools) => ((await run(args, tools)) ?? {}) as Record<string, unknown>,
    };
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error), error);
  }
}
