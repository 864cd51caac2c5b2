/** The screens of macOS, by its own programs. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Desktop } from "../../platform.ts";
import { jpegSize, pngSize } from "../picture-size.ts";
import { needFfmpeg, runFfmpeg } from "../ffmpeg.ts";
import { need, runProgram } from "../program.ts";
import { record } from "./ffmpeg.ts";
import { MOST_SCREENS, type Screen, type ScreenSource } from "./source.ts";

const LIST_BYTES = 1_048_576;

export function macScreens(desktop: Desktop): ScreenSource {
  const { env } = desktop;
  return {
    async list(signal) {
      await need(desktop, "screencapture");
      const program = await need(desktop, "system_profiler");
      const args = ["-json", "SPDisplaysDataType"];
      const { stdout } = await runProgram(program, args, { signal, env, most: LIST_BYTES });
      return parseDisplays(Buffer.from(stdout).toString("utf8"));
    },
    async snap({ at }, { format, max_edge_px }, signal) {
      const program = await need(desktop, "screencapture");
      const sips = await need(desktop, "sips");
      // It writes to a file only; the folder is closed to others.
      const folder = await mkdtemp(join(tmpdir(), "kith-screen-"));
      const run = { signal, env, most: 4_096 };
      try {
        const file = join(folder, `screen.${format}`);
        const type = format === "png" ? "png" : "jpg";
        const taken = await runProgram(program, ["-x", "-t", type, "-D", at, file], run);
        const bytes = taken.code === 0 ? await readFile(file).catch(() => undefined) : undefined;
        if (!bytes)
          throw new KithError(
            "os-permission",
            "the screen could not be taken; allow it in System Settings > Privacy & Security > Screen Recording",
          );
        const size = format === "png" ? pngSize(bytes) : jpegSize(bytes);
        // It would enlarge a small one.
        if (!size || Math.max(size.width, size.height) <= max_edge_px) return bytes;
        await runProgram(sips, ["-Z", String(max_edge_px), file], run);
        return await readFile(file);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    async record({ at }, wanted, signal) {
      const program = await needFfmpeg(desktop);
      const ask = ["-hide_banner", "-f", "avfoundation", "-list_devices", "true", "-i", ""];
      const told = await runFfmpeg(program, ask, signal, undefined, env);
      const input = captureInput(told.stderr, Number(at) - 1);
      if (input === undefined)
        throw new KithError("not-ready", "ffmpeg does not offer this screen for capture");
      const args = ["-f", "avfoundation", "-capture_cursor", "0", "-i", `${input}:none`];
      return record(desktop, args, wanted, signal);
    },
  };
}

/** The number of `[2] Capture screen 0` in what ffmpeg lists; it counts screens from 0, the main one first. */
export const captureInput = (told: string, screen: number): string | undefined =>
  [...told.matchAll(/\] \[(\d{1,3})\] Capture screen (\d{1,2})\s*$/gm)].find(
    ([, , nth]) => Number(nth) === screen,
  )?.[1];

const displays = v.object({
  SPDisplaysDataType: v.array(
    v.object({
      spdisplays_ndrvs: v.optional(
        v.array(
          v.object({
            _name: v.optional(v.string(), ""),
            _spdisplays_pixels: v.optional(v.string(), ""),
            spdisplays_main: v.optional(v.string()),
          }),
        ),
        [],
      ),
    }),
  ),
});

/** Reads what system_profiler says of displays. screencapture counts from 1, the main one first. */
export function parseDisplays(told: string): Screen[] {
  let json: unknown;
  try {
    json = JSON.parse(told);
  } catch {
    throw new KithError("driver", "the screens cannot be listed");
  }
  const read = v.safeParse(displays, json);
  if (!read.success) throw new KithError("driver", "the screens cannot be listed");
  return read.output.SPDisplaysDataType.flatMap((card) => card.spdisplays_ndrvs)
    .toSorted((one, other) => Number(isMain(other)) - Number(isMain(one)))
    .slice(0, MOST_SCREENS)
    .map(({ _name, _spdisplays_pixels: pixels }, nth) => {
      const [, width, height] = /^(\d{1,5}) x (\d{1,5})$/.exec(pixels) ?? [];
      const size = width && { width_px: Number(width), height_px: Number(height) };
      const label = tame(_name, 64) || `screen ${nth + 1}`;
      return { id: `screen${nth + 1}`, label, primary: nth === 0, ...size, at: String(nth + 1) };
    });
}

const isMain = ({ spdisplays_main: main }: { spdisplays_main?: string | undefined }): boolean =>
  main === "spdisplays_yes";
