/** How each system's clipboard is read and written: text only, by programs that take it as stdin. */
import { CLIPBOARD_BYTES } from "@kith/shared/capabilities/clipboard";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import { needPowershell, powershell } from "../powershell.ts";
import { need, type Ran, runProgram } from "../program.ts";
import { display } from "../x11.ts";

export interface Way {
  /** The text on it; empty when there is none. @throws KithError too-big, driver */
  read(signal: AbortSignal): Promise<Uint8Array>;
  write(text: string, signal: AbortSignal): Promise<void>;
}

/** The way that works in this session. @throws KithError not-ready, with what to do */
export function wayOf(desktop: Desktop): Promise<Way> {
  if (desktop.os === "macos") return mac(desktop);
  if (desktop.os === "windows") return windows(desktop);
  return desktop.draws === "wayland" ? wayland(desktop) : x11(desktop);
}

/** How often it is looked whether a text has arrived; then somebody else has copied one. */
const LOOKS = 100;

async function x11(desktop: Desktop): Promise<Way> {
  await display(desktop);
  const xclip = await need(desktop, "xclip", "xclip");
  const at = ["-selection", "clipboard"];
  // Nobody owns it, or what it holds is no text: `target UTF8_STRING not available`.
  const read = (signal: AbortSignal) =>
    reads(desktop, xclip, [...at, "-t", "UTF8_STRING", "-o"], signal);
  return {
    read,
    // It stays, because under X11 whoever copied a text hands it out.
    async write(text, signal) {
      await writes(desktop, xclip, [...at, "-i"], text, signal);
      // xclip leaves before its child has told the server: until then the text before is handed out.
      for (let tries = 0; tries < LOOKS; tries++)
        if (Buffer.from(await read(signal)).toString() === text) return;
    },
  };
}

async function wayland(desktop: Desktop): Promise<Way> {
  const copy = await need(desktop, "wl-copy", "wl-clipboard");
  const paste = await need(desktop, "wl-paste", "wl-clipboard");
  return {
    read: (signal) => reads(desktop, paste, ["--no-newline", "--type", "text"], signal),
    write: (text, signal) => writes(desktop, copy, ["--type", "text/plain"], text, signal),
  };
}

async function mac(desktop: Desktop): Promise<Way> {
  const copy = await need(desktop, "pbcopy");
  const paste = await need(desktop, "pbpaste");
  return {
    read: (signal) => reads(desktop, paste, ["-Prefer", "txt"], signal),
    write: (text, signal) => writes(desktop, copy, [], text, signal),
  };
}

async function windows(desktop: Desktop): Promise<Way> {
  await needPowershell(desktop);
  const get =
    "$text = Get-Clipboard -Raw\nif ($text) { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)) }";
  return {
    async read(signal) {
      const ran = await powershell(desktop, get, {}, signal, 2 * CLIPBOARD_BYTES);
      const text = Buffer.from(Buffer.from(done(ran).stdout).toString("latin1"), "base64");
      if (text.length > CLIPBOARD_BYTES)
        throw new KithError("too-big", "the text on the clipboard has more than 64 KiB");
      return text;
    },
    async write(text, signal) {
      done(await powershell(desktop, "Set-Clipboard -Value $in.text", { text }, signal));
    },
  };
}

/** What these programs say when there is no text to be had. */
const NO_TEXT = /not available|nothing is copied|no selection|no suitable type/i;

async function reads(
  { env }: Desktop,
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Uint8Array> {
  const ran = await runProgram(program, args, { signal, env, most: CLIPBOARD_BYTES });
  if (ran.code !== 0 && NO_TEXT.test(ran.stderr)) return new Uint8Array();
  return done(ran).stdout;
}

async function writes(
  { env }: Desktop,
  program: string,
  args: readonly string[],
  input: string,
  signal: AbortSignal,
): Promise<void> {
  done(await runProgram(program, args, { signal, env, input, most: 4_096, leaves: true }));
}

function done(ran: Ran): Ran {
  if (ran.code === 0) return ran;
  throw new KithError("driver", "the clipboard of this session cannot be used");
}
