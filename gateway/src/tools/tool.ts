/**
 * What a language model may ask of the gateway itself: memory, the web, files of its workspace, reminders.
 * A capability of a device is not one of these; it goes through grants and the invocation table.
 *
 *   model's call ─► schema ─► refused? asked about? ─► step "tool" (a row) ─► run ─► result (a row) ─► the model
 */
import type * as v from "valibot";
import type { StoredContent } from "../invocations/content.ts";
import type { ActorId } from "../runtime/effect.ts";

/**
 * What somebody else than the owner may have written, and what is nobody else's business.
 * See docs/taint.md; whatever is made of a labelled text has its labels.
 */
export type Label = "untrusted" | "private";

/** Where a call of an own tool comes from. */
export interface ToolContext {
  /** The call's id26: the same at every try, so that whatever it makes can be named by it. */
  readonly call: string;
  readonly session: ActorId;
  readonly chat: string;
  /** Identity of whoever spoke, such as `console:owner`. */
  readonly by: string;
  /** Whose workspace and memory: the name of an assistant, `main` where there is one only. */
  readonly agent: string;
  /** Of all that the model has read when it made the call. */
  readonly labels: readonly Label[];
}

export interface ToolResult {
  /** For the model; at most 16,384 characters are told, more is cut with a mark. Says where it comes from, and when. */
  readonly text: string;
  /** Of this result; absent: nobody else wrote it and nobody minds. */
  readonly labels?: readonly Label[];
  /** For people, where it is labelled: `a page of example.org`. */
  readonly source?: string;
  readonly pictures?: readonly StoredContent[];
}

export interface OwnTool<S extends v.GenericSchema = v.GenericSchema> {
  /** As the model calls it: letters, digits and `_`; at most 64. */
  readonly name: string;
  /** One or two sentences: each character is part of every request. */
  readonly description: string;
  /** A strict object; its JSON Schema is what the model sees. Every text and list in it is bounded. */
  readonly args: S;
  /**
   * Of people: the assistant's own affairs (`read`, may run again after a crash), or something that must not
   * happen twice and is made so by `ToolContext.call` (`idempotent`).
   */
  readonly class: "read" | "idempotent";
  /** How long it may take. Default 60,000 ms. */
  readonly ttlMs?: number;
  /**
   * Whether the owner is asked before it runs: a sentence that says what would happen (“send … to …”), or
   * undefined. Pure: same arguments and labels, same answer.
   */
  asks?(args: v.InferOutput<S>, labels: readonly Label[]): string | undefined;
  /** @throws KithError: told to the model with its code; anything else is a defect, told as `internal` */
  run(args: v.InferOutput<S>, context: ToolContext, signal: AbortSignal): Promise<ToolResult>;
}

/** With its own schema's type inside, and as one of many outside. */
export const ownTool = <S extends v.GenericSchema>(tool: OwnTool<S>): OwnTool =>
  tool as unknown as OwnTool;
