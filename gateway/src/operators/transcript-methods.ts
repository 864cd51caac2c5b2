/** Transcripts made anew. */
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";

export const transcriptMethods = ({
  transcripts,
  clock,
  home,
}: MethodsOptions): [string, Method][] => [
  [
    "transcripts.rebuild",
    method(NOTHING, () => {
      const written = transcripts?.rebuild(clock.now()) ?? 0;
      return {
        out: { written },
        text: `${written} files of ${home}/transcripts were other than what was said, and are written anew.`,
      };
    }),
  ],
];
