/** Labels of what a model reads: they only ever become more. */
import type { Label } from "./tool.ts";

/** All of them, each once, always in the same order. */
export const union = (...all: (readonly Label[] | undefined)[]): readonly Label[] =>
  [...new Set(all.flatMap((some) => some ?? []))].toSorted();
