/** Whether a call may be looked at at all: is it of a known shape, of this link, and young enough? */
import type { Capability } from "@kith/shared/capabilities/capability";
import { KithError } from "@kith/shared/errors";
import type { Invoke } from "@kith/shared/protocol/call";
import { isLarger } from "@kith/shared/protocol/codec";
import type { ToGateway } from "@kith/shared/protocol/frames";
import { limits, times } from "@kith/shared/protocol/limits";
import * as v from "valibot";

/** The link, as calls see it. */
export interface ServeLink {
  readonly epoch: number;
  /** The beat that `welcome` named. */
  readonly pingMs: number;
  send(frame: ToGateway): void;
  /** How long ago our ping `n` left on this link (0: its hello); undefined when it never did. */
  sentAgo(n: number): number | undefined;
  /** A call began or ended: both sides ping faster while one is open. */
  poke(): void;
}

/** The arguments, by the schema of what is called, of a call that is of this link. @throws KithError */
export function checked(
  { cap, v: version, effect, args, ttl_ms, epoch }: Invoke,
  link: ServeLink,
  capability: Capability | undefined,
): unknown {
  if (!capability || capability.version !== version)
    throw new KithError("unsupported", `${cap} version ${version} is not known here`);
  if (capability.effect !== effect)
    throw new KithError("unsupported", `${cap} is ${capability.effect} here, not ${effect}`);
  if (ttl_ms > Math.max(limits.ttlMs, capability.ttlMs))
    throw new KithError("schema", "ttl_ms is too long");
  if (isLarger(args, limits.argsBytes))
    throw new KithError("too-big", "the arguments are too large");
  const parsed = v.safeParse(capability.args, args);
  if (!parsed.success)
    throw new KithError("bad-args", `arguments: ${v.getDotPath(parsed.issues[0]) ?? "the whole"}`);
  if (epoch !== link.epoch) throw new KithError("fenced", "the call is of another link");
  return parsed.output;
}

/** A new call must be above the floor, and cannot have waited on its way for long. @throws KithError */
export function inTime({ n, seen }: Invoke, link: ServeLink, floor: number): void {
  if (n <= floor) throw new KithError("replay", "the device has forgotten calls that old");
  const age = link.sentAgo(seen);
  if (age === undefined || age > link.pingMs + times.seenSlackMs)
    throw new KithError("deadline", "the call was on its way for too long");
}
