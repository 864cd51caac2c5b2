/** What a model writes when its conversation has grown too long: facts to keep for good, and what stands for the rest. */

/** Of one summary. */
const FACTS = 8;
const FACT = /^\s*(?:[-*] )?REMEMBER: *(\S.{0,500})$/;
const isFact = (line: string): boolean => /^\s*(?:[-*] )?REMEMBER:/.test(line);

export function readSummary(text: string): {
  readonly facts: readonly string[];
  readonly summary: string;
} {
  const facts = text.split("\n").flatMap((line) => FACT.exec(line)?.[1] ?? []);
  return { facts: facts.slice(0, FACTS), summary: withoutFacts(text).trim() };
}

export const withoutFacts = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !isFact(line))
    .join("\n");
