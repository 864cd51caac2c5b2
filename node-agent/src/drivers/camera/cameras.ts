/** The cameras of this machine as capabilities, whatever families they come from. */
import { cameraClip, cameraList, cameraSnap } from "@kith/shared/capabilities/camera";
import type { ArgsOf } from "@kith/shared/capabilities/capability";
import { filmTtlMs } from "@kith/shared/capabilities/film";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { osName } from "../../platform.ts";
import type { Driver, Probe } from "../driver.ts";
import { avfoundationCameras } from "./ffmpeg-avfoundation.ts";
import { dshowCameras } from "./ffmpeg-dshow.ts";
import { v4l2Cameras } from "./ffmpeg-v4l2.ts";
import { hand } from "../film.ts";
import { jpegSize } from "../picture-size.ts";
import { type Camera, type CameraSource, listed, MOST_CAMERAS, why } from "./source.ts";
import { TEST_PATTERN, testPattern } from "./test-pattern.ts";

/**
 * The cameras a person named (`--camera NAME`, as in camera.list). Nothing named: the real ones,
 * all of them. The test pattern is there only when named, and then nothing else is that was not.
 */
export function cameraSources(
  names: readonly string[],
  real: CameraSource = systemCameras(),
): CameraSource[] {
  const ids = names.filter((name) => name !== TEST_PATTERN);
  const pattern = names.length > ids.length ? [testPattern()] : [];
  if (ids.length === 0) return pattern.length > 0 ? pattern : [real];
  return [only(ids, real), ...pattern];
}

function systemCameras(): CameraSource {
  const os = osName();
  return os === "macos" ? avfoundationCameras() : os === "windows" ? dshowCameras() : v4l2Cameras();
}

/** A source reduced to the cameras with these ids. */
function only(ids: readonly string[], source: CameraSource): CameraSource {
  return {
    list: async (signal) => (await source.list(signal)).filter(({ id }) => ids.includes(id)),
    async probe() {
      const { devices = [], ...probe } = await source.probe();
      const left = devices.filter(({ id }) => ids.includes(id));
      if (probe.state !== "ready" || left.length > 0) return { ...probe, devices: left };
      return { state: "unavailable", reason: tame(`no camera named ${ids.join(", ")} found`, 160) };
    },
    snap: (camera, maxEdge, signal) => source.snap(camera, maxEdge, signal),
    ...("clip" in source && {
      clip: (...wanted: Parameters<NonNullable<CameraSource["clip"]>>) => source.clip!(...wanted),
    }),
  };
}

type Found = { readonly camera: Camera; readonly source: CameraSource };

/** The drivers over these sources, in this order. */
export function cameras({
  sources,
  clock = systemClock,
}: {
  sources: readonly CameraSource[];
  clock?: Clock;
}): {
  list: Driver<typeof cameraList>;
  snap: Driver<typeof cameraSnap>;
  clip: Driver<typeof cameraClip>;
} {
  /** One source that cannot look does not hide the cameras of another. */
  async function find(signal?: AbortSignal): Promise<Found[]> {
    const looks = sources.map(async (source) =>
      (await source.list(signal)).map((camera) => ({ camera, source })),
    );
    const results = await Promise.allSettled(looks);
    const found = results.flatMap((look) => (look.status === "fulfilled" ? look.value : []));
    const failed = results.find((look) => look.status === "rejected");
    if (found.length === 0 && failed) throw failed.reason;
    return found.slice(0, MOST_CAMERAS);
  }

  async function probe(): Promise<Probe> {
    const probes = await Promise.all(sources.map((source) => source.probe()));
    const devices = probes.flatMap((one) => one.devices ?? []).slice(0, MOST_CAMERAS);
    const best = probes.find(({ state }) => state === "ready") ?? probes[0];
    return { ...(best ?? { state: "unavailable", reason: "no camera found" }), devices };
  }

  return {
    list: {
      capability: cameraList,
      parallel: 2,
      maxMs: 10_000,
      // A list without a camera is an answer too; only one that cannot be made is missing.
      probe: () =>
        find().then(
          (found) => ({ state: "ready", devices: found.map(({ camera }) => listed(camera)) }),
          (thrown: unknown) => ({ state: "unavailable", reason: why(thrown) }),
        ),
      run: async (_args, tools) => ({
        cameras: (await find(tools.signal)).map(({ camera }) => listed(camera)),
      }),
    },
    snap: {
      capability: cameraSnap,
      // A camera serves one program at a time.
      parallel: 1,
      maxMs: 15_000,
      probe,
      async run(args, tools) {
        const { camera, source } = choose(await find(tools.signal), args);
        await tools.notice(`photo: ${camera.label}`);
        const { bytes, takenAtMs } = await source.snap(camera, args.max_edge_px, tools.signal);
        const size = jpegSize(bytes);
        if (!size) throw new KithError("driver", "the camera's answer is not a JPEG");
        tools.stream("image", "image/jpeg", { bytes });
        return {
          taken_at_ms: takenAtMs,
          camera: camera.id,
          width_px: size.width,
          height_px: size.height,
        };
      },
    },
    clip: {
      capability: cameraClip,
      parallel: 1,
      maxMs: filmTtlMs,
      probe: async () => {
        const filming = sources.some((source) => "clip" in source);
        return filming
          ? probe()
          : { state: "unavailable", reason: "the test pattern makes no films" };
      },
      async run({ camera: id, facing, ...wanted }, tools) {
        const { camera, source } = choose(await find(tools.signal), { camera: id, facing });
        if (!source.clip) throw new KithError("not-ready", "this camera makes no films");
        await tools.notice(`film: ${camera.label}`);
        const takenAtMs = clock.now();
        const filmed = await source.clip(camera, wanted, tools.signal);
        await hand(filmed, tools);
        return { taken_at_ms: takenAtMs, camera: camera.id, seconds: wanted.seconds };
      },
    },
  };
}

/**
 * By id; else by where it looks; else the first. A camera of unknown direction may serve for
 * either (a webcam looks where it was put), one that is known to look the other way never.
 */
function choose(
  found: readonly Found[],
  { camera: id, facing }: Pick<ArgsOf<typeof cameraSnap>, "camera" | "facing">,
): Found {
  const looks = (...ways: readonly string[]) =>
    found.find(({ camera }) => ways.includes(camera.facing));
  const chosen =
    id !== undefined
      ? found.find(({ camera }) => camera.id === id)
      : facing === "any"
        ? found[0]
        : (looks(facing) ?? looks("unknown", "external"));
  if (chosen) return chosen;
  throw new KithError(
    "no-camera",
    found.length === 0 ? "no camera found" : "no such camera on this device",
  );
}
