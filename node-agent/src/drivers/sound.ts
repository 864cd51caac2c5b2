/** Where sound comes from and goes to on Linux, as far as it tells without making or taking any. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../platform.ts";
import { isThere } from "./session.ts";

/** A sound server knows its devices, we do not; `alsa` is the kernel's own way. */
export type SoundSystem = "pulse" | "alsa";

/** @throws KithError not-ready, with what to do */
export const soundOutput = (desktop: Desktop, devices?: string): Promise<SoundSystem> =>
  // A name such as pcmC0D3p is an output, one with c at its end an input.
  find(desktop, /^pcmC\d+D\d+p$/, "no sound device found", devices);

/** @throws KithError not-ready, with what to do */
export const soundInput = (desktop: Desktop, devices?: string): Promise<SoundSystem> =>
  find(desktop, /^pcmC\d+D\d+c$/, "no microphone found", devices);

async function find(
  { env }: Desktop,
  pattern: RegExp,
  none: string,
  devices = "/dev/snd",
): Promise<SoundSystem> {
  // Perhaps on another machine.
  if (env["PULSE_SERVER"] !== undefined) return "pulse";
  const session = env["XDG_RUNTIME_DIR"];
  if (session !== undefined && (await isThere(join(session, "pulse/native")))) return "pulse";
  // No such folder: a kernel without sound.
  const names = await readdir(devices).catch(() => []);
  if (names.some((name) => pattern.test(name))) return "alsa";
  throw new KithError(
    "not-ready",
    `${none}; connect one, or start this program inside the desktop session`,
  );
}
