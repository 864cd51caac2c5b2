/** The screens of this machine as capabilities, however its system lets them be taken. */
import { filmTtlMs } from "@kith/shared/capabilities/film";
import { screenList, screenRecord, screenSnap } from "@kith/shared/capabilities/screen";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import { hand } from "../film.ts";
import type { Driver, Probe } from "../driver.ts";
import { jpegSize, pngSize } from "../picture-size.ts";
import { whyNot } from "../program.ts";
import { windowsScreens } from "./gdigrab.ts";
import { macScreens } from "./screencapture.ts";
import { listed, type Screen, type ScreenSource } from "./source.ts";
import { x11Screens } from "./x11.ts";

/** Listing asks a program or two; one that hangs hangs for ever. */
const LOOK_MS = 3_500;

/** The way to take screens that fits this session. */
export function screenSource(desktop: Desktop): ScreenSource {
  if (desktop.os === "macos") return macScreens(desktop);
  if (desktop.os === "windows") return windowsScreens(desktop);
  return desktop.draws === "wayland" ? wayland : x11Screens(desktop);
}

/** Wayland shows a screen only to a portal that asks the person with a window of its own. */
const wayland: ScreenSource = {
  list: () =>
    Promise.reject(
      new KithError(
        "not-ready",
        "this is a Wayland session, which shows its screens to no program; log in to an X11 session",
      ),
    ),
  snap: () => Promise.reject(new KithError("not-ready", "this is a Wayland session")),
};

/** The drivers over a source. */
export function screens(
  source: ScreenSource,
  clock: Clock = systemClock,
): {
  list: Driver<typeof screenList>;
  snap: Driver<typeof screenSnap>;
  record: Driver<typeof screenRecord>;
} {
  async function probe(): Promise<Probe> {
    try {
      const found = await source.list(AbortSignal.timeout(LOOK_MS));
      const devices = found.map(({ id, label }) => ({ id, label }));
      return found.length > 0
        ? { state: "ready", devices }
        : { state: "unavailable", reason: "no screen found" };
    } catch (thrown) {
      return { state: "unavailable", reason: whyNot(thrown) };
    }
  }

  return {
    list: {
      capability: screenList,
      parallel: 2,
      maxMs: 10_000,
      probe,
      run: async (_args, tools) => ({ screens: (await source.list(tools.signal)).map(listed) }),
    },
    snap: {
      capability: screenSnap,
      parallel: 1,
      maxMs: 15_000,
      probe,
      async run({ screen: id, ...wanted }, tools) {
        const screen = choose(await source.list(tools.signal), id);
        await tools.notice(`screen: ${screen.label}`);
        const bytes = await source.snap(screen, wanted, tools.signal);
        const takenAtMs = clock.now();
        const size = wanted.format === "png" ? pngSize(bytes) : jpegSize(bytes);
        if (!size) throw new KithError("driver", "what came of the screen is no whole picture");
        tools.stream("image", `image/${wanted.format}`, { bytes });
        return {
          taken_at_ms: takenAtMs,
          screen: screen.id,
          width_px: size.width,
          height_px: size.height,
        };
      },
    },
    record: {
      capability: screenRecord,
      parallel: 1,
      maxMs: filmTtlMs,
      probe: async () =>
        source.record
          ? probe()
          : { state: "unavailable", reason: "films of a screen are not made here" },
      async run({ screen: id, ...wanted }, tools) {
        const screen = choose(await source.list(tools.signal), id);
        if (!source.record) throw new KithError("not-ready", "films of a screen are not made here");
        await tools.notice(`film of the screen: ${screen.label}`);
        const takenAtMs = clock.now();
        await hand(await source.record(screen, wanted, tools.signal), tools);
        return { taken_at_ms: takenAtMs, screen: screen.id, seconds: wanted.seconds };
      },
    },
  };
}

/** By id; else the primary one. @throws KithError bad-args, not-ready */
function choose(found: readonly Screen[], id: string | undefined): Screen {
  if (id !== undefined) {
    const named = found.find((screen) => screen.id === id);
    if (named) return named;
    throw new KithError("bad-args", "no such screen on this device; screen.list names them");
  }
  const first = found.find(({ primary }) => primary) ?? found[0];
  if (first) return first;
  throw new KithError("not-ready", "no screen found");
}
