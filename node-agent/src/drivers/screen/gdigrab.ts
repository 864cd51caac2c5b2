/** The screens of Windows by ffmpeg: all of them as one picture, as they are laid out. */
import type { Desktop } from "../../platform.ts";
import { needFfmpeg } from "../ffmpeg.ts";
import { grab, record } from "./ffmpeg.ts";
import { ALL, type ScreenSource } from "./source.ts";

const WHOLE = ["-f", "gdigrab", "-draw_mouse", "0", "-i", "desktop"];

export function windowsScreens(desktop: Desktop): ScreenSource {
  return {
    async list() {
      await needFfmpeg(desktop);
      // Sizes and places are told in units that depend on each program's idea of scaling, so
      // a single monitor could be cut wrongly.
      return [{ id: ALL, label: "all screens", primary: true, at: "" }];
    },
    snap: (_screen, wanted, signal) => grab(desktop, WHOLE, wanted, signal),
    record: (_screen, wanted, signal) => record(desktop, WHOLE, wanted, signal),
  };
}
