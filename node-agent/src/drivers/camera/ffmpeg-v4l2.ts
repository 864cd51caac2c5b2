import { access, constants, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { cameraPermission } from "../../platform.ts";
import { type Family, type Ffmpeg, ffmpegSource } from "./ffmpeg.ts";
import { type Camera, type CameraSource, facingOf, MOST_CAMERAS } from "./source.ts";

/** Where Linux keeps what we read; a test passes folders and a source of its own. */
export interface V4l2 extends Ffmpeg {
  readonly sysfs?: string;
  readonly dev?: string;
  readonly udev?: string;
  readonly inputs?: Family["inputs"];
}

/** Cameras of Linux, found without v4l2-ctl. An id is the node's name: `video0`. */
export function v4l2Cameras(options: V4l2 = {}): CameraSource {
  const { sysfs = "/sys/class/video4linux", dev = "/dev", udev = "/run/udev/data" } = options;
  const field = async (path: string) => (await readFile(path, "utf8").catch(() => "")).trim();

  /** One camera has several nodes (metadata, codecs); pictures come from few of them. */
  async function captures(node: string): Promise<boolean> {
    // udev's v4l_id has asked the driver; without udev the first node of a device is the one.
    const asked = await field(join(udev, `c${await field(join(sysfs, node, "dev"))}`));
    const told = /^E:ID_V4L_CAPABILITIES=(.*)$/m.exec(asked);
    return told
      ? told[1]!.includes(":capture:")
      : (await field(join(sysfs, node, "index"))) === "0";
  }

  const list = async () => {
    // No such folder: a machine without video devices.
    const nodes = (await readdir(sysfs).catch(() => [])).filter((node) =>
      /^video\d{1,3}$/.test(node),
    );
    const cameras: Camera[] = [];
    for (const node of nodes.toSorted((a, b) => Number(a.slice(5)) - Number(b.slice(5)))) {
      const at = join(dev, node);
      const there = await access(at).then(
        () => true,
        () => false,
      );
      if (!there || !(await captures(node))) continue;
      const label = tame(await field(join(sysfs, node, "name")), 64) || node;
      cameras.push({ id: node, label, facing: facingOf(label), at });
    }
    return cameras.slice(0, MOST_CAMERAS);
  };

  const check = async ({ at }: Camera) => {
    await access(at, constants.R_OK | constants.W_OK).catch(() => {
      throw new KithError("os-permission", `no permission for the camera; ${cameraPermission()}`);
    });
  };

  return ffmpegSource({ list, check, inputs: options.inputs ?? inputs }, options);
}

/**
 * The driver turns a size into the nearest it has. Raw video in full size is slow over USB 2
 * (5 frames a second), so motion JPEG is asked for first.
 */
function inputs({ at }: Camera, maxEdge: number): string[][] {
  const size =
    maxEdge <= 640
      ? "640x480"
      : maxEdge <= 1_280
        ? "1280x720"
        : maxEdge <= 1_920
          ? "1920x1080"
          : "3840x2160";
  const open = ["-f", "v4l2", "-video_size", size];
  return [
    [...open, "-input_format", "mjpeg", "-i", at],
    [...open, "-i", at],
  ];
}
