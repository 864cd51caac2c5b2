/** The shape of a method of the gateway: bounded arguments in, one answer in two forms out. */
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import type { Limits } from "../budgets/usage.ts";
import type { Boundary } from "../grants/boundaries.ts";
import type { Presence } from "../devices/presence.ts";
import type { ChosenModel } from "../model/model.ts";
import type { Calls } from "../invocations/calls.ts";
import type { Memories } from "../memory/memory.ts";
import type { Tailnet } from "../mesh/tailscale.ts";
import type { StoredContent } from "../invocations/content.ts";
import type { Waiting } from "../operators/waiting.ts";
import type { ActorId } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Schedules } from "../schedules/schedules.ts";
import type { Skills } from "../skills/skills.ts";
import type { Transcripts } from "../transcripts/transcripts.ts";
import type { Store } from "../runtime/store.ts";

export interface Answer {
  readonly out: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface MethodsOptions {
  readonly runtime: Runtime;
  readonly store: Store;
  readonly calls: Calls;
  readonly waiting: Waiting;
  /** Takes a file of this machine in; see media/media.ts. */
  readonly contents: {
    put(path: string, type: string, id: string): Promise<StoredContent>;
  };
  readonly presence: Presence;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly gateway: {
    readonly id: string;
    readonly name: string;
    readonly key: string;
    readonly version: string;
  };
  /** Where the configuration lies, for hints. */
  readonly home: string;
  /** SHA-256 of the agent's file, hex, where there is one to serve. */
  readonly agentHash: () => Promise<string | undefined>;
  /** Listens on one more of this machine's addresses, now and after every start. Returns it as devices dial it. @throws KithError port-taken */
  readonly open: (host: string, by: string) => Promise<string>;
  /** What devices call the gateway, from its next start on. @throws KithError config-invalid */
  readonly setName: (name: string) => void;
  /** Addresses that devices can dial, `host:port`. */
  readonly addresses: () => readonly string[];
  /** The one that the device of this machine dials. */
  readonly local: () => string;
  /** The language model, where one is set up. */
  readonly model: ChosenModel | undefined;
  readonly schedules: Schedules;
  /** Absent where there is no home to keep them. */
  readonly skills?: Skills;
  readonly transcripts?: Transcripts;
  /** What the owner's lines say of a tool of the gateway itself, when a model wants it. `none`: there is no such tool. */
  readonly toolsBoundary: (
    tool: string,
    whose: { readonly agent: string; readonly chat: string; readonly by: string },
  ) => Boundary | "none";
  /** Budgets of a day. */
  readonly limits: Limits;
  /** What assistants remember; absent where there is no home to keep it. */
  readonly memory?: Memories;
  /** This machine's place in a tailnet; undefined: not looked at. */
  readonly tailnet: Pick<Tailnet, "changed" | "look" | "of" | "route"> | undefined;
}

/** Whose word it is, such as `console:owner`. */
export interface Caller {
  readonly by: string;
  /** The chat that it was said in. */
  readonly place?: { readonly session: ActorId; readonly chat: string };
  /** The same at every try of one order: a chat's order may be carried out again after a crash. */
  readonly key?: string;
  /** Tells whoever waits for the answer what happens meanwhile; where somebody listens. */
  readonly tell?: (event: string, data: object) => void;
}

/** For what no chat does: writing the config, keys. @throws KithError not-granted */
export function atCommandLine({ key }: Caller): void {
  if (key !== undefined) throw new KithError("not-granted", "only at the command line");
}

export interface Method {
  /** Checks the arguments, then does it. @throws KithError bad-args that names the field */
  call(args: unknown, caller: Caller): Promise<Answer>;
}

export const method = <S extends v.GenericSchema>(
  schema: S,
  run: (args: v.InferOutput<S>, caller: Caller) => Promise<Answer> | Answer,
): Method => ({
  call: async (args, caller) => run(checked(schema, args), caller),
});

/** @throws KithError bad-args that names the field */
export function checked<S extends v.GenericSchema>(schema: S, args: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, args);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new KithError("bad-args", `${v.getDotPath(issue) ?? "arguments"}: ${issue.message}`);
}
