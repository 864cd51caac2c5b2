import { runFfmpeg } from "../ffmpeg.ts";
import { failureOf, type Ffmpeg, ffmpegSource } from "./ffmpeg.ts";
import { type Camera, type CameraSource, named } from "./source.ts";

/** Cameras of Windows. An id is the camera's name; it is opened by the system's own, unique name. */
export function dshowCameras(options: Ffmpeg = {}): CameraSource {
  const { program = "ffmpeg" } = options;
  const ask = ["-hide_banner", "-f", "dshow", "-list_devices", "true", "-i", "dummy"];
  return ffmpegSource(
    {
      // It always ends with an error: there is no input named dummy.
      list: async (signal) => parseDshow((await runFfmpeg(program, ask, signal)).stderr),
      inputs: ({ at }, maxEdge) =>
        // Sizes must match exactly; the last takes the camera's own.
        [
          ...(maxEdge > 1_280 ? [["-video_size", "1920x1080"]] : []),
          ["-video_size", "1280x720"],
          [],
        ].map(
          // The default buffer of 3 MB is less than one raw picture.
          (size) => ["-f", "dshow", "-rtbufsize", "64M", ...size, "-i", `video=${at}`],
        ),
    },
    options,
  );
}

/**
 * Reads `"Integrated Camera" (video)` with its `Alternative name "@device_pnp_…"` below;
 * before ffmpeg 5 a headline came before the names instead of a kind behind them.
 */
export const parseDshow = (stderr: string): Camera[] => parse(stderr, "video");
/** Its microphones, in the same words. */
export const parseDshowSounds = (stderr: string): Camera[] => parse(stderr, "audio");

function parse(stderr: string, wanted: "video" | "audio"): Camera[] {
  if (!/\(video\)|DirectShow|\(audio\)|could not enumerate/i.test(stderr)) throw failureOf(stderr);
  const found: { label: string; at: string }[] = [];
  let fits = false;
  for (const line of stderr.split("\n")) {
    const headline = /DirectShow (video|audio) devices/.exec(line);
    if (headline) fits = headline[1] === wanted;
    const device = /\]\s+"(.+)"(?: \((.*)\))?\s*$/.exec(line);
    const unique = /\]\s+Alternative name "(.+)"\s*$/.exec(line);
    if (device) {
      if (device[2] !== undefined) fits = device[2].includes(wanted);
      // `:` separates video from audio in an input, so ffmpeg writes such names with `_`.
      if (fits) found.push({ label: device[1]!, at: device[1]!.replaceAll(":", "_") });
    } else if (unique && fits && found.length > 0) {
      found[found.length - 1] = { ...found.at(-1)!, at: unique[1]! };
    }
  }
  return named(found);
}
