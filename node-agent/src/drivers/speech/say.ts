/** Says a text aloud by the system's own voice. The text comes by stdin, so it is never an option. */
import type { ArgsOf } from "@kith/shared/capabilities/capability";
import { speechSay } from "@kith/shared/capabilities/speech";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import type { Desktop } from "../../platform.ts";
import type { Driver } from "../driver.ts";
import { needPowershell, powershell } from "../powershell.ts";
import { need, probeOf, type Ran, runProgram } from "../program.ts";
import { soundOutput } from "../sound.ts";

type Speech = ArgsOf<typeof speechSay>;
/** Resolves when all was said. @throws KithError bad-args (no voice), driver */
type Say = (speech: Speech, signal: AbortSignal) => Promise<void>;

/** Words a minute of a voice that nobody hurries; the default of espeak-ng and of macOS. */
const WORDS_A_MINUTE = 175;
const LIST_BYTES = 262_144;

/** `devices` is where Linux keeps its sound devices. */
export function speaker(desktop: Desktop, devices?: string): Driver<typeof speechSay> {
  return {
    capability: speechSay,
    // Two voices at once are understood by nobody.
    parallel: 1,
    maxMs: 180_000,
    probe: () => probeOf(() => sayOf(desktop, devices)),
    async run(speech, { signal }) {
      const say = await sayOf(desktop, devices);
      await say(speech, signal);
      return {};
    },
  };
}

/** The way that works on this system. @throws KithError not-ready, with what to do */
function sayOf(desktop: Desktop, devices: string | undefined): Promise<Say> {
  if (desktop.os === "macos") return mac(desktop);
  return desktop.os === "windows" ? windows(desktop) : espeak(desktop, devices);
}

const wordsAMinute = (percent: number): string =>
  String(Math.round((WORDS_A_MINUTE * percent) / 100));
/** `pt` of `pt-BR`: a voice of the language, if there is none of the region. */
const primary = (language: string): string => language.split("-")[0] ?? language;

async function espeak(desktop: Desktop, devices: string | undefined): Promise<Say> {
  const program = await need(desktop, "espeak-ng", "espeak-ng");
  await soundOutput(desktop, devices);
  return async ({ text, language, rate_percent }, signal) => {
    for (const voice of new Set([language, primary(language)])) {
      // `-b 1`: the text is UTF-8.
      const args = ["--stdin", "-b", "1", "-v", voice.toLowerCase()];
      const ran = await runProgram(program, [...args, "-s", wordsAMinute(rate_percent)], {
        ...{ signal, env: desktop.env, most: 4_096, input: text },
      });
      if (/voice does not exist/i.test(ran.stderr)) continue;
      // It ends well even when the sound went nowhere, and only says so.
      const [, mute] = /^error: (.*)$/im.exec(ran.stderr) ?? [];
      if (ran.code === 0 && mute === undefined) return;
      throw new KithError(
        "driver",
        `nothing could be heard${mute === undefined ? "" : `: ${tame(mute, 100)}`}`,
      );
    }
    throw noVoice(language);
  };
}

async function mac(desktop: Desktop): Promise<Say> {
  const program = await need(desktop, "say");
  const { env } = desktop;
  return async ({ text, language, rate_percent }, signal) => {
    const told = await runProgram(program, ["-v", "?"], { signal, env, most: LIST_BYTES });
    const voice = voiceFor(Buffer.from(told.stdout).toString("utf8"), language);
    if (voice === undefined) throw noVoice(language);
    const args = ["-v", voice, "-r", wordsAMinute(rate_percent), "-f", "-"];
    heard(await runProgram(program, args, { signal, env, most: 4_096, input: text }));
  };
}

/** The first voice of a language, rather one of the region, in `Anna   de_DE    # Hallo!`. */
export function voiceFor(told: string, language: string): string | undefined {
  const voices = [...told.matchAll(/^(\S.*?) +([a-z]{2,3})[_-](\w+) +#/gm)].map(
    ([, voice = "", tongue = "", region = ""]) => ({ voice, tongue, region }),
  );
  const [wanted, place] = language.toLowerCase().split("-");
  const fits = voices.filter(({ tongue }) => tongue === wanted);
  return (fits.find(({ region }) => region.toLowerCase() === place) ?? fits[0])?.voice;
}

/** Exit code of our script on Windows when no voice fits. */
const NO_VOICE = 3;

const sapi = `
Add-Type -AssemblyName System.Speech
$voice = New-Object System.Speech.Synthesis.SpeechSynthesizer
$all = @($voice.GetInstalledVoices() | Where-Object { $_.Enabled } | ForEach-Object { $_.VoiceInfo })
$fits = @($all | Where-Object { $_.Culture.Name -eq $in.language })
$fits += @($all | Where-Object { $_.Culture.TwoLetterISOLanguageName -eq $in.primary })
if ($fits.Count -eq 0) { exit ${NO_VOICE} }
$voice.SelectVoice($fits[0].Name)
$voice.Rate = $in.rate
$voice.Speak($in.text)`;

async function windows(desktop: Desktop): Promise<Say> {
  await needPowershell(desktop);
  return async ({ text, language, rate_percent }, signal) => {
    // From -10 to 10, where 10 is three times as fast.
    const rate = Math.round(10 * (Math.log(rate_percent / 100) / Math.log(3)));
    const input = { text, language, primary: primary(language).toLowerCase(), rate };
    const ran = await powershell(desktop, sapi, input, signal);
    if (ran.code === NO_VOICE) throw noVoice(language);
    heard(ran);
  };
}

function heard({ code }: Ran): void {
  if (code !== 0) throw new KithError("driver", "nothing could be heard");
}

const noVoice = (language: string): KithError =>
  new KithError("bad-args", `this device has no voice for the language ${tame(language, 24)}`);
