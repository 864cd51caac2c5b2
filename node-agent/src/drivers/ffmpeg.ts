/** ffmpeg as cameras and screens use it: one process, one picture on stdout. */
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { type Desktop, findProgram, installLine } from "../platform.ts";
import { type Ran, runProgram } from "./program.ts";

/** Bytes of one picture; as in the capabilities. */
const PICTURE_BYTES = 32 * 1_048_576;

/** Only errors on stderr, and nothing read from a terminal. */
export const quiet = ["-hide_banner", "-nostdin", "-v", "error"];

/** Nothing in the file but the picture. */
export const bare = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"];

/** A filter: longest edge at most that many px, never enlarged. */
export const fit = (maxEdge: number): string =>
  `scale='min(${maxEdge},iw)':'min(${maxEdge},ih)':force_original_aspect_ratio=decrease`;

/** @throws KithError ffmpeg-missing */
export async function needFfmpeg({ env }: Desktop): Promise<string> {
  const program = await findProgram("ffmpeg", env);
  if (program !== undefined) return program;
  throw new KithError("ffmpeg-missing", `ffmpeg was not found; ${await installLine("ffmpeg")}`);
}

/** What ffmpeg said last, after a colon; empty when it said nothing. */
export function lastWords(stderr: string): string {
  // Without `[video4linux2,v4l2 @ 0x5581] ` in front.
  const last = /(?:\[[^\]\n]*\]\s*)*(.*)$/.exec(stderr.trimEnd().split("\n").at(-1) ?? "")?.[1];
  return last ? `: ${tame(last, 120)}` : "";
}

/**
 * Runs ffmpeg to its end, however it ends; `env` is all it knows of our environment.
 * @throws KithError ffmpeg-missing, too-big (stdout), timeout or cancelled (signal)
 */
export async function runFfmpeg(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
  clock: Clock = systemClock,
  env?: Readonly<Record<string, string>>,
): Promise<Ran> {
  try {
    return await runProgram(program, args, {
      ...{ signal, clock, most: PICTURE_BYTES },
      ...(env && { env }),
    });
  } catch (thrown) {
    if (!(thrown instanceof KithError && thrown.code === "not-ready")) throw thrown;
    const line = await installLine("ffmpeg");
    throw new KithError("ffmpeg-missing", `ffmpeg was not found; ${line}`, { cause: thrown });
  }
}
