/**
 * A short film by ffmpeg, without sound: into a file that only this user can see and that is gone
 * once it was opened, so that nothing stays on the device.
 */
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FILM_BYTES } from "@kith/shared/capabilities/film";
import { KithError } from "@kith/shared/errors";
import { bare, fit } from "./ffmpeg.ts";
import type { Tools } from "./driver.ts";
import type { Ran } from "./program.ts";

export interface Film {
  readonly seconds: number;
  readonly max_edge_px: number;
}

/** An open file, for `tools.stream`. */
export interface Filmed {
  readonly file: FileHandle;
  readonly size: number;
}

/** Gives a film to the agent, which closes it; where that refuses it, it is closed here. */
export async function hand({ file, size }: Filmed, tools: Tools): Promise<void> {
  try {
    tools.stream("video", "video/mp4", { file, size });
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What every player shows; where ffmpeg was built without it, what every ffmpeg has. */
const ENCODERS = [
  ["-c:v", "libx264", "-preset", "veryfast", "-crf", "26"],
  ["-c:v", "mpeg4", "-q:v", "5"],
] as const;
/** ffmpeg looks at the size after it has written: room for what it then still writes. */
const ENDS_BYTES = FILM_BYTES - 4 * 1_048_576;
const NO_ENCODER = /unknown encoder/i;

/**
 * `run` starts ffmpeg with these arguments after those that open the source; `failure` says what
 * its words mean. The caller closes the file. @throws KithError
 */
export async function film(
  { seconds, max_edge_px }: Film,
  run: (args: readonly string[]) => Promise<Ran>,
  failure: (stderr: string) => KithError,
): Promise<Filmed> {
  const folder = await mkdtemp(join(tmpdir(), "kith-film-"));
  try {
    const path = join(folder, "film.mp4");
    // Encoders want even sizes. Metadata can travel with a frame.
    const filter = `${fit(max_edge_px)}:force_divisible_by=2,sidedata=mode=delete`;
    const shape = ["-an", "-vf", filter, "-pix_fmt", "yuv420p", ...bare];
    const ends = ["-t", String(seconds), "-fs", String(ENDS_BYTES), "-movflags", "+faststart"];
    let said = "";
    for (const encoder of ENCODERS) {
      const ran = await run([...shape, ...encoder, ...ends, "-f", "mp4", "-y", path]);
      const file = ran.code === 0 ? await open(path, "r").catch(() => undefined) : undefined;
      const size = (await file?.stat())?.size ?? 0;
      if (file && size > 0) return { file, size };
      await file?.close();
      said = ran.stderr;
      if (!NO_ENCODER.test(said)) break;
    }
    throw failure(said);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
