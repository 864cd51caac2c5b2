/** What a film of a camera and one of a screen have in common. */
import * as v from "valibot";
import { int } from "../protocol/words.ts";

/** Most bytes of one. */
export const FILM_BYTES = 256 * 1_048_576;
const MOST_SECONDS = 60;

/** Time to live of a call: the longest film, its start and its end. */
export const filmTtlMs = (MOST_SECONDS + 30) * 1_000;

export const filmArgs = {
  seconds: v.optional(v.pipe(int(1, MOST_SECONDS), v.description("Length in seconds.")), 10),
  max_edge_px: v.optional(
    v.pipe(int(64, 1_920), v.description("Longest edge of the film, in pixels.")),
    1_280,
  ),
};

export const filmStreams = { video: { types: ["video/mp4"], maxBytes: FILM_BYTES } } as const;
