/**
 * ffmpeg as every family of cameras uses it: one process, one picture, nothing left behind.
 *
 *   list ─► choose ─► inputs, best first ─► ffmpeg ─► tenth frame, scaled, bare JPEG on stdout
 *                                             └─────► what it says on stderr becomes a code
 */
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { cameraPermission, endGroup, installLine, startGroup } from "../../platform.ts";
import { type Camera, type CameraSource, listed, why } from "./source.ts";

/** Bytes of one picture; as in the capability. */
const STDOUT_BYTES = 32 * 1_048_576;
/** Characters of stderr that are kept, the last ones: room for any list of devices. */
const STDERR_CHARS = 65_536;
/** A device listing or a version takes a fraction of a second; a hanging driver takes for ever. */
const LOOK_MS = 8_000;
/** A process stuck inside the kernel survives even SIGKILL; nobody waits longer for it. */
const GRACE_MS = 2_000;

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
  };
}

const quiet = ["-hide_banner", "-nostdin", "-v", "error"];

function picture(maxEdge: number): string[] {
  const filter = [
    // Most webcams give dark frames while exposure settles, so keep the tenth.
    "select='gte(n,9)'",
    `scale='min(${maxEdge},iw)':'min(${maxEdge},ih)':force_original_aspect_ratio=decrease`,
    // Metadata can travel with a frame (EXIF, of some cameras the place).
    "sidedata=mode=delete",
  ];
  const bare = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"];
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
  // Without `[video4linux2,v4l2 @ 0x5581] ` in front.
  const last = /(?:\[[^\]\n]*\]\s*)*(.*)$/.exec(stderr.trimEnd().split("\n").at(-1) ?? "")?.[1];
  return new KithError("driver", `ffmpeg gave no picture${last && `: ${tame(last, 120)}`}`);
}

/** No such program, or none that can be run. */
const MISSING: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "EACCES"]);

export interface Ran {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: Uint8Array;
  /** The end of it, when it was long. */
  readonly stderr: string;
}

/**
 * Runs ffmpeg to its end, however it ends. When this settles, the process and all it started
 * are gone. @throws KithError ffmpeg-missing, too-big (stdout), timeout or cancelled (signal)
 */
export async function runFfmpeg(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
  clock = systemClock,
): Promise<Ran> {
  if (signal.aborted) throw stopped(signal);
  const child = startGroup(program, args);
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const chunks: Buffer[] = [];
  let [size, stderr] = [0, ""];
  let failure: KithError | undefined;
  let giveUp = () => {};

  const end = (why: KithError) => {
    if (failure) return;
    failure = why;
    endGroup(child);
    giveUp = clock.after(GRACE_MS, () => {
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      reject(why);
    });
  };
  const abort = () => end(stopped(signal));
  signal.addEventListener("abort", abort, { once: true });

  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > STDOUT_BYTES) end(new KithError("too-big", "the picture is larger than 32 MiB"));
    else chunks.push(chunk);
  });
  child.stderr
    .setEncoding("utf8")
    .on("data", (words: string) => (stderr = (stderr + words).slice(-STDERR_CHARS)));
  child.on("error", reject);
  // Whatever it left running would keep the pipes open.
  child.on("exit", () => endGroup(child));
  child.on("close", (code) =>
    failure ? reject(failure) : resolve({ code, stdout: Buffer.concat(chunks), stderr }),
  );

  try {
    return await promise;
  } catch (thrown) {
    if (thrown instanceof KithError) throw thrown;
    const cause = { cause: thrown };
    if (!(thrown instanceof Error && "code" in thrown && MISSING.has(thrown.code)))
      throw new KithError("driver", "ffmpeg could not be started", cause);
    throw new KithError("ffmpeg-missing", `ffmpeg was not found; ${await installLine()}`, cause);
  } finally {
    giveUp();
    signal.removeEventListener("abort", abort);
  }
}

/** The agent may say why it stops; a plain abort is a wish, a timeout is one too. */
function stopped(signal: AbortSignal): KithError {
  if (signal.reason instanceof KithError) return signal.reason;
  const late = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  return late
    ? new KithError("timeout", "the camera did not answer in time")
    : new KithError("cancelled", "stopped on request");
}
