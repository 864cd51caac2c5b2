/**
 * The sandbox `workspace`, as each system can build it (`workspace.ts` chooses). It turns a job into a command that runs it
 * confined, or says why this system cannot; there is no third way.
 *
 *   no network · no sockets but of its own empty network · the system's programs, read-only
 *   one shared folder at /workspace, which is all it can change for good
 *   private /tmp and HOME, gone at the end · no right of the system, none to be had
 *   its own processes only, and none of them outlives it
 */
import type { KithError } from "@kith/shared/errors";

/** What is to run, checked before. */
export interface Job {
  /** The shared folder: a real path of this system. */
  readonly folder: string;
  /** Names below it: where the program starts. */
  readonly names: readonly string[];
  readonly argv: readonly string[];
  /** Added to the sandbox's own environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** The same, as something to start. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /**
   * What the program reads at descriptors 4, 5 … to the end. At descriptor 3 it writes lines:
   * `"child-pid": N` when there is a process group to end, `"exit-code": N` only if the job ran.
   */
  readonly feeds: readonly Uint8Array[];
}

export interface Sandbox {
  readonly name: "workspace";
  command(job: Job): Command;
  /** Why nothing was run, in words without a path, from what the command wrote to stderr. */
  failure(stderr: string): KithError;
  /** What to do when its program is not there. */
  readonly missing: string;
}
