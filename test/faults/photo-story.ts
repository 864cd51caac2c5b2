/** A photo by the offline grammar: "grab a photo", the question, the photo. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Tale, photoJudged, toldOnce } from "./crash-story.ts";

export const photoTale: Tale = {
  wish: "grab a photo from my laptop camera",
  isOver: ({ final, result }) => final && result !== undefined,
  async judge(home, messages, crash) {
    const [photo] = messages.flatMap(({ result }) => (result ? [result] : []));
    const [stream] = photo?.streams ?? [];
    return [
      ...toldOnce(messages, {
        "the photo came": ({ result }) => result,
        "the question came": ({ question }) => question,
      }),
      ...(stream && isWhole(stream) ? [] : ["the photo is not whole"]),
      ...(await photoJudged(home, crash)),
    ];
  },
};

const isWhole = (content: { path: string; sha256: string }): boolean =>
  createHash("sha256").update(readFileSync(content.path)).digest("hex") === content.sha256;
