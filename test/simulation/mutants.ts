/** The mutants of each world. */
import { mutants as gateway } from "./gateway/mutants.ts";
import type { Kind, Mutant } from "./mutant.ts";
import { mutants as runtime } from "./runtime/mutants.ts";
import { mutants as talks } from "./talks/mutants.ts";

export const mutants: Readonly<Record<Kind, readonly Mutant[]>> = { runtime, gateway, talks };
