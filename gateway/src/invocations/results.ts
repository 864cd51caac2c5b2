/**
 * What a node claims as a result, held against what its capability promises: the output by
 * schema, the streams by role, type and size, the content by being there.
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import type { Failure } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import type { Result } from "@kith/shared/protocol/call";
import * as v from "valibot";
import type { StoredStream } from "./content.ts";

/** Where content lies that has arrived whole. */
export interface Media {
  /** The path of this content, when it is there with that size. */
  find(sha256: string, type: string, bytes: number): string | undefined;
}

export type Verdict =
  | {
      readonly is: "whole";
      readonly out: Readonly<Record<string, unknown>>;
      readonly streams: readonly StoredStream[];
    }
  /** Streams of the result are still on their way. */
  | { readonly is: "partial" }
  | { readonly is: "broken"; readonly failure: Failure };

const broken = (message: string, code: Failure["code"] = "bad-result"): Verdict => ({
  is: "broken",
  // The device says that it ran; only what it brought back is worthless.
  failure: { code, message, effect: "partial" },
});

export function check(capability: Capability, result: Result, media: Media): Verdict {
  const out = v.safeParse(capability.out, result.out);
  if (!out.success) return broken(`${capability.name} answered with a field that it does not have`);
  const roles = new Set<string>();
  const streams: StoredStream[] = [];
  for (const { role, type, size, sha256 } of result.streams) {
    // `constructor` is no role: a device's words never reach a prototype.
    const allowed = Object.hasOwn(capability.streams, role) ? capability.streams[role] : undefined;
    if (!allowed || roles.has(role)) return broken(`${capability.name} has no stream ${role}`);
    if (allowed.types !== "any" && !allowed.types.includes(type))
      return broken(`a ${role} of ${capability.name} is not ${type}`);
    if (size > allowed.maxBytes)
      return broken(`the ${role} is larger than ${allowed.maxBytes} bytes`, "too-big");
    roles.add(role);
    const path = media.find(hex(sha256), type, size);
    if (path === undefined) return { is: "partial" };
    streams.push({ role, type, bytes: size, sha256: hex(sha256), path });
  }
  if (Object.entries(capability.streams).some(([role, one]) => !one.mayLack && !roles.has(role)))
    return broken(`${capability.name} came without its content`);
  return { is: "whole", out: out.output, streams };
}
