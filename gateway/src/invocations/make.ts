/**
 * From a request to the call that its owner would approve: content bound, arguments checked by the
 * capability's schema, the plan hashed. Pure; whether it may happen is decided elsewhere.
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import type { Failure } from "@kith/shared/errors";
import { limits, times } from "@kith/shared/protocol/limits";
import type { Offered } from "@kith/shared/protocol/session";
import * as v from "valibot";
import type { DeviceRow } from "../devices/device.ts";
import { PATIENCE_MS } from "../grants/approval.machine.ts";
import { type Value, planHash } from "../grants/plan.ts";
import type { Call } from "./call.ts";
import type { StoredContent } from "./content.ts";
import type { Request } from "./request.ts";

/** A call waits for its device so long at most. */
export const MOST_DELIVER_MS = 7 * 86_400_000;
/** A person at the device has so long to say yes; their thinking must not eat the call's own time. */
const CONSENT_MS = 60_000;

/** What the call will be about. */
export interface Site {
  readonly id: string;
  /** Unix ms. */
  readonly at: number;
  readonly gateway: string;
  readonly row: DeviceRow;
  readonly capability: Capability;
  readonly offered: Offered | undefined;
  /** Whether this content is here to be sent. */
  readonly isHeld: (content: StoredContent) => boolean;
}

/** The call as it would be asked about, or why there is none. */
export function callOf(
  request: Request,
  { id, at, gateway, row, capability, offered, isHeld }: Site,
): { readonly call: Call } | Failure {
  const { content, cap, deliverMs: wish } = request;
  if ((capability.takes !== undefined) !== (content !== undefined))
    return badArgs(
      content
        ? `${cap} takes no content`
        : `${cap} needs a file to send: \`kith send FILE DEVICE\``,
    );
  const [taken] = Object.values(capability.takes ?? {});
  if (content && taken && taken.types !== "any" && !taken.types.includes(content.type))
    return badArgs(`${cap} takes ${taken.types.join(", ")}, not ${content.type}`);
  if (content && !isHeld(content)) return badArgs(`${cap}: the content is not here`);
  // What is approved is this content and no other: nobody names another size or hash.
  const bound = content && { size: content.bytes, sha256: content.sha256 };
  const args = v.safeParse(capability.args, { ...request.args, ...bound });
  if (!args.success) {
    const [issue] = args.issues;
    const where = v.getDotPath(issue) ?? "arguments";
    const unknown = issue.type === "strict_object" && issue.expected === "never";
    return badArgs(`${cap}: ${where}: ${unknown ? "there is no such argument" : issue.message}`);
  }
  const deliverMs = wish && Math.max(0, Math.min(MOST_DELIVER_MS, Math.round(wish)));
  // Without time to wait nothing waits for a lock either.
  const unlocked = deliverMs === undefined ? undefined : request.unlocked;
  const plan = {
    gateway,
    device: row.id,
    cap,
    v: capability.version,
    args: args.output as Readonly<Record<string, Value>>,
    requester: request.requester,
    call: id,
    revocation: row.revocation,
    ...(deliverMs === undefined ? {} : { deliver_ms: deliverMs }),
    ...(unlocked && { unlocked }),
  };
  const call: Call = {
    id,
    state: "asked",
    device: row.id,
    name: row.name,
    cap,
    v: capability.version,
    class: capability.effect,
    args: plan.args,
    ...(content === undefined ? {} : { content }),
    ...(capability.own && { shape: capability.own.shape }),
    ...(request.onward === undefined ? {} : { onward: request.onward }),
    planHash: planHash(plan),
    requester: request.requester,
    by: request.by,
    asked: askedBy(request),
    revocation: row.revocation,
    ttlMs:
      offered?.policy === "ask"
        ? Math.min(Math.max(limits.ttlMs, capability.ttlMs), capability.ttlMs + CONSENT_MS)
        : capability.ttlMs,
    createdAt: at,
    deadlineAt: at + PATIENCE_MS + times.ttlSlackMs,
    ...(deliverMs === undefined ? {} : { deliverMs }),
    ...(unlocked && { unlocked }),
    ...(request.session === undefined ? {} : { session: request.session }),
  };
  return { call };
}

/** The owner's yes to what the gateway itself would do, as a call of the gateway. */
export function permissionOf(
  { own: what, cap, args: given, requester, by, session }: Request & { readonly own: string },
  { id, at, gateway }: Pick<Site, "id" | "at" | "gateway">,
): Call {
  const args = { what, args: JSON.stringify(given) };
  const plan = { ...{ gateway, device: gateway, cap, v: 1, args }, requester, call: id };
  return {
    ...{ id, state: "asked", device: gateway, name: "the gateway", cap, v: 1, class: "once", args },
    ...{ own: true, planHash: planHash({ ...plan, revocation: 0 }), requester, by, revocation: 0 },
    ...{ ttlMs: 0, createdAt: at, deadlineAt: at + PATIENCE_MS + times.ttlSlackMs },
    ...(session === undefined ? {} : { session }),
  };
}

const askedBy = ({ chat, agent, model }: Request): NonNullable<Call["asked"]> => ({
  ...(chat !== undefined && { chat }),
  ...(agent !== undefined && { agent }),
  ...(model && { model }),
});

const badArgs = (message: string): Failure => ({ code: "bad-args", message, effect: "none" });
