/** Notifications on the desktop of this machine. Every title says who speaks. */
import { notifyShow } from "@kith/shared/capabilities/notify";
import type { ArgsOf } from "@kith/shared/capabilities/capability";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import type { Driver } from "../driver.ts";
import { needPowershell, powershell } from "../powershell.ts";
import { need, probeOf, runProgram } from "../program.ts";
import { sessionBus } from "../session.ts";

type Notification = ArgsOf<typeof notifyShow>;
/**
 * Shows it. With `button`, where the system has them: waits until the notification goes, and resolves with whether
 * that button was pressed. @throws KithError not-ready, driver
 */
export type Show = (
  notification: Notification,
  signal: AbortSignal,
  button?: string,
) => Promise<boolean>;

const SAYS_BYTES = 4_096;
const MARK = "Assistant: ";
/** What notify-send prints when the button was pressed. */
const PRESSED = "pressed";

export function notify(desktop: Desktop): Driver<typeof notifyShow> {
  return {
    capability: notifyShow,
    parallel: 2,
    maxMs: 10_000,
    probe: () => probeOf(() => showOf(desktop)),
    async run({ title, ...rest }, { signal }) {
      const show = await showOf(desktop);
      await show({ ...rest, title: `${MARK}${title}` }, signal);
      return {};
    },
  };
}

/** The way that works in this session. @throws KithError not-ready, with what to do */
export function showOf(desktop: Desktop): Promise<Show> {
  if (desktop.os === "macos") return mac(desktop);
  return desktop.os === "windows" ? windows(desktop) : freedesktop(desktop);
}

async function freedesktop(desktop: Desktop): Promise<Show> {
  await sessionBus(desktop);
  const program = await need(desktop, "notify-send", "libnotify");
  return async ({ title, body, urgency }, signal, button) => {
    const run = (...more: readonly string[]) => {
      const options = ["--app-name=Kith", `--urgency=${urgency}`, ...more, "--"];
      const how = { signal, env: desktop.env, most: SAYS_BYTES };
      return runProgram(program, [...options, title, plain(body)], how);
    };
    let ran = await run(...(button === undefined ? [] : [`--action=${PRESSED}=${button}`]));
    // Before 0.7.10 it knew no buttons.
    if (button !== undefined && ran.code !== 0 && /unknown option/i.test(ran.stderr))
      ran = await run();
    if (ran.code === 0) return Buffer.from(ran.stdout).toString("utf8").trim() === PRESSED;
    const nobody = /not provided by any|ServiceUnknown|could not connect|cannot autolaunch/i;
    if (nobody.test(ran.stderr))
      throw new KithError("not-ready", "no program of this desktop shows notifications");
    throw new KithError("driver", "the notification could not be shown");
  };
}

/** A body is markup to most desktops, and notify-send reads escapes of C in it: here it is neither. */
const plain = (body: string): string =>
  body
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll("\\", "\\\\");

async function mac(desktop: Desktop): Promise<Show> {
  const program = await need(desktop, "osascript");
  // The words are arguments of the script, never a part of it. None begins with a dash: the
  // title comes first and begins with our mark, and osascript reads no options after it.
  const script = [
    ...["-e", "on run argv"],
    ...["-e", "display notification (item 2 of argv) with title (item 1 of argv)"],
    ...["-e", "end run"],
  ];
  return async ({ title, body }, signal) => {
    const run = { signal, env: desktop.env, most: SAYS_BYTES };
    const { code } = await runProgram(program, [...script, title, body], run);
    if (code !== 0) throw new KithError("driver", "the notification could not be shown");
    return false;
  };
}

/** Text nodes, so that no word is markup. The long name is PowerShell's own, which may show toasts. */
const toast = `
[Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime] > $null
$xml = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$texts = $xml.GetElementsByTagName('text')
$texts.Item(0).AppendChild($xml.CreateTextNode($in.title)) > $null
$texts.Item(1).AppendChild($xml.CreateTextNode($in.body)) > $null
$name = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'
$toast = [Windows.UI.Notifications.ToastNotification]::new($xml)
[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($name).Show($toast)`;

async function windows(desktop: Desktop): Promise<Show> {
  await needPowershell(desktop);
  return async ({ title, body }, signal) => {
    const { code } = await powershell(desktop, toast, { title, body }, signal);
    if (code !== 0) throw new KithError("driver", "the notification could not be shown");
    return false;
  };
}
