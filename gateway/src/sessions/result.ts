/** How a call ended, as its model reads it: bounded, with the device and the time, labelled, and without paths of this machine. */
import type { Outcome } from "../invocations/outcome.ts";
import type { StoredItem } from "../model/model.ts";
import type { Label } from "../tools/tool.ts";

/** The call as its model made it. */
interface Made {
  readonly id: string;
  readonly tool: string;
  /** The model wants to see the picture. */
  readonly look?: true;
}

/** Of one result as the model reads it: of the gateway's own tools, which say where to read on, and of devices, whose frames end there. */
const RESULT_CHARS = 16_384;
const DEVICE_CHARS = 49_152;
/**
 * Results of numbers and of words from a list, which nobody else can have written; and their fields that are
 * neither, which the model does not read.
 */
const PLAIN: ReadonlyMap<string, string> = new Map([
  ["camera.snap", "camera"],
  ["device.status", "host"],
]);
/** What a model can look at; who of them cannot says so (providers/item.ts). */
const LOOKED_AT = /^(?:image\/|text\/|application\/pdf$)/;
/** Ends that the gateway gives in its own words. */
const OURS: ReadonlySet<Outcome["state"]> = new Set(["denied", "expired", "cancelled"]);

export const failed = (call: string, name: string, text: string): StoredItem => ({
  ...{ role: "tool", call, name, text },
  failed: true,
  pictures: [],
});

export const NO_REASON = {
  code: "internal",
  message: "it ended without a reason",
  effect: "unknown",
};

export const cut = (text: string, most = RESULT_CHARS): string =>
  text.length <= most ? text : `${text.slice(0, most).toWellFormed()} …`;

/** How a device's call ended, for the model: bounded, with the device and the time, and without paths of this machine. */
export function resultOf(made: Made, outcome: Outcome, at: number): StoredItem {
  const { state, name, cap, out = {}, streams = [], failure } = outcome;
  const content = streams.map(({ role, type, bytes }) => ({ role, type, bytes }));
  const { id: call, tool, look } = made;
  const labels = labelsOf(made, outcome);
  const about = {
    ...(labels.length > 0 && { labels }),
    ...(labels.length > 0 && { source: `${cap} of ${name}` }),
  };
  if (state !== "done") {
    const { code, message, effect } = failure ?? NO_REASON;
    return { ...failed(call, tool, `${code}: ${message}; effect: ${effect}`), ...about };
  }
  const told = {
    ...{ device: name, at: new Date(at).toISOString(), ...out },
    ...(content.length > 0 && { content }),
  };
  const text = JSON.stringify(told, (key, value: unknown) =>
    key !== "" && key === PLAIN.get(cap) ? undefined : value,
  );
  return {
    ...{ role: "tool", call, name: tool, text: cut(text, DEVICE_CHARS), ...about },
    pictures: look
      ? streams
          .filter(({ type }) => LOOKED_AT.test(type))
          .map(({ sha256, type, bytes }) => ({ sha256, type, bytes }))
      : [],
  };
}

const BOTH: readonly Label[] = ["private", "untrusted"];

/** Whether others may have written what the model reads of it: a device's own words, also about what went wrong. */
function labelsOf({ look }: Made, { cap, state, streams = [] }: Outcome): readonly Label[] {
  if (state !== "done") return OURS.has(state) ? [] : ["untrusted"];
  if (look && streams.some(({ type }) => type.startsWith("image/"))) return BOTH;
  return PLAIN.has(cap) ? [] : BOTH;
}
