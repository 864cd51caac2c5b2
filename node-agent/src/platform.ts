/**
 * The only file of the node agent that tells operating systems apart: their names, what to
 * install and to allow, power, and how a child is started and ended. All others ask here.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { access, constants, readdir, readFile, stat } from "node:fs/promises";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { basename, delimiter, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { KithError } from "@kith/shared/errors";
import type { kinds } from "@kith/shared/protocol/session";
import { isTailnet } from "@kith/shared/tailnet/address";

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

const onLinux = [
  [/\b(debian|ubuntu|raspbian)\b/, "apt", "sudo apt install"],
  [/\b(fedora|rhel|centos)\b/, "dnf", "sudo dnf install"],
  [/\barch\b/, "pacman", "sudo pacman -S"],
  [/\balpine\b/, "apk", "sudo apk add"],
] as const;

type Manager = (typeof onLinux)[number][1];

/** What may have to be installed, and how it is called where that differs. */
const packages = {
  ffmpeg: { dnf: "ffmpeg-free" },
  xclip: {},
  "wl-clipboard": {},
  "xdg-utils": {},
  "espeak-ng": {},
  libnotify: { apt: "libnotify-bin" },
} as const satisfies Record<string, Partial<Record<Manager, string>>>;
export type Package = keyof typeof packages;

/** How a package gets onto this machine, as a line to type. Outside Linux only ffmpeg is ever missing. */
export async function installLine(
  what: Package,
  system: System = here,
  release = "/etc/os-release",
): Promise<string> {
  if (system === "darwin") return `brew install ${what}`;
  if (system === "win32") return "winget install Gyan.FFmpeg";
  if (system === "android") return `pkg install ${what}`;
  const names = ((await text(release)) ?? "").match(/^ID(_LIKE)?=.*$/gm)?.join(" ") ?? "";
  const known = onLinux.find(([name]) => name.test(names));
  if (!known) return `install ${what} with the system's package manager`;
  const [, manager, line] = known;
  const called: Partial<Record<Manager, string>> = packages[what];
  return `${line} ${called[manager] ?? what}`;
}

/** What to do when the system keeps this program from the camera; at most 100 bytes. */
export function cameraPermission(system: System = here): string {
  if (system === "darwin") return "allow it in System Settings > Privacy & Security > Camera";
  if (system === "win32") return "allow desktop apps in Settings > Privacy & security > Camera";
  return "join the group of the camera (`sudo usermod -aG video $USER`) and log in again";
}

/** What to do when the system keeps this program from the microphone; at most 100 bytes. */
export function microphonePermission(system: System = here): string {
  if (system === "darwin") return "allow it in System Settings > Privacy & Security > Microphone";
  if (system === "win32") return "allow desktop apps in Settings > Privacy & security > Microphone";
  return "join the group of sound devices (`sudo usermod -aG audio $USER`) and log in again";
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

/** Whether a laptop is open, where the system tells. */
export async function lid(
  system: System = here,
  acpi = "/proc/acpi/button/lid",
): Promise<"open" | "closed" | undefined> {
  if (system === "darwin") {
    const options = { env: childEnvironment(), timeout: 3_000, maxBuffer: 262_144 };
    const told = await promisify(execFile)(
      "/usr/sbin/ioreg",
      ["-r", "-k", "AppleClamshellState", "-d", "1"],
      options,
    ).catch(() => undefined);
    const [, closed] = /"AppleClamshellState" = (Yes|No)/.exec(told?.stdout ?? "") ?? [];
    return closed === undefined ? undefined : closed === "Yes" ? "closed" : "open";
  }
  const [name] = await readdir(acpi).catch(() => []);
  const state = name === undefined ? undefined : await text(join(acpi, name, "state"));
  return /\bclosed\b/.test(state ?? "")
    ? "closed"
    : /\bopen\b/.test(state ?? "")
      ? "open"
      : undefined;
}

export type NetworkKind = "wifi" | "ethernet" | "mobile" | "tailnet" | "other";

/** What kinds of network this machine is in; only Linux tells wires from waves. */
export async function networkKinds(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
  sys = "/sys/class/net",
): Promise<NetworkKind[]> {
  const kinds = Object.entries(interfaces).map(async ([name, addresses = []]) => {
    const outside = addresses.filter(({ internal }) => !internal);
    if (outside.length === 0) return [];
    if (outside.some(({ address }) => isTailnet(address))) return ["tailnet" as const];
    if (/^(?:wwan|wwp|rmnet|ppp)/.test(name)) return ["mobile" as const];
    const inside: readonly string[] = await readdir(join(sys, name)).catch(() => []);
    if (inside.includes("wireless") || inside.includes("phy80211")) return ["wifi" as const];
    return inside.includes("device") ? ["ethernet" as const] : ["other" as const];
  });
  return [...new Set((await Promise.all(kinds)).flat())].toSorted();
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

/** What else a program of the desktop must know to find its screen, its bus and its sound. */
const desktopNames = [
  ...["DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"],
  ...["PULSE_SERVER", "XDG_CURRENT_DESKTOP", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS"],
];

/** The desktop session that the agent runs in. */
export interface Desktop {
  /** As `osName` says it. */
  readonly os: string;
  /** Who draws here; undefined where there is no session that we know of, as in a service. */
  readonly draws: "x11" | "wayland" | "native" | undefined;
  /** All that a program of the desktop may know of our environment: a fixed list too. */
  readonly env: Readonly<Record<string, string>>;
}

export function desktop(from: NodeJS.ProcessEnv = process.env, system: System = here): Desktop {
  const native = system === "darwin" || system === "win32";
  const more = native
    ? {}
    : Object.fromEntries(desktopNames.flatMap((name) => (from[name] ? [[name, from[name]]] : [])));
  return {
    os: osName(system),
    // Under Wayland there is an X display too, which shows some windows only.
    draws: native
      ? "native"
      : from["WAYLAND_DISPLAY"]
        ? "wayland"
        : from["DISPLAY"]
          ? "x11"
          : undefined,
    // English like any child, but not ASCII: titles and texts are everybody's.
    env: {
      ...childEnvironment(from, system),
      ...more,
      LC_ALL: system === "darwin" ? "en_US.UTF-8" : "C.UTF-8",
    },
  };
}

/** Where a program lies on the PATH of this environment; undefined where it cannot be run. */
export async function findProgram(
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  // A relative entry would mean whatever folder we happen to stand in.
  const folders = (env["PATH"] ?? env["Path"] ?? "").split(delimiter).filter(isAbsolute);
  for (const path of isAbsolute(name) ? [name] : folders.map((folder) => join(folder, name))) {
    const runs = await access(path, constants.X_OK)
      .then(() => stat(path))
      .then(
        (entry) => entry.isFile(),
        () => false,
      );
    if (runs) return path;
  }
  return undefined;
}

export type Child = ChildProcess;

/** How a child is started. */
export interface Start {
  /** All it knows of our environment; by default the fixed list, speaking English. */
  readonly env?: Readonly<Record<string, string>>;
  /** It gets a stdin to read; without, there is none. */
  readonly input?: boolean;
  /** Nobody hears it: it may outlive us, and must not die of a pipe that nobody reads. */
  readonly unheard?: boolean;
}

/** Starts a program in a process group of its own. */
export function startGroup(program: string, args: readonly string[], start: Start = {}): Child {
  const { env = { ...childEnvironment(), LC_ALL: "C" }, input = false, unheard = false } = start;
  const output = unheard ? "ignore" : "pipe";
  return spawn(program, args, {
    // On Windows `detached` means a console window; its tree is ended by taskkill instead.
    detached: here !== "win32",
    env: { ...env },
    stdio: [input ? "pipe" : "ignore", output, output],
    windowsHide: true,
  });
}

/** Shells that read the user's profile when asked to be a login shell. */
const LOGIN_SHELLS: ReadonlySet<string> = new Set(["bash", "zsh", "fish", "ksh"]);

/** What a person types in: the shell of the system's user table, else the system's plainest. */
export function loginShell(
  known: string | undefined,
  system: System = here,
): { readonly program: string; readonly args: readonly string[] } {
  if (system === "win32") return { program: "powershell.exe", args: ["-NoLogo"] };
  const program = known !== undefined && isAbsolute(known) ? known : "/bin/sh";
  return { program, args: LOGIN_SHELLS.has(basename(program)) ? ["-l"] : [] };
}

/**
 * Sends a signal to all processes of the session that `leader` began, whatever group they are in; where
 * nobody can list them, to the leader's own group. As with `endGroup`: while the leader runs or right
 * after it ended, never later.
 */
export function endSession(leader: number, signal: "SIGHUP" | "SIGKILL", proc = "/proc"): void {
  if (leader < 2) return;
  for (const pid of hasProcFd ? sessionOf(leader, proc) : [here === "win32" ? leader : -leader]) {
    try {
      process.kill(pid, signal);
    } catch {
      // ESRCH: gone already, which is what we want.
    }
  }
}

function sessionOf(leader: number, proc: string): number[] {
  return readdirSync(proc).flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // The program's name may have any character in it; after its last bracket come state, parent, group, session.
      const stat = readFileSync(join(proc, name, "stat"), "utf8");
      const session = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3];
      return Number(session) === leader ? [Number(name)] : [];
    } catch {
      return []; // It ended meanwhile.
    }
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
