/** Which world: the runtime alone, the whole gateway with devices and chats, or the same with models. */
export type Kind = "runtime" | "gateway" | "talks";

/** A fault that a world must find: one that survives fails `npm run sim -- --mutants`. */
export interface Mutant {
  readonly fault: string;
  /** File from the root, the line as it stands there once (however it is broken), what stands there instead. */
  readonly patches: readonly (readonly [file: string, line: string, instead: string])[];
  /** What the checks say about it. */
  readonly caught: RegExp;
}
