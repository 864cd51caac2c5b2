/** The only place of the gateway that knows operating systems: paths, modes, folders. */
import { chmodSync, existsSync, mkdirSync, statSync } from "node:fs";
import { homedir, platform, userInfo } from "node:os";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import { KithError } from "@kith/shared/errors";

export const windows = platform() === "win32";

/** Linux shows an open file as `/proc/self/fd/N`; workspace/workspace.ts builds on that. */
export const hasProcFd = platform() === "linux";

export const defaultHome = (): string => join(homedir(), ".kith");

/** Name of the control socket, relative to the home: an absolute one may be too long. */
export function controlPath(home: string): string {
  return windows
    ? `\\\\.\\pipe\\kith-${Buffer.from(resolve(home)).toString("hex").slice(-64)}-control.sock`
    : "control.sock";
}

/** What a skill may need of this machine; see skills/requires.ts. */
export const surroundings = {
  os: platform(),
  program: (name: string): boolean =>
    /^[\w.+-]{1,128}$/.test(name) &&
    (process.env["PATH"] ?? "").split(delimiter).some((folder) => existsSync(join(folder, name))),
  variable: (name: string): boolean => Object.hasOwn(process.env, name),
};

/**
 * Makes a private folder, or checks that an existing one is.
 * @throws KithError home-unsafe when others may write to it
 */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (windows) return;
  const { mode, uid } = statSync(path);
  if (uid !== userInfo().uid && userInfo().uid !== 0)
    throw new KithError("home-unsafe", `${path} belongs to somebody else`);
  if ((mode & 0o022) !== 0) throw new KithError("home-unsafe", `others may write to ${path}`);
  if ((mode & 0o077) !== 0) chmodSync(path, 0o700);
}
