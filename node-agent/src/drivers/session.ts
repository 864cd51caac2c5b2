/** A desktop session of Linux: is there one at all, and does it have a message bus? */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../platform.ts";

/** @throws KithError not-ready, with what to do */
export async function sessionBus({ env }: Desktop): Promise<void> {
  if (env["DBUS_SESSION_BUS_ADDRESS"] !== undefined) return;
  // Where a bus lies that nobody named.
  const folder = env["XDG_RUNTIME_DIR"];
  const there = folder !== undefined && (await isThere(join(folder, "bus")));
  if (there) return;
  throw noSession("message bus");
}

/** What to say where the agent runs as a service, or in a terminal from elsewhere. */
export const noSession = (missing: string): KithError =>
  new KithError(
    "not-ready",
    `no ${missing}: this program runs outside a desktop session; start it in a terminal of the desktop`,
  );

/** A file, a socket or a folder of that name. */
export const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
