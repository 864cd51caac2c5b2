/**
 * The only file of the node agent that tells operating systems apart: their names, what to
 * install and to allow, power, and how a child is started and ended. All others ask here.
 */
import { type ChildProcess, type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { KithError } from "@kith/shared/errors";
import type { kinds } from "@kith/shared/protocol/session";

type System = NodeJS.Platform;
const here: System = process.platform;

/** The system as people say it: `linux`, `macos`, `windows`, `android`, else Node's own name. */
export function osName(system: System = here): string {
  return system === "darwin" ? "macos" : system === "win32" ? "windows" : system;
}

/** Linux (and Termux) show an open file as `/proc/self/fd/N`; `files/read.ts` builds on that. */
export const hasProcFd = here === "linux" || here === "android";

/** Windows gives some file names a meaning of their own (devices, streams). */
export const hasMagicNames = here === "win32";

/** A small text of the system, or undefined where it does not exist. */
const text = (path: string) =>
  readFile(path, "utf8").then(
    (content) => content.trim(),
    // Not there, or not for us: what cannot be read is unknown, never an error.
    () => undefined,
  );

const onLinux: readonly (readonly [RegExp, string])[] = [
  [/\b(debian|ubuntu|raspbian)\b/, "sudo apt install ffmpeg"],
  [/\b(fedora|rhel|centos)\b/, "sudo dnf install ffmpeg-free"],
  [/\barch\b/, "sudo pacman -S ffmpeg"],
  [/\balpine\b/, "sudo apk add ffmpeg"],
];

/** How ffmpeg gets onto this machine, as a line to type. */
export async function installLine(
  system: System = here,
  release = "/etc/os-release",
): Promise<string> {
  if (system === "darwin") return "brew install ffmpeg";
  if (system === "win32") return "winget install Gyan.FFmpeg";
  if (system === "android") return "pkg install ffmpeg";
  const names = ((await text(release)) ?? "").match(/^ID(_LIKE)?=.*$/gm)?.join(" ") ?? "";
  const known = onLinux.find(([name]) => name.test(names));
  return known?.[1] ?? "install ffmpeg with the system's package manager";
}

/** What to do when the system keeps this program from the camera; at most 100 bytes. */
export function cameraPermission(system: System = here): string {
  if (system === "darwin") return "allow it in System Settings > Privacy & Security > Camera";
  if (system === "win32") return "allow desktop apps in Settings > Privacy & security > Camera";
  return "join the group of the camera (`sudo usermod -aG video $USER`) and log in again";
}

export interface Battery {
  /** 0 to 100. */
  readonly percent: number;
  readonly charging: boolean;
}

/** The machine's own battery; undefined where there is none, and on Windows, where nobody asks yet. */
export async function battery(
  system: System = here,
  sys = "/sys",
  pmset = "/usr/bin/pmset",
): Promise<Battery | undefined> {
  if (system === "darwin") {
    const options = { env: childEnvironment(), timeout: 3_000, maxBuffer: 16_384 };
    // No pmset or no answer: the battery is unknown.
    const told = await promisify(execFile)(pmset, ["-g", "batt"], options).catch(() => undefined);
    const found = /InternalBattery.*?(\d{1,3})%; ([a-z ]+);/.exec(told?.stdout ?? "");
    if (!found) return undefined;
    return {
      percent: Math.min(100, Number(found[1])),
      charging: /^(charging|finishing)/.test(found[2] ?? ""),
    };
  }
  const supplies = join(sys, "class/power_supply");
  for (const name of (await readdir(supplies).catch(() => [])).slice(0, 32)) {
    const read = (field: string) => text(join(supplies, name, field));
    // A mouse or a pen has a battery too: its scope is `Device`.
    if ((await read("type")) !== "Battery" || (await read("scope")) === "Device") continue;
    const capacity = await read("capacity");
    if (!capacity || !/^\d{1,3}$/.test(capacity)) continue;
    return {
      percent: Math.min(100, Number(capacity)),
      charging: (await read("status")) === "Charging",
    };
  }
  return undefined;
}

/** What sort of machine this seems to be; a person may say otherwise at pairing. */
export async function kindGuess(
  system: System = here,
  env: NodeJS.ProcessEnv = process.env,
  sys = "/sys",
): Promise<(typeof kinds)[number]> {
  if (system === "android") return "phone";
  if (await battery(system, sys)) return "laptop";
  if (system !== "linux" || env["DISPLAY"] || env["WAYLAND_DISPLAY"]) return "desktop";
  // A service has no DISPLAY, so ask the graphics card whether a screen is plugged in.
  const outputs = join(sys, "class/drm");
  for (const name of (await readdir(outputs).catch(() => [])).slice(0, 64))
    if ((await text(join(outputs, name, "status"))) === "connected") return "desktop";
  return "server";
}

const posixNames = ["PATH", "HOME", "LANG", "TERM", "TMPDIR"];
const windowsNames = ["Path", "PATH", "SystemRoot", "USERPROFILE", "TEMP", "TMP"];

/** All that a child may know of our environment: a fixed list, so a planted name never gets through. */
export function childEnvironment(
  from: NodeJS.ProcessEnv = process.env,
  system: System = here,
): Record<string, string> {
  const names = system === "win32" ? windowsNames : posixNames;
  return Object.fromEntries(
    names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])),
  );
}

/** The system's all-powerful user: what holds others in does not hold it. */
export const runsAsRoot = () => process.geteuid?.() === 0;

export type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Starts a program in a process group of its own, without stdin, speaking English. */
export function startGroup(program: string, args: readonly string[]): Child {
  return spawn(program, args, {
    // On Windows `detached` means a console window; its tree is ended by taskkill instead.
    detached: here !== "win32",
    env: { ...childEnvironment(), LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
  });
}

/** Node closes what it opened by itself when a child starts; what it was given at its own start may stay open. */
const CLOSE_ON_EXEC = 0o2000000;
/** More than anybody passes on. */
const MOST_INHERITED = 4_096;

/** The descriptors that a child would inherit from us, unasked. */
function inherited(folder = "/proc/self/fdinfo"): Set<number> {
  const found = new Set<number>();
  if (!hasProcFd) return found;
  for (const name of readdirSync(folder)) {
    try {
      const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(join(folder, name), "utf8"))?.[1];
      if ((Number.parseInt(flags ?? "0", 8) & CLOSE_ON_EXEC) === 0) found.add(Number(name));
    } catch {
      // It was closed meanwhile, as the one that lists this folder always is.
    }
  }
  return found;
}

/**
 * Starts a program in a process group of its own with pipes at 0, 1, 2 and `extra` more from 3 on.
 * It knows nothing of our environment but the PATH. Other descriptors that it would inherit lead to
 * nothing (/dev/null), since nobody can close them for it. Listen to it before anything is awaited.
 * @throws KithError not-ready
 */
export function startPiped(
  program: string,
  args: readonly string[],
  { extra, ...as }: { readonly extra: number; readonly uid?: number; readonly gid?: number },
): ChildProcess {
  const given = inherited();
  const most = Math.max(2 + extra, ...given);
  if (most > MOST_INHERITED)
    throw new KithError("not-ready", "the agent has open files that a command would see");
  const nothing = openSync("/dev/null", "r");
  try {
    const stdio = Array.from({ length: most + 1 }, (_, at) =>
      at < 3 + extra ? "pipe" : given.has(at) ? nothing : "ignore",
    );
    const { PATH = "/usr/bin:/bin" } = childEnvironment();
    return spawn(program, args, { detached: true, env: { PATH, LC_ALL: "C" }, stdio, ...as });
  } finally {
    closeSync(nothing);
  }
}

/** Asks a process group to end; `child` is whoever waits for its leader. The same caution as below. */
export function terminate(child: ChildProcess, group: number): void {
  if (child.exitCode !== null || child.signalCode !== null || group < 2) return;
  try {
    process.kill(-group, "SIGTERM");
  } catch {
    // ESRCH: gone already, or not a group yet. SIGKILL follows.
  }
}

/**
 * Ends a child and all that it started. Call it while the child runs or in its `exit` handler,
 * never later: afterwards the number may belong to somebody else.
 */
export function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  if (here !== "win32") {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // ESRCH: all of it is gone already, which is what we want.
    }
  } else if (child.exitCode === null && child.signalCode === null) {
    const taskkill = join(process.env["SystemRoot"] ?? "C:\\Windows", "System32", "taskkill.exe");
    const killer = spawn(taskkill, ["/T", "/F", "/PID", String(child.pid)], {
      stdio: "ignore",
      windowsHide: true,
    });
    killer.on("error", () => child.kill("SIGKILL"));
  }
}
