/** What a caller hears back: how a call ended, and with what. */
import type { Failure } from "@kith/shared/errors";
import type { Call } from "./call.ts";
import type { StoredStream } from "./content.ts";
import type { Request } from "./request.ts";

export interface Outcome {
  readonly call: string;
  readonly state: Call["state"] | "asked";
  readonly device: string;
  readonly name: string;
  readonly cap: string;
  readonly out?: Call["out"];
  readonly streams?: readonly StoredStream[];
  readonly failure?: Failure;
  readonly onward?: Request;
  /** Names to choose from, when the words fitted several devices. */
  readonly choices?: readonly { readonly id: string; readonly name: string }[];
  /** With choices: what was asked, to be asked again with one of them. */
  readonly request?: Request;
}

export function outcome(call: Call): Outcome {
  const { id, state, device, name, cap, out, streams, failure, onward } = call;
  return {
    call: id,
    state,
    device,
    name,
    cap,
    ...(out === undefined ? {} : { out }),
    ...(streams === undefined ? {} : { streams }),
    ...(failure === undefined ? {} : { failure }),
    ...(onward === undefined ? {} : { onward }),
  };
}
