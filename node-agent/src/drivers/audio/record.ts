/** Records the microphone by ffmpeg: some seconds of one voice in Opus, straight to the agent. */
import { audioRecord } from "@kith/shared/capabilities/audio";
import { type Clock, systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import { type Desktop, microphonePermission } from "../../platform.ts";
import { parseDshowSounds } from "../camera/ffmpeg-dshow.ts";
import type { Driver } from "../driver.ts";
import { bare, lastWords, needFfmpeg, quiet, runFfmpeg } from "../ffmpeg.ts";
import { probeOf } from "../program.ts";
import { soundInput } from "../sound.ts";

const ENCODED = ["-vn", "-ac", "1", "-c:a", "libopus", "-b:a", "32k", "-application", "voip"];

interface Input {
  /** Arguments of ffmpeg that open it. */
  readonly args: readonly string[];
  readonly called: string;
}

/** `alsa` names the device where there is no sound server, `devices` is where Linux keeps them. */
export function recorder(
  desktop: Desktop,
  { clock = systemClock, alsa = "default", devices }: RecorderOptions = {},
): Driver<typeof audioRecord> {
  const look = async (signal?: AbortSignal) => ({
    program: await needFfmpeg(desktop),
    input: await inputOf(desktop, alsa, devices, signal),
  });
  return {
    capability: audioRecord,
    // Two recordings of one room are one too many.
    parallel: 1,
    maxMs: audioRecord.ttlMs,
    probe: () => probeOf(() => look()),
    async run({ seconds }, tools) {
      const { program, input } = await look(tools.signal);
      await tools.notice(`microphone: ${input.called}`);
      const taken_at_ms = clock.now();
      const args = [...quiet, ...input.args, "-t", String(seconds), ...ENCODED, ...bare];
      const ran = await runFfmpeg(
        program,
        [...args, "-f", "ogg", "pipe:1"],
        tools.signal,
        clock,
        desktop.env,
      );
      if (ran.code !== 0 || ran.stdout.length === 0) throw failureOf(ran.stderr);
      tools.stream("sound", "audio/ogg", { bytes: ran.stdout });
      return { taken_at_ms, microphone: input.called, seconds };
    },
  };
}

export interface RecorderOptions {
  readonly clock?: Clock;
  readonly alsa?: string;
  readonly devices?: string;
}

/** @throws KithError not-ready */
async function inputOf(
  desktop: Desktop,
  alsa: string,
  devices: string | undefined,
  signal?: AbortSignal,
): Promise<Input> {
  switch (desktop.os) {
    case "macos":
      return { args: ["-f", "avfoundation", "-i", ":default"], called: "default" };
    case "windows": {
      const program = await needFfmpeg(desktop);
      const ask = ["-hide_banner", "-f", "dshow", "-list_devices", "true", "-i", "dummy"];
      const patience = signal ?? AbortSignal.timeout(3_000);
      const told = await runFfmpeg(program, ask, patience, undefined, desktop.env);
      const [first] = parseDshowSounds(told.stderr);
      if (!first) throw new KithError("not-ready", "no microphone found; connect one");
      return { args: ["-f", "dshow", "-i", `audio=${first.at}`], called: first.label };
    }
    default:
      return (await soundInput(desktop, devices)) === "pulse"
        ? { args: ["-f", "pulse", "-i", "default"], called: "default" }
        : { args: ["-f", "alsa", "-i", alsa], called: alsa };
  }
}

function failureOf(stderr: string): KithError {
  if (/permission denied|not authorized|access denied/i.test(stderr))
    return new KithError("os-permission", microphonePermission());
  if (/busy/i.test(stderr)) return new KithError("busy", "another program uses the microphone");
  return new KithError("driver", `ffmpeg gave no sound${tame(lastWords(stderr), 160)}`);
}
