/** What is asked of the invocation table, and what it hears from others. */
import type { Failure } from "@kith/shared/errors";
import type { ErrorFrame, LedgerState, Result } from "@kith/shared/protocol/call";
import type { Duration, Term } from "../grants/grant.ts";
import type { ActorId, Event } from "../runtime/effect.ts";
import type { Label } from "../tools/tool.ts";
import type { StoredContent } from "./content.ts";

export interface Request {
  /** As a person or a model says it; resolved here. */
  readonly device: string;
  readonly cap: string;
  readonly args: Readonly<Record<string, unknown>>;
  /** What goes with it to the device; its size and hash become arguments. */
  readonly content?: StoredContent;
  /** What its content is for: asked when it has ended well, by whoever tells how it ended. */
  readonly onward?: Request;
  /** `owner`, or the name of whoever needs a grant of their own. */
  readonly requester: string;
  /** Identity behind it, for the audit. */
  readonly by: string;
  readonly session?: ActorId;
  /** So many ms it may wait for a device that is away; without it, that is an error at once. */
  readonly deliverMs?: number;
  /** With `deliverMs`: it waits for a device that somebody locked as well. */
  readonly unlocked?: true;
  /** Of all that whoever asks has read; with `untrusted` no standing permission counts. */
  readonly labels?: readonly Label[];
  /** Where what others may have written came from, for the question: the newest, at most three. */
  readonly sources?: readonly string[];
  /**
   * Not of a device: permission for what the gateway itself would do, said as a sentence. With the owner's yes
   * the call has ended, and its result is the arguments that were permitted.
   */
  readonly own?: string;
  /** A language model asks for it. */
  readonly model?: true;
  /** Whose budget it is, beside `by`: the chat, and the schedule that began it. */
  readonly chat?: string;
  readonly job?: string;
  /** Which assistant asks. */
  readonly agent?: string;
  /** Devices for which the owner permitted this capability until the model has answered. */
  readonly turn?: readonly string[];
  /** A language model will see what it brings: whoever is asked should know. */
  readonly look?: true;
  /** The owner's permission, given with the request. */
  readonly allow?: Duration;
}

export type CallsEvent = Event &
  (
    | { readonly type: "call.requested"; readonly request: Request }
    | {
        readonly type: "approval.approved";
        readonly planHash: string;
        readonly for: Term;
        readonly by: string;
        readonly key?: string;
      }
    | { readonly type: "approval.refused"; readonly failure: Failure; readonly key?: string }
    | { readonly type: "approval.asked" }
    | { readonly type: "device.revoked"; readonly device: string }
    | { readonly type: "ceiling.changed" }
    | { readonly type: "caps.changed"; readonly device: string }
    | { readonly type: "grant.revoked"; readonly grant: string; readonly by: string }
    | { readonly type: "owner.cancelled"; readonly by: string }
    /** Also one that has begun: its device is told. */
    | { readonly type: "owner.stopped"; readonly by: string }
    | { readonly type: "safe.ended"; readonly by: string }
    | { readonly type: "lock.set"; readonly locked: boolean; readonly by: string }
    | {
        readonly type: "link.ready";
        readonly device: string;
        readonly epoch: number;
        readonly ledger: string;
      }
    | { readonly type: "node.result"; readonly device: string; readonly result: Result }
    | { readonly type: "node.error"; readonly device: string; readonly error: ErrorFrame }
    | { readonly type: "stream.ended"; readonly device: string; readonly failure?: Failure }
    | { readonly type: "stream.gone"; readonly device: string; readonly stream: string }
    | {
        readonly type: "ledger.read";
        readonly device: string;
        readonly found: LedgerState;
        readonly ledger: string;
        readonly floor: number;
        readonly epoch: number;
      }
    | { readonly type: "deadline.passed" }
    | { readonly type: "grace.passed" }
  );
