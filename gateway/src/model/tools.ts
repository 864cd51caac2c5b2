/**
 * What a model may ask for: each capability that a paired device offers is one tool, however many devices
 * have it. Described from the catalogue alone: a device's own words reach no model's instructions.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { type Capability, argsSchema } from "@kith/shared/capabilities/capability";
import { isOwn, within } from "@kith/shared/capabilities/own";
import { name } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type DeviceRow, type OfferedSet, capabilityOf, deviceRows } from "../devices/device.ts";
import type { Documents } from "../runtime/documents.ts";
import type { Label, OwnTool } from "../tools/tool.ts";
import { plainSchema } from "./plain-schema.ts";
import type { TurnCall } from "./model.ts";
import type { Tool, ToolCall } from "./provider.ts";

const toolOf = (cap: string): string => cap.replaceAll(".", "_");
const byTool: ReadonlyMap<string, Capability> = new Map(
  [...catalogue.values()].map((capability) => [toolOf(capability.name), capability]),
);

const isLookedAt = ({ streams }: Capability): boolean =>
  Object.values(streams).some(
    ({ types }) => types === "any" || types.some((type) => type.startsWith("image/")),
  );

/** A terminal is for people, and content for a device comes from them. */
const isForModels = ({ terminal, takes }: Capability): boolean =>
  terminal !== true && takes === undefined;

/** Those that owners wrote for their devices, of all together. */
const MOST_OWN = 32;

/** In the order of the catalogue, then of their names, so that the same devices always give the same bytes. */
export function toolsOf(documents: Documents): Tool[] {
  const devices = paired(documents);
  return [...catalogue.values(), ...ownOf(documents).values()]
    .filter(isForModels)
    .flatMap((capability) => {
      const able = devices.filter((row) => offers(documents, row, capability.name));
      return able.length > 0 ? [tool(capability, able, devices.length)] : [];
    });
}

const paired = (documents: Documents): readonly DeviceRow[] =>
  deviceRows(documents).filter(({ state }) => state === "paired");

/** Capabilities that are in no catalogue, by the name of their tool; as the first device has it. */
function ownOf(documents: Documents): ReadonlyMap<string, Capability> {
  const own = new Map<string, Capability>();
  for (const { id } of paired(documents))
    for (const { cap } of documents.get<OfferedSet>("device", `caps/${id}`)?.caps ?? []) {
      const capability = isOwn(cap) ? capabilityOf(documents, id, cap) : undefined;
      if (capability && !own.has(toolOf(cap))) own.set(toolOf(cap), capability);
    }
  return new Map([...own].toSorted(([a], [b]) => (a < b ? -1 : 1)).slice(0, MOST_OWN));
}

function offers(documents: Documents, row: DeviceRow, cap: string): boolean {
  const { caps = [] } = documents.get<OfferedSet>("device", `caps/${row.id}`) ?? {};
  return within(row.ceiling, cap) && caps.some((one) => one.cap === cap && one.state !== "off");
}

/** Bounds that are checked when a call comes, and cost room in every request. */
const UNSAID = new Set([
  ...[
    "$schema",
    "additionalProperties",
    "default",
    "format",
    "maxItems",
    "maxLength",
    "minItems",
    "minLength",
    "pattern",
  ],
]);

/** A bound beyond which no model goes by itself. */
const FAR = 100_000;

/** `named`: its keys are names of properties, whatever they are called. */
const lean = (value: unknown, named = false): unknown => {
  if (Array.isArray(value)) return value.map((one) => lean(one));
  if (typeof value !== "object" || value === null) return value;
  const isList = !named && "enum" in value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) =>
      !named && (isUnsaid(key, one) || (isList && key === "type"))
        ? []
        : [[key, lean(one, !named && key === "properties")]],
    ),
  );
};

const isUnsaid = (key: string, value: unknown): boolean =>
  UNSAID.has(key) ||
  (key === "required" && Array.isArray(value) && value.length === 0) ||
  (key === "maximum" && Number(value) >= FAR);

/** `all`: how many devices there are; where each of them has it, the instructions have their names. */
function tool(capability: Capability, devices: readonly DeviceRow[], all: number): Tool {
  const { own } = capability;
  const schema = own
    ? plainSchema((JSON.parse(own.schema) as { input: unknown }).input)
    : argsSchema(capability);
  const { properties = {}, required = [] } = schema;
  const names = devices.map((row) => row.name).toSorted();
  const which = names.length === all ? {} : { description: `One of: ${names.join(", ")}` };
  return {
    name: toolOf(capability.name),
    description: own ? `${capability.name}, which the device's owner wrote` : ofDevice(capability),
    schema: {
      type: "object",
      properties: {
        device: { type: "string", ...which },
        ...(lean(properties, true) as object),
        // What it is for is said once, in the instructions.
        ...(isLookedAt(capability) && { look: { type: "boolean" } }),
      },
      required: ["device", ...(required as string[])],
    },
  };
}

/** Each of these names its device by an argument. */
const ofDevice = ({ summary }: Capability): string =>
  summary.replace(/ (?:of|on) the named device\b/, "").replace("the named device", "a device");

const asked = v.looseObject({ device: name(64), look: v.optional(v.boolean(), false) });

/** What a model may use in a conversation, and how a call of it is understood. */
export interface Toolbox {
  readonly tools: readonly Tool[];
  /** Names of the paired devices. */
  readonly devices: readonly string[];
  /** Whether this one of the gateway's own may be used without a question. */
  isFree(tool: string): boolean;
  /** What this call means here; whether it may happen is decided elsewhere. */
  read(call: ToolCall, labels: readonly Label[]): TurnCall;
}

/** By names of tools: what an assistant has, and what of the gateway's own is asked about each time. */
interface Limits {
  /** Why it may not be used here, by which line; undefined: it may. */
  readonly denies?: (tool: string) => string | undefined;
  readonly mustAsk?: (tool: string) => boolean;
}

/** Capabilities of devices first, then what the gateway does itself, in the order given. */
export function toolbox(
  documents: Documents,
  all: readonly OwnTool[],
  { denies = () => undefined, mustAsk = () => false }: Limits = {},
): Toolbox {
  const own = all.filter((tool) => denies(tool.name) === undefined);
  const byName = new Map(own.map((one) => [one.name, one]));
  const theirs = ownOf(documents);
  return {
    devices: paired(documents)
      .map((row) => row.name)
      .toSorted(),
    tools: [
      ...toolsOf(documents).filter((tool) => denies(tool.name) === undefined),
      ...own.map(({ name: called, description, args }) => ({
        name: called,
        description,
        schema: lean(argsSchema({ args } as never)) as Tool["schema"],
      })),
    ],
    isFree: (tool) => byName.has(tool) && !mustAsk(tool),
    read(call, labels) {
      const tool = byName.get(call.name);
      const by = denies(call.name);
      if (by !== undefined)
        return { id: call.id, tool: call.name, wrong: `it is not for you: ${by}` };
      return tool ? readOwn(call, tool, labels, mustAsk(call.name)) : readCall(call, theirs);
    },
  };
}

const NO_TOOL = "there is no such tool";
/** Its arguments are in the row of its step and in a question to the owner: no more than so many bytes. */
const OWN_BYTES = 32_768;

function readOwn(
  { id, name: tool, args }: ToolCall,
  own: OwnTool,
  labels: readonly Label[],
  mustAsk: boolean,
): TurnCall {
  const parsed = v.safeParse(own.args, args);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    return { id, tool, wrong: `${v.getDotPath(issue) ?? "arguments"}: ${issue.message}` };
  }
  const checked = parsed.output as Readonly<Record<string, unknown>>;
  if (new TextEncoder().encode(JSON.stringify(checked)).length > OWN_BYTES)
    return { id, tool, wrong: "too much at once: 32 kB of arguments at most" };
  const asks =
    own.asks?.(checked, labels) ?? (mustAsk ? `use ${tool} ${JSON.stringify(checked)}` : undefined);
  return { id, tool, own: checked, ...(asks !== undefined && { asks }) };
}

/** What a call of a capability means here. */
export function readCall(
  { id, name: tool, args }: ToolCall,
  own: ReadonlyMap<string, Capability> = new Map(),
): TurnCall {
  const capability = byTool.get(tool) ?? own.get(tool);
  if (!capability || !isForModels(capability)) return { id, tool, wrong: NO_TOOL };
  const parsed = v.safeParse(asked, args);
  if (!parsed.success)
    return { id, tool, wrong: "the arguments must be a JSON object that names a device" };
  const { device, look, ...rest } = parsed.output;
  return {
    id,
    tool,
    cap: capability.name,
    device,
    args: rest,
    look: look && isLookedAt(capability),
  };
}
