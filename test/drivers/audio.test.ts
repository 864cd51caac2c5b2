/** Sound: a real ffmpeg with ALSA's device that gives and takes silence, stand-ins for the rest. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { player } from "@kith/node-agent/drivers/audio/play";
import { recorder } from "@kith/node-agent/drivers/audio/record";
import { parseDshowSounds } from "@kith/node-agent/drivers/camera/ffmpeg-dshow";
import { desktop } from "@kith/node-agent/platform";
import { describe, expect, test } from "vitest";
import { bytesOf, codeOf, folder, lend, script } from "./support.ts";
import { installed } from "./xvfb.ts";

const linux = process.platform === "linux";
const real = linux && installed(["ffmpeg", "ffprobe"], "the tests with a real ffmpeg");

type Folder = Awaited<ReturnType<typeof folder>>;

/** A machine with one sound device, in and out, that is not real. */
async function machine(home: Folder, path = process.env["PATH"] ?? "") {
  await home.file("pcmC0D0p", "");
  await home.file("pcmC0D0c", "");
  return {
    session: desktop({ PATH: path }, "linux"),
    options: { alsa: "null", devices: home.path },
  };
}

const sounds = () => readdirSync(tmpdir()).filter((name) => name.startsWith("kith-sound-"));
const argsOf = (bytes: Uint8Array) => ({
  size: bytes.length,
  sha256: createHash("sha256").update(bytes).digest("hex"),
});

/** A tone of a tenth of a second in this form. */
async function tone(home: Folder, form: string): Promise<Buffer<ArrayBuffer>> {
  const path = join(home.path, `tone.${form}`);
  execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", "sine=duration=0.1", "-y", path]);
  return Buffer.from(readFileSync(path));
}

describe.runIf(real)("a real ffmpeg", () => {
  test("records so many seconds of Opus, and says so before it begins", async () => {
    await using home = await folder();
    const { session, options } = await machine(home);
    const tools = lend();
    const out = await recorder(session, options).run({ seconds: 1 }, tools);
    expect(out).toMatchObject({ microphone: "null", seconds: 1 });
    expect(tools.said).toEqual(["notice: microphone: null", "stream: sound audio/ogg"]);
    const path = join(home.path, "out.ogg");
    writeFileSync(path, bytesOf(tools));
    const probe = ["-v", "error", "-show_entries", "stream=codec_name,channels:format=duration"];
    const { streams, format } = JSON.parse(
      execFileSync("ffprobe", [...probe, "-of", "json", path], { encoding: "utf8" }),
    ) as { streams: object[]; format: { duration: string } };
    expect(streams).toEqual([{ codec_name: "opus", channels: 1 }]);
    expect(Number(format.duration)).toBeGreaterThan(0.9);
    expect(Number(format.duration)).toBeLessThan(1.2);
  });

  test.for(["ogg", "mp3", "wav", "flac"])("plays %s, and leaves nothing behind", async (form) => {
    await using home = await folder();
    const { session, options } = await machine(home);
    const bytes = await tone(home, form);
    const before = sounds();
    const tools = lend(undefined, bytes);
    const out = await player(session, options).run(argsOf(bytes), tools);
    expect(out).toEqual({ size: bytes.length });
    expect(tools.said).toEqual(["receive: sound"]);
    expect(sounds()).toEqual(before);
  });

  test("takes no sound for another one, and reads no other file", async () => {
    await using home = await folder();
    const { session, options } = await machine(home);
    const secret = await home.file("secret.wav", (await tone(home, "wav")).toString("latin1"));
    const play = (bytes: Buffer<ArrayBuffer>, args = argsOf(bytes)) =>
      codeOf(player(session, options).run(args, lend(undefined, bytes)));
    const before = sounds();
    expect(await play(await tone(home, "ogg"), { size: 5, sha256: "0".repeat(64) })).toBe(
      "hash-mismatch",
    );
    // Playlists, which name what else is to be read.
    for (const list of [
      `#EXTM3U\n#EXTINF:1,\nfile://${secret}\n`,
      `ffconcat version 1.0\nfile ${secret}\n`,
      "RIFX not a sound at all",
    ])
      expect(await play(Buffer.from(list))).toBe("bad-args");
    for (const head of ["OggS", "RIFF", "fLaC", "ID3"])
      expect(await play(Buffer.from(`${head}\n#EXTM3U\nfile://${secret}\n`))).toBe("driver");
    expect(sounds()).toEqual(before);
  });
});

describe.runIf(linux)("on Linux", () => {
  test("each is ready where there is a device, and says what is missing", async () => {
    await using home = await folder();
    const silent = desktop({ PATH: process.env["PATH"] ?? "" }, "linux");
    const none = { devices: join(home.path, "none") };
    expect(await recorder(silent, none).probe()).toEqual({
      state: "unavailable",
      reason: expect.stringMatching(/^no microphone found; /) as string,
    });
    expect(await player(silent, none).probe()).toEqual({
      state: "unavailable",
      reason: expect.stringMatching(/^no sound device found; /) as string,
    });
    await home.file("pcmC0D0p", "");
    const out = { devices: home.path };
    expect(await recorder(silent, out).probe()).toMatchObject({ state: "unavailable" });
    const bare = desktop({ PATH: home.path }, "linux");
    expect(await player(bare, out).probe()).toMatchObject({
      reason: expect.stringContaining("ffmpeg was not found") as string,
    });
  });

  test("a sound server is asked before the kernel", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    await script(home, `echo "$*" > ${log}; exit 1`);
    const session = desktop({ PATH: home.path, PULSE_SERVER: "x" }, "linux");
    expect(await codeOf(recorder(session).run({ seconds: 3 }, lend()))).toBe("driver");
    expect(readFileSync(log, "utf8")).toContain("-f pulse -i default -t 3");
  });

  test.for([
    ["default: Device or resource busy", "busy"],
    ["cannot open audio device default (Permission denied)", "os-permission"],
    ["Cannot allocate memory", "driver"],
  ])("%s is %s", async ([words, code]) => {
    await using home = await folder();
    const { options } = await machine(home);
    await script(home, `echo '${words}' >&2; exit 1`);
    const session = desktop({ PATH: home.path }, "linux");
    expect(await codeOf(recorder(session, options).run({ seconds: 1 }, lend()))).toBe(code);
  });
});

test("microphones of Windows are read from ffmpeg's words", () => {
  const told = `[dshow @ 01] "Integrated Camera" (video)
[dshow @ 01]   Alternative name "@device_pnp_cam"
[dshow @ 01] "Microphone (High Definition Audio)" (audio)
[dshow @ 01]   Alternative name "@device_cm_mic"
dummy: Immediate exit requested`;
  expect(parseDshowSounds(told)).toMatchObject([
    { label: "Microphone (High Definition Audio)", at: "@device_cm_mic" },
  ]);
});
