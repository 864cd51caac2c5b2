/** The catalogue: every capability both ends know by name. Anything else starts with `x.`. */
import { audioPlay, audioRecord } from "./audio.ts";
import { cameraClip, cameraList, cameraSnap } from "./camera.ts";
import type { Capability } from "./capability.ts";
import { clipboardRead, clipboardWrite } from "./clipboard.ts";
import { deviceInfo, deviceStatus } from "./device.ts";
import { filesList, filesRead, filesStat, filesWrite } from "./files.ts";
import { shellOpen, shellRun } from "./shell.ts";
import { locationGet } from "./location.ts";
import { notifyShow } from "./notify.ts";
import { screenList, screenRecord, screenSnap } from "./screen.ts";
import { speechSay } from "./speech.ts";
import { urlOpen } from "./url.ts";

export const catalogue: ReadonlyMap<string, Capability> = new Map(
  [
    ...[audioRecord, audioPlay],
    ...[cameraList, cameraSnap, cameraClip],
    ...[clipboardRead, clipboardWrite],
    ...[deviceInfo, deviceStatus],
    ...[filesList, filesStat, filesRead, filesWrite],
    ...[locationGet, notifyShow],
    ...[screenList, screenSnap, screenRecord],
    ...[shellOpen, shellRun, speechSay, urlOpen],
  ].map((capability) => [
    capability.name,
    // Each keeps its exact types where it is used; the table needs only the common shape.
    capability as unknown as Capability,
  ]),
);
