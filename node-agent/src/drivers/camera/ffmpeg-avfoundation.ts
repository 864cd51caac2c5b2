import { runFfmpeg } from "../ffmpeg.ts";
import { failureOf, type Ffmpeg, ffmpegSource } from "./ffmpeg.ts";
import { type Camera, type CameraSource, named } from "./source.ts";

/** Cameras of macOS. An id is the camera's name, because an index moves when one is plugged in. */
export function avfoundationCameras(options: Ffmpeg = {}): CameraSource {
  const { program = "ffmpeg" } = options;
  const ask = ["-hide_banner", "-f", "avfoundation", "-list_devices", "true", "-i", ""];
  return ffmpegSource(
    {
      // It always ends with an error: there is no input named "".
      list: async (signal) => parseAvfoundation((await runFfmpeg(program, ask, signal)).stderr),
      inputs: ({ at }) =>
        // The default of 29.97 frames a second is refused by many; 30 by some; the last takes what comes.
        [["-framerate", "30"], ["-framerate", "15"], []].map((rate) => [
          "-f",
          "avfoundation",
          "-pixel_format",
          "uyvy422",
          ...rate,
          "-i",
          `${at}:none`,
        ]),
    },
    options,
  );
}

/** Reads `[AVFoundation indev @ 0x7f] [0] FaceTime HD Camera`, up to the audio devices. */
export function parseAvfoundation(stderr: string): Camera[] {
  const [head, video] = stderr.split(/AVFoundation video devices:/);
  if (video === undefined) throw failureOf(head ?? "");
  const rows = video.split(/AVFoundation audio devices:/)[0]!.matchAll(/\] \[(\d{1,3})\] (.+)$/gm);
  return named([...rows].map(([, at = "", label = ""]) => ({ at, label })));
}
