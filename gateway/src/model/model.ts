/**
 * What a session asks when somebody said something: a language model, or the offline grammar.
 * Both answer with the same thing, so grants, approvals and audit never know which it was.
 */
export interface Turn {
  readonly text: string;
  /** Whether an owner speaks, in a private chat: only then do commands that decide count. */
  readonly owner: boolean;
}

export interface Onward {
  readonly cap: string;
  readonly device: string;
  readonly args: Readonly<Record<string, unknown>>;
}

export type Answer =
  /** A tool call: a capability of a device. The device is still in the speaker's words. */
  | {
      readonly do: "call";
      readonly cap: string;
      readonly device: string;
      readonly args: Readonly<Record<string, unknown>>;
      /** So many ms it may wait for a device that is away. */
      readonly deliverMs?: number;
      /** With `deliverMs`: also until it is unlocked. */
      readonly unlocked?: true;
      /** What it brought goes on: to this device, as the content of this call. */
      readonly onward?: Onward;
    }
  /** A tool call of the gateway itself, as the command line has it. */
  | {
      readonly do: "operate";
      readonly op: string;
      readonly args: Readonly<Record<string, unknown>>;
    }
  /** The same words again, in so many ms. */
  | { readonly do: "later"; readonly afterMs: number; readonly text: string }
  /** What was put off: to be told, or one of it (counted from 1) to be taken back. */
  | { readonly do: "put-off"; readonly drop?: number }
  | {
      readonly do: "say";
      readonly text: string;
      /** The words meant nothing here: programs that asked must not take the text for a success. */
      readonly puzzled?: true;
    };

export interface Model {
  readonly name: string;
  answer(turn: Turn, signal: AbortSignal): Promise<Answer>;
}
