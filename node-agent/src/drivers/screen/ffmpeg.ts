/** ffmpeg as X11 and Windows use it for screens: one frame, scaled, on stdout; or a film. */
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import { bare, fit, lastWords, needFfmpeg, quiet, runFfmpeg } from "../ffmpeg.ts";
import { type Film, type Filmed, film } from "../film.ts";
import type { Wanted } from "./source.ts";

/** @throws KithError not-ready, driver, and as `runFfmpeg` does */
export async function grab(
  desktop: Desktop,
  input: readonly string[],
  { format, max_edge_px }: Wanted,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const coded =
    format === "png"
      ? ["-pix_fmt", "rgb24", "-c:v", "png", "-f", "image2pipe"]
      : // Full colour for each pixel: coloured letters blur without it.
        ["-pix_fmt", "yuvj444p", "-q:v", "3", "-f", "mjpeg"];
  const args = [...quiet, ...input, "-vf", fit(max_edge_px), "-frames:v", "1", ...bare, ...coded];
  const program = await needFfmpeg(desktop);
  const ran = await runFfmpeg(program, [...args, "pipe:1"], signal, undefined, desktop.env);
  if (ran.code === 0 && ran.stdout.length > 0) return ran.stdout;
  throw failureOf(ran.stderr);
}

/** Frames a second: enough to follow what somebody does, and light on the machine. */
const RATE = "10";

/** @throws KithError not-ready, driver, and as `runFfmpeg` does */
export async function record(
  desktop: Desktop,
  input: readonly string[],
  wanted: Film,
  signal: AbortSignal,
): Promise<Filmed> {
  const program = await needFfmpeg(desktop);
  const run = (args: readonly string[]) =>
    runFfmpeg(
      program,
      // Said twice: on a busy machine ffmpeg guesses another rate from the times at which frames came,
      // and fills it up with copies.
      [...quiet, "-framerate", RATE, ...input, "-r", RATE, ...args],
      signal,
      undefined,
      desktop.env,
    );
  return film(wanted, run, failureOf);
}

function failureOf(stderr: string): KithError {
  if (/cannot open display|unknown input format/i.test(stderr))
    return new KithError("not-ready", `ffmpeg cannot look at the screen${lastWords(stderr)}`);
  return new KithError("driver", `ffmpeg gave no picture${lastWords(stderr)}`);
}
