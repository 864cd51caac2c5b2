/**
 * Plays a sound that the call brings. It comes whole into a file that only this user can see, is compared
 * with what was approved, and is gone when it was played.
 *
 * Its form is forced to what its type says, and nothing but that file is read: a "sound" that names other
 * files or addresses (a playlist) is no sound.
 */
import { mkdtemp, open, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PLAY_MS, audioPlay } from "@kith/shared/capabilities/audio";
import { KithError } from "@kith/shared/errors";
import { PartialFile } from "@kith/shared/streams/partial-file.node";
import type { Desktop } from "../../platform.ts";
import type { Driver } from "../driver.ts";
import { lastWords, needFfmpeg, quiet, runFfmpeg } from "../ffmpeg.ts";
import { need, probeOf, runProgram } from "../program.ts";
import { soundOutput } from "../sound.ts";

/** How ffmpeg calls the form, and how its file must end for the player of macOS. */
const FORMS: Readonly<Record<string, { readonly demuxer: string; readonly ending: string }>> = {
  OggS: { demuxer: "ogg", ending: "ogg" },
  fLaC: { demuxer: "flac", ending: "flac" },
  RIFF: { demuxer: "wav", ending: "wav" },
};
const MP3 = { demuxer: "mp3", ending: "mp3" };

/** Plays a file and resolves when it was heard. */
type Play = (path: string, demuxer: string, signal: AbortSignal) => Promise<void>;

export interface PlayerOptions {
  /** ALSA's name of the device, where there is no sound server. */
  readonly alsa?: string;
  /** Where Linux keeps its sound devices. */
  readonly devices?: string;
}

export function player(desktop: Desktop, options: PlayerOptions = {}): Driver<typeof audioPlay> {
  return {
    capability: audioPlay,
    parallel: 1,
    maxMs: PLAY_MS + 30_000,
    probe: () => probeOf(() => playOf(desktop, options)),
    async run({ size, sha256 }, tools) {
      const play = await playOf(desktop, options);
      const folder = await mkdtemp(join(tmpdir(), "kith-sound-"));
      try {
        const path = join(folder, "sound");
        await tools.receive("sound", async () => {
          const sink = new PartialFile(path, {
            mode: 0o600,
            async settle(file, found) {
              await file.close();
              if (found !== sha256)
                throw new KithError("hash-mismatch", "it is not the sound that was approved");
            },
          });
          await sink.begin();
          return sink;
        });
        const { demuxer, ending } = await formOf(path);
        const named = `${path}.${ending}`;
        await rename(path, named);
        await play(named, demuxer, tools.signal);
        return { size };
      } finally {
        await rm(folder, { recursive: true, force: true, maxRetries: 3 });
      }
    },
  };
}

/** By its first bytes, whatever was said of it. @throws KithError bad-args */
async function formOf(path: string) {
  const file = await open(path, "r");
  const head = Buffer.alloc(4);
  try {
    await file.read(head, 0, 4, 0);
  } finally {
    await file.close();
  }
  const form = FORMS[head.toString("latin1")];
  // MPEG audio begins with its tag, or with eleven bits that are set.
  const mp3 = head.toString("latin1", 0, 3) === "ID3" || (head[0] === 0xff && head[1]! >= 0xe0);
  if (form) return form;
  if (mp3) return MP3;
  throw new KithError("bad-args", "that is no sound: Ogg, MP3, WAV and FLAC are played");
}

/** The way that works on this system. @throws KithError not-ready, ffmpeg-missing */
async function playOf(
  desktop: Desktop,
  { alsa = "default", devices }: PlayerOptions,
): Promise<Play> {
  const { env } = desktop;
  if (desktop.os === "macos") {
    const program = await need(desktop, "afplay");
    return async (path, _, signal) => {
      heard(
        await runProgram(program, ["-t", String(PLAY_MS / 1_000), path], {
          signal,
          env,
          most: 4_096,
        }),
      );
    };
  }
  if (desktop.os === "windows") {
    // It comes with ffmpeg there.
    const program = await need(desktop, "ffplay", "ffmpeg");
    return async (path, demuxer, signal) => {
      const args = ["-nodisp", "-autoexit", ...only(demuxer), "-t", String(PLAY_MS / 1_000), path];
      heard(await runProgram(program, ["-v", "error", ...args], { signal, env, most: 4_096 }));
    };
  }
  const program = await needFfmpeg(desktop);
  const out =
    (await soundOutput(desktop, devices)) === "pulse" ? ["pulse", "kith"] : ["alsa", alsa];
  return async (path, demuxer, signal) => {
    const args = [...quiet, ...only(demuxer), "-i", path, "-vn", "-t", String(PLAY_MS / 1_000)];
    heard(await runFfmpeg(program, [...args, "-f", ...out], signal, undefined, env));
  };
}

const only = (demuxer: string) => ["-protocol_whitelist", "file", "-f", demuxer];

function heard({ code, stderr }: { readonly code: number | null; readonly stderr: string }): void {
  if (code !== 0) throw new KithError("driver", `nothing could be heard${lastWords(stderr)}`);
}
