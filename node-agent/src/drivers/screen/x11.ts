/**
 * Screens of an X11 session. Its monitors are listed by xrandr or xdpyinfo, whichever is there;
 * without both there is one screen, which is all of them.
 */
import { tame } from "@kith/shared/protocol/words";
import { type Desktop, findProgram } from "../../platform.ts";
import { runProgram } from "../program.ts";
import { display } from "../x11.ts";
import { needFfmpeg } from "../ffmpeg.ts";
import { grab, record } from "./ffmpeg.ts";
import { ALL, MOST_SCREENS, type Screen, type ScreenSource } from "./source.ts";

/** xdpyinfo tells of hundreds of visuals too. */
const LIST_BYTES = 1_048_576;

export function x11Screens(desktop: Desktop): ScreenSource {
  const { env } = desktop;
  /** What a program says about the monitors; undefined when it is not there or fails. */
  async function ask(name: string, args: readonly string[], signal: AbortSignal) {
    const program = await findProgram(name, env);
    if (program === undefined) return undefined;
    const ran = await runProgram(program, args, { signal, env, most: LIST_BYTES });
    return ran.code === 0 ? Buffer.from(ran.stdout).toString("utf8") : undefined;
  }

  // Where the pointer is drawn depends on an extension that is not always there.
  const input = async (at: string) => [
    ...["-f", "x11grab", "-draw_mouse", "0"],
    ...area(await display(desktop), at),
  ];

  return {
    async list(signal) {
      await display(desktop);
      await needFfmpeg(desktop);
      const told = await ask("xrandr", ["--listmonitors"], signal);
      if (told !== undefined) return withAll(parseXrandr(told));
      const heads = await ask("xdpyinfo", ["-ext", "XINERAMA"], signal);
      return withAll(heads === undefined ? [] : parseXdpyinfo(heads));
    },
    snap: async ({ at }, wanted, signal) => grab(desktop, await input(at), wanted, signal),
    record: async ({ at }, wanted, signal) => record(desktop, await input(at), wanted, signal),
  };
}

/** `1920x1080+1920+0` as ffmpeg takes it; everything when it is empty. */
function area(name: string, at: string): string[] {
  const [, size, x = "0", y = "0"] = /^(\d+x\d+)\+(\d+)\+(\d+)$/.exec(at) ?? [];
  return size === undefined ? ["-i", name] : ["-video_size", size, "-i", `${name}+${x},${y}`];
}

/** Several monitors can be taken together; unknown ones only so. */
function withAll(monitors: readonly Screen[]): Screen[] {
  if (monitors.length === 1) return [...monitors];
  const all = { id: ALL, label: "all screens", primary: monitors.length === 0, at: "" };
  return [...monitors.slice(0, MOST_SCREENS - 1), all];
}

/** Reads ` 0: +*eDP-1 1920/344x1080/193+0+0  eDP-1`; the star marks the primary one. */
export function parseXrandr(told: string): Screen[] {
  const lines = told.matchAll(
    /^ *\d+: \+?(\*?)(\S+) (\d{1,5})\/\d+x(\d{1,5})\/\d+\+(\d{1,5})\+(\d{1,5})/gm,
  );
  return firstIsPrimary(
    [...lines].map(([, star, label = "", width, height, x, y]) => {
      const id = tame(label, 64) || "screen";
      const size = { width_px: Number(width), height_px: Number(height) };
      return { id, label: id, primary: star === "*", ...size, at: `${width}x${height}+${x}+${y}` };
    }),
  );
}

/** Reads `  head #0: 1920x1080 @ 0,0`, or where nothing is told of heads the size of the whole. */
export function parseXdpyinfo(told: string): Screen[] {
  const heads = [
    ...told.matchAll(/^ *head #(\d{1,2}): (\d{1,5})x(\d{1,5}) @ (\d{1,5}),(\d{1,5})/gm),
  ];
  const [, wide, high] = /^ *dimensions: +(\d{1,5})x(\d{1,5}) pixels/m.exec(told) ?? [];
  if (heads.length === 0 && wide !== undefined)
    heads.push(["", "0", wide, high, "0", "0"] as never);
  return firstIsPrimary(
    heads.map(([, at, width, height, x, y]) => ({
      ...{ id: `screen${at}`, label: `screen ${at}`, primary: false },
      ...{ width_px: Number(width), height_px: Number(height) },
      at: `${width}x${height}+${x}+${y}`,
    })),
  );
}

/** Where the system names no primary screen, it is the first. */
const firstIsPrimary = (screens: readonly Screen[]): Screen[] =>
  screens.some(({ primary }) => primary)
    ? [...screens]
    : screens.map((screen, nth) => ({ ...screen, primary: nth === 0 }));
