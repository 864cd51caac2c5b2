/** Whether a sound that is made here can be heard at all, as far as Linux tells without making one. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import { isThere } from "../session.ts";

/** @throws KithError not-ready, with what to do */
export async function soundOutput({ env }: Desktop, devices = "/dev/snd"): Promise<void> {
  // A sound server, perhaps on another machine: it knows its devices, we do not.
  if (env["PULSE_SERVER"] !== undefined) return;
  const session = env["XDG_RUNTIME_DIR"];
  if (session !== undefined && (await isThere(join(session, "pulse/native")))) return;
  // No such folder: a kernel without sound. A name such as pcmC0D3p is an output.
  const names = await readdir(devices).catch(() => []);
  if (names.some((name) => /^pcmC\d+D\d+p$/.test(name))) return;
  throw new KithError(
    "not-ready",
    "no sound device found; connect one, or start this program inside the desktop session",
  );
}
