/** Finding cameras: Linux by its files, macOS and Windows by what their ffmpeg prints. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseAvfoundation } from "@kith/node-agent/drivers/camera/ffmpeg-avfoundation";
import { parseDshow } from "@kith/node-agent/drivers/camera/ffmpeg-dshow";
import { v4l2Cameras } from "@kith/node-agent/drivers/camera/ffmpeg-v4l2";
import { expect, test } from "vitest";
import { folder, machine } from "./support.ts";

test("a machine without video devices has no camera, and its probe says so", async () => {
  await using home = await folder();
  const none = v4l2Cameras({ sysfs: join(home.path, "sys"), dev: join(home.path, "dev") });
  expect(await none.list()).toEqual([]);
  expect(await none.probe()).toEqual({ state: "unavailable", reason: "no camera found" });
});

test("only nodes that give pictures are cameras", async () => {
  await using home = await folder();
  await machine(home, "ffmpeg", undefined, [
    "Front Cam",
    "Front Cam",
    "Encoder",
    "World Cam",
    "No Node",
  ]);
  await home.file("sys/video1/index", "1\n"); // the metadata node of the first
  await mkdir(join(home.path, "udev"));
  await home.file("sys/video2/dev", "81:2\n");
  await home.file("udev/c81:2", "E:ID_V4L_VERSION=2\nE:ID_V4L_CAPABILITIES=:video_output:\n");
  await home.file("sys/video3/dev", "81:3\n");
  await home.file("sys/video3/index", "2\n"); // udev knows better than the index
  await home.file("udev/c81:3", "E:ID_V4L_CAPABILITIES=:capture:\n");
  await rm(join(home.path, "dev/video4"));
  const source = v4l2Cameras({
    sysfs: join(home.path, "sys"),
    dev: join(home.path, "dev"),
    udev: join(home.path, "udev"),
  });
  expect(await source.list()).toMatchObject([
    { id: "video0", label: "Front Cam", facing: "front" },
    { id: "video3", label: "World Cam", facing: "back" },
  ]);
});

test("macOS: cameras are read by name, screens and microphones are not cameras", () => {
  const cameras = parseAvfoundation(
    `[AVFoundation indev @ 0x7fee1fe05980] AVFoundation video devices:
[AVFoundation indev @ 0x7fee1fe05980] [0] FaceTime HD Camera (Built-in)
[AVFoundation indev @ 0x7fee1fe05980] [1] USB Camera
[AVFoundation indev @ 0x7fee1fe05980] [2] USB Camera
[AVFoundation indev @ 0x7fee1fe05980] [3] Capture screen 0
[AVFoundation indev @ 0x7fee1fe05980] AVFoundation audio devices:
[AVFoundation indev @ 0x7fee1fe05980] [0] Built-in Microphone
: Input/output error\n`,
  );
  expect(cameras).toEqual([
    {
      id: "FaceTime HD Camera (Built-in)",
      label: "FaceTime HD Camera (Built-in)",
      facing: "front",
      at: "0",
    },
    { id: "USB Camera", label: "USB Camera", facing: "unknown", at: "1" },
    { id: "USB Camera #2", label: "USB Camera", facing: "unknown", at: "2" },
  ]);
});

const unique = String.raw`@device_pnp_\\?\usb#vid_0c45&pid_6448&mi_00#7&2645f9e4&0&0000#{65e8773d}\global`;

test("Windows: cameras are read from the lists of new and old versions of ffmpeg", () => {
  const now = `[dshow @ 000001] "Integrated Webcam" (video)
[dshow @ 000001]   Alternative name "${unique}"
[dshow @ 000001] "screen-capture-recorder" (video)
[dshow @ 000001]   Alternative name "@device_sw_{860BB310}"
[dshow @ 000001] "Capture: card" (audio, video)\r
[dshow @ 000001] "Microphone" (audio)
[dshow @ 000001]   Alternative name "@device_cm_{33D9A762}"
[in#0 @ 000002] Error opening input: Immediate exit requested\n`;
  const old = `[dshow @ 000001] DirectShow video devices (some may be both video and audio devices)
[dshow @ 000001]  "Integrated Webcam"
[dshow @ 000001]     Alternative name "${unique}"
[dshow @ 000001] DirectShow audio devices
[dshow @ 000001]  "Microphone"
[dshow @ 000001]     Alternative name "@device_cm_{33D9A762}"
dummy: Immediate exit requested\n`;
  expect(parseDshow(now)).toEqual([
    { id: "Integrated Webcam", label: "Integrated Webcam", facing: "front", at: unique },
    { id: "Capture: card", label: "Capture: card", facing: "unknown", at: "Capture_ card" },
  ]);
  expect(parseDshow(old)).toMatchObject([{ id: "Integrated Webcam", at: unique }]);
});

test("an ffmpeg built without the system's cameras is a failure, not an empty list", () => {
  expect(() => parseAvfoundation("Unknown input format: 'avfoundation'\n")).toThrow(
    "Unknown input format",
  );
  expect(() => parseDshow("Unknown input format: 'dshow'\n")).toThrow("Unknown input format");
});

test("names of devices lose what could deceive a reader, and stay within the schema", () => {
  const [camera] = parseAvfoundation(
    `AVFoundation video devices:\n[x @ 1] [0] Evil\u202e\u0007${"n".repeat(200)}\n`,
  );
  expect(camera?.id).toMatch(/^Eviln+$/);
  expect(camera!.id.length).toBeLessThanOrEqual(64);
});
