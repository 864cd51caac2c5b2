/** Options as every verb of this folder takes them: `--help` helps, an unknown one is an error with exit code 2. */
import process from "node:process";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

const usual = {
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

/** Ends the process after `--help` or a wrong option; at a signal too it ends as by itself, so that what it started goes with it. */
export function readOptions<const T extends ParseArgsOptionsConfig>(help: string, own: T) {
  process.once("SIGINT", () => process.exit(130)).once("SIGTERM", () => process.exit(143));
  try {
    const { values } = parseArgs({ options: { ...usual, ...own } });
    if (!(values as { readonly help: boolean }).help) return values; // `usual` has it
  } catch (why) {
    misused(why instanceof Error ? why.message : String(why), help);
  }
  process.stdout.write(help);
  process.exit(0);
}

/** Says what is wrong and how it is used. */
export function misused(what: string, help: string): never {
  process.stderr.write(`${what}\n\n${help}`);
  process.exit(2);
}

/** A whole number from 1 to a million. */
export function count(name: string, text: string, help: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1 || n > 1_000_000)
    misused(`--${name} takes a whole number from 1 to 1,000,000`, help);
  return n;
}

/** Those that `--only` names, or all. */
export function chosen<P extends { readonly name: string }>(
  parts: readonly P[],
  only: string | undefined,
  help: string,
): readonly P[] {
  if (only === undefined) return parts;
  const names = only.split(",");
  const strange = names.filter((name) => !parts.some((part) => part.name === name));
  if (strange.length > 0) misused(`there is no part ${strange.join(", ")}`, help);
  return parts.filter((part) => names.includes(part.name));
}
