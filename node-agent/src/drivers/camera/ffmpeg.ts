/**
 * ffmpeg as every family of cameras uses it: one process, one picture, nothing left behind.
 *
 *   list ─► choose ─► inputs, best first ─► ffmpeg ─► tenth frame, scaled, bare JPEG on stdout
 *                                             └─────► what it says on stderr becomes a code
 */
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { cameraPermission } from "../../platform.ts";
import { bare, fit, lastWords, quiet, runFfmpeg } from "../ffmpeg.ts";
import { film } from "../film.ts";
import { type Camera, type CameraSource, listed, why } from "./source.ts";

/** A device listing or a version takes a fraction of a second; a hanging driver takes for ever. */
const LOOK_MS = 8_000;

/** How one system's cameras are listed and opened. */
export interface Family {
  list(signal: AbortSignal): Promise<readonly Camera[]>;
  /** Arguments that open a camera, best first: the next is for cameras that cannot do the format. */
  inputs(camera: Camera, maxEdge: number): readonly (readonly string[])[];
  /** May this program use it? @throws KithError os-permission */
  check?(camera: Camera): Promise<void>;
}

/** How this program is called, and a clock; a test passes a stand-in script. */
export interface Ffmpeg {
  readonly program?: string;
  readonly clock?: Clock;
}

/** Cameras of a family, photographed by ffmpeg. */
export function ffmpegSource(
  family: Family,
  { program = "ffmpeg", clock = systemClock }: Ffmpeg = {},
): CameraSource {
  const list = (signal = AbortSignal.timeout(LOOK_MS)) => family.list(signal);
  return {
    list,
    async probe() {
      let devices: ReturnType<typeof listed>[] = [];
      try {
        const cameras = await list();
        devices = cameras.map(listed);
        if (!cameras[0]) return { state: "unavailable", reason: "no camera found" };
        await runFfmpeg(program, ["-version"], AbortSignal.timeout(LOOK_MS), clock);
        await family.check?.(cameras[0]);
        return { state: "ready", devices };
      } catch (thrown) {
        const closed = thrown instanceof KithError && thrown.code === "os-permission";
        return { state: closed ? "needs-permission" : "unavailable", reason: why(thrown), devices };
      }
    },
    async snap(camera, maxEdge, signal) {
      let said = "";
      for (const input of family.inputs(camera, maxEdge)) {
        const args = [...quiet, ...input, ...picture(maxEdge)];
        const ran = await runFfmpeg(program, args, signal, clock);
        if (ran.code === 0 && ran.stdout.length > 0)
          return { bytes: ran.stdout, takenAtMs: clock.now() };
        said = ran.stderr;
        if (!OTHER_FORMAT.test(said)) break;
      }
      throw failureOf(said);
    },
    clip: (camera, wanted, signal) =>
      film(
        wanted,
        async (args) => {
          for (const input of family.inputs(camera, wanted.max_edge_px)) {
            const ran = await runFfmpeg(program, [...quiet, ...input, ...args], signal, clock);
            if (ran.code === 0 || !OTHER_FORMAT.test(ran.stderr)) return ran;
          }
          throw new KithError("driver", "the camera has no format that fits");
        },
        failureOf,
      ),
  };
}

function picture(maxEdge: number): string[] {
  const filter = [
    // Most webcams give dark frames while exposure settles, so keep the tenth.
    "select='gte(n,9)'",
    fit(maxEdge),
    // Metadata can travel with a frame (EXIF, of some cameras the place).
    "sidedata=mode=delete",
  ];
  const jpeg = ["-pix_fmt", "yuvj420p", "-q:v", "3", "-f", "mjpeg"];
  return ["-an", "-vf", filter.join(","), "-frames:v", "1", ...bare, ...jpeg, "pipe:1"];
}

const OTHER_FORMAT =
  /cannot find a proper format|is not supported by the device|could not set video options/i;

const meanings = [
  [
    "camera-busy",
    /resource busy|already in use|in use by another/i,
    "another program uses the camera",
  ],
  [
    "os-permission",
    // The last one is how macOS says it: the camera exists and may not be opened.
    /permission denied|operation not permitted|access is denied|not authorized|cannot use /i,
    `the system does not let this program use the camera; ${cameraPermission()}`,
  ],
  [
    "no-camera",
    /no such (file|device)|could not find video device|video device.* not found|could not enumerate video devices|invalid device index/i,
    "the camera is not there any more",
  ],
] as const;

/** What ffmpeg meant. Its words are for English; `startGroup` sees to that. */
export function failureOf(stderr: string): KithError {
  for (const [code, words, message] of meanings)
    if (words.test(stderr)) return new KithError(code, message);
  return new KithError("driver", `ffmpeg gave no picture${lastWords(stderr)}`);
}
