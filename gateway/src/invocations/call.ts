/** One call of a capability on a device: a row, small enough to keep and to show. */
import type { Failure } from "@kith/shared/errors";
import type { EffectClass } from "@kith/shared/protocol/call";
import type { Value } from "../grants/plan.ts";
import type { Duration } from "../grants/grant.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { StoredContent, StoredStream } from "./content.ts";
import type { Request } from "./request.ts";

export type CallState =
  | "asked"
  | "ready"
  | "sent"
  | "unknown"
  | "done"
  | "failed"
  | "denied"
  | "expired"
  | "cancelled";

/** Nothing changes a call in one of these; `unknown` is left by evidence only. */
export const ended: ReadonlySet<CallState> = new Set([
  "done",
  "failed",
  "denied",
  "expired",
  "cancelled",
]);

export interface Call {
  readonly id: string;
  readonly state: CallState;
  /** key16, and the device's name when it was asked, for people. */
  readonly device: string;
  readonly name: string;
  readonly cap: string;
  readonly v: number;
  readonly class: EffectClass;
  /** Checked by the capability's schema; exactly what was approved and what is sent. */
  readonly args: Readonly<Record<string, Value>>;
  /** Of a capability that the device's owner wrote: what it was when it was asked for. */
  readonly shape?: string;
  /** What the device is to get, as its arguments name it by size and hash. */
  readonly content?: StoredContent;
  /** What its content is for: its session asks for it when this has ended well. */
  readonly onward?: Request;
  readonly planHash: string;
  readonly requester: string;
  /** Who is told how it ended; absent for a caller that waits at the control socket. */
  readonly session?: ActorId;
  /** Of no device: the owner's yes to what the gateway itself would do; see Request.own. */
  readonly own?: true;
  /** The owner's word given with the request itself (`--allow`). */
  readonly allow?: Duration;
  /** Which answer of the owner ended the question, when that came through a chat. */
  readonly answer?: string;
  readonly by: string;
  /** How it was asked for: the owner's lines may name that, and may be other ones when it leaves. */
  readonly asked?: Pick<Request, "chat" | "agent" | "model">;
  /** Rule of decide.ts that let it through. */
  readonly rule?: string;
  readonly grant?: string;
  readonly revocation: number;
  /** Call number of the device, link epoch of the latest sending, ledger it was sent to. */
  readonly n?: number;
  readonly epoch?: number;
  readonly ledger?: string;
  /** How often a read was tried again under a new id. */
  readonly tries?: number;
  readonly ttlMs: number;
  /** How long it may wait until its device is there; part of what was approved. */
  readonly deliverMs?: number;
  /** It waits until its device is unlocked, too. */
  readonly unlocked?: true;
  /** Unix ms: when its permission ends, where it ends a call that has begun. */
  readonly notAfter?: number;
  readonly createdAt: number;
  readonly sentAt?: number;
  /** Unix ms: not begun by then, it expires; begun, it is cancelled. */
  readonly deadlineAt: number;
  readonly endedAt?: number;
  readonly out?: Readonly<Record<string, unknown>>;
  readonly streams?: readonly StoredStream[];
  readonly failure?: Failure;
}
