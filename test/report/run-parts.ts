import type { Report } from "./report.ts";

/**
 * Runs the parts in their order, `lanes` of them beside each other; a part that throws is a problem of
 * the report, not its end.
 */
export async function runParts<P extends { readonly name: string; readonly title: string }>(
  report: Report,
  parts: readonly P[],
  run: (part: P) => Promise<void>,
  lanes = 1,
): Promise<void> {
  const left = [...parts];
  const lane = async (): Promise<void> => {
    for (let part = left.shift(); part; part = left.shift()) {
      const began = performance.now();
      report.say(`${part.name}: ${part.title}`);
      try {
        await run(part);
      } catch (why) {
        report.problem(
          `${part.name}: ${why instanceof Error ? (why.stack ?? why.message) : String(why)}`,
        );
      }
      report.say(`${part.name}: ${((performance.now() - began) / 1_000).toFixed(1)} s`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
