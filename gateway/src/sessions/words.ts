/** What the assistant says, made from results and failures. Text from devices was tamed before. */
import { type Failure, remedies } from "@kith/shared/errors";
import { type Term, durations } from "../grants/grant.ts";
import type { Outcome } from "../invocations/outcome.ts";

export interface ChatMessage {
  readonly text: string;
  /** Nothing more comes for what was asked. */
  readonly final: boolean;
  readonly question?: {
    readonly approval: string;
    readonly call: string;
    readonly device: string;
    readonly cap: string;
  };
  readonly result?: Outcome;
  /** What several devices did, when one sentence meant them all. */
  readonly results?: readonly Outcome[];
  /** Somebody gave it to the chat. */
  readonly file?: GivenFile;
  readonly error?: { readonly code: string; readonly message: string; readonly remedy: string };
}

/** A file that is given to a chat, with where it lies on the gateway's machine. */
export interface GivenFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly path: string;
}

/** From another chat, with a file or without. */
export const given = (text: string, file: GivenFile | undefined): Omit<ChatMessage, "final"> =>
  file ? { text: `${text}\n${file.name}, ${size(file.bytes)}: ${file.path}`, file } : { text };

/** What the owner is asked about. */
export interface Asked {
  readonly call: string;
  readonly device: string;
  readonly name: string;
  readonly cap: string;
  readonly args?: Readonly<Record<string, unknown>>;
  /** Ms that it may wait for the device. */
  readonly deliverMs?: number;
  readonly unlocked?: true;
  readonly warning?: string;
  readonly terms?: readonly Term[];
}

/** More of a text than that is not asked about; its end and its length tell the rest. */
const MOST_SHOWN = 600;

/** A text in a question: on one line, and when it is long its beginning, its end and how much there is. */
function quoted(text: unknown): string {
  const line = String(text).replaceAll(/\s+/g, " ").trim();
  if (line.length <= MOST_SHOWN) return `“${line}”`;
  return `“${line.slice(0, MOST_SHOWN - 100).toWellFormed()} … ${line.slice(-100).toWellFormed()}” (${String(text).length} characters)`;
}

/** What a yes would permit, with everything in it that makes a difference: nobody allows what they cannot read. */
function what(cap: string, args: Readonly<Record<string, unknown>>): string {
  switch (cap) {
    case "camera.snap":
      return `take a photo with ${cameraOf(args)}`;
    case "camera.clip":
      return `film for ${String(args.seconds)} s with ${cameraOf(args)}`;
    case "audio.record":
      return `record ${String(args.seconds)} s of sound with the microphone`;
    case "audio.play":
      return `play a sound aloud (${size(Number(args.size))}, SHA-256 ${String(args.sha256).slice(0, 8)}…)`;
    case "screen.record":
      return `film ${screenOf(args)} for ${String(args.seconds)} s`;
    case "files.list":
      return `list ${args.path ? `“${String(args.path)}” in ` : ""}the shared folder${args.root === undefined ? "" : ` ${String(args.root)}`}`;
    case "files.stat":
      return `look up “${String(args.path)}”${args.root === undefined ? "" : ` in the shared folder ${String(args.root)}`}`;
    case "files.write":
      return `${args.replaces === undefined ? "write" : "replace"} “${String(args.path)}”${args.root === undefined ? "" : ` in the shared folder ${String(args.root)}`} (${size(Number(args.size))}, SHA-256 ${String(args.sha256).slice(0, 8)}…)`;
    case "files.read":
      return `read “${String(args.path)}”${args.root === undefined ? "" : ` in the shared folder ${String(args.root)}`}`;
    case "shell.run":
      return `run ${JSON.stringify(args.argv)}${besides(args)} in a sandbox`;
    case "shell.open":
      return "open a terminal, in which everything may be done,";
    case "clipboard.read":
      return "read the clipboard";
    case "clipboard.write":
      return `put ${quoted(args.text)} on the clipboard`;
    case "location.get":
      return `learn the place (${String(args.precision ?? "city")})`;
    case "notify.show":
      return `show the notification ${quoted(args.title)}${args.body ? ` with ${quoted(args.body)}` : ""}`;
    case "speech.say":
      return `say ${quoted(args.text)} aloud`;
    case "url.open":
      return `open the page ${String(args.url)} in the browser`;
    case "screen.snap":
      return `take a picture of ${screenOf(args)}`;
    default:
      return `use ${cap}${Object.keys(args).length > 0 ? ` ${JSON.stringify(args)}` : ""}`;
  }
}

const cameraOf = ({ camera, facing = "any" }: Readonly<Record<string, unknown>>): string =>
  camera !== undefined
    ? `camera ${String(camera)}`
    : facing === "any"
      ? "the camera"
      : `the ${String(facing)} camera`;
const screenOf = ({ screen }: Readonly<Record<string, unknown>>): string =>
  screen === undefined ? "the screen" : `screen ${String(screen)}`;

/** All else that a command would get, as it is. */
function besides({ cwd, env, stdin }: Readonly<Record<string, unknown>>): string {
  const others = Object.entries({ cwd, env, stdin }).map(([name, value]) => {
    const text = JSON.stringify(value) ?? '""';
    return ["{}", "[]", '""'].includes(text) ? "" : `, ${name} ${text}`;
  });
  return others.join("");
}

/** The few characters of an id that are enough to tell it from the others. */
export const short = (id: string): string => id.slice(-6);

/** How long something took or may take: “81 ms”, “2.4 s”, “12 min”. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 90_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 129_600_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

export function question({
  call,
  name,
  device,
  cap,
  args = {},
  deliverMs,
  unlocked,
  warning,
  terms = durations,
}: Asked): ChatMessage {
  const when =
    deliverMs === undefined
      ? ""
      : `, as soon as it is connected${unlocked ? " and unlocked" : ""} within the next ${span(deliverMs)}`;
  return {
    text:
      `May I ${what(cap, args)} of ${name}${when}?  (${short(call)})\n${warning === undefined ? "" : `${warning}\n`}` +
      `Answer ${terms.map((term) => `/allow ${term}${term === "turn" ? " (and the same again until I am done)" : ""}`).join(", ")}${terms.length > 1 ? "," : ""} or /deny.${longer(cap, terms)}`,
    final: false,
    question: { approval: call, call, device, cap },
  };
}

/** What a standing permission keeps of the arguments: Capability.kept. */
function longer(cap: string, terms: readonly Term[]): string {
  if (!terms.includes("1h")) return "";
  if (cap === "shell.run") return " For longer than once, it is for exactly this program.";
  return cap.startsWith("files.") ? " For longer than once, it is for this shared folder." : "";
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

/** 105340 is “105 kB”, in powers of a thousand as file managers count. */
function size(bytes: number): string {
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1_000 ** step;
  return `${step > 1 && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[step] ?? ""}`;
}

const clock = (at: unknown): string =>
  typeof at === "number" ? new Date(at).toTimeString().slice(0, 8) : "";

/** Of a command's output in a chat; the rest is in the files. */
const CHAT_CHARS = 1_500;

interface Found {
  readonly name: string;
  readonly kind: string;
  readonly size: number;
  readonly modified_at_ms: number;
}

const found = ({ name, kind, size: bytes, modified_at_ms: at }: Found): string =>
  `  ${name}${kind === "folder" ? "/" : ""}${kind === "file" ? `  ${size(bytes)}` : kind === "other" ? "  (no file)" : ""}  ${new Date(at).toLocaleString("sv").slice(0, 16)}`;

function done({ cap, name, out = {}, streams = [] }: Outcome): string {
  const [stream] = streams;
  const files = streams.map(({ path }) => `\n${path}`).join("");
  switch (cap) {
    case "camera.snap":
      return `Photo from ${name}, camera ${String(out.camera)}, taken ${clock(out.taken_at_ms)} (${String(out.width_px)}×${String(out.height_px)}, ${size(stream?.bytes ?? 0)}).${files}`;
    case "camera.clip":
      return `Film of ${String(out.seconds)} s from ${name}, camera ${String(out.camera)}, begun ${clock(out.taken_at_ms)} (${size(stream?.bytes ?? 0)}).${files}`;
    case "audio.record":
      return `Sound of ${String(out.seconds)} s from ${name}, microphone ${String(out.microphone)}, begun ${clock(out.taken_at_ms)} (${size(stream?.bytes ?? 0)}).${files}`;
    case "audio.play":
      return `It was played on ${name}.`;
    case "screen.record":
      return `Film of ${String(out.seconds)} s of screen ${String(out.screen)} of ${name}, begun ${clock(out.taken_at_ms)} (${size(stream?.bytes ?? 0)}).${files}`;
    case "camera.list": {
      const cameras = (out.cameras ?? []) as { id: string; label: string; facing: string }[];
      if (cameras.length === 0) return `${name} has no camera.`;
      return `Cameras of ${name}:\n${cameras.map(({ id, label, facing }) => `  ${id}  ${label}${facing === "unknown" ? "" : `, ${facing}`}`).join("\n")}`;
    }
    case "device.info":
      return `${name}: ${String(out.os)} ${String(out.release)}, ${String(out.arch)}, ${String(out.cpus)} processors, ${size(Number(out.memory_bytes))} of memory.`;
    case "device.status": {
      const battery =
        out.battery_percent === undefined
          ? ""
          : `, battery ${String(out.battery_percent)} %${out.charging === true ? " and charging" : ""}`;
      const kinds = (out.network ?? []) as string[];
      const network = kinds.length > 0 ? `, network: ${kinds.join(", ")}` : "";
      return `${name}: load ${(Number(out.load_percent) / 100).toFixed(2)}, ${size(Number(out.memory_free_bytes))} of memory free, up ${Math.floor(Number(out.uptime_s) / 3_600)} h${battery}${out.lid === "closed" ? ", lid closed" : ""}${network}.`;
    }
    case "files.list": {
      const entries = (out.entries ?? []) as Found[];
      const rest = Number(out.total) - entries.length;
      if (entries.length === 0) return `${name}: nothing is in there.`;
      return [...entries.map(found), ...(rest > 0 ? [`  … and ${rest} more`] : [])].join("\n");
    }
    case "files.stat":
      return `${name}:\n${found(out as unknown as Found)}`;
    case "files.write":
      return out.changed === false
        ? `${String(out.name)} was on ${name} already.`
        : `${String(out.name)} is on ${name} (${size(Number(out.size))}).${out.kept === undefined ? "" : ` The version before is ${String(out.kept)}.`}`;
    case "files.read":
      return `${String(out.name)} from ${name} (${size(stream?.bytes ?? 0)}).${files}`;
    case "shell.run": {
      const how =
        out.end === "exit" ? `code ${String(out.exit_code)}` : String(out.signal ?? out.end);
      const said = [out.stdout, out.stderr].filter((text) => text !== "").map(String);
      return (
        [`${name}: ended with ${how}.`, ...said.map((text) => text.slice(0, CHAT_CHARS))].join(
          "\n",
        ) + files
      );
    }
    case "clipboard.read":
      return `Clipboard of ${name} (${size(Number(out.size))}): ${String(out.preview) || "no text"}${files}`;
    case "clipboard.write":
      return `The text is on the clipboard of ${name}.`;
    case "location.get": {
      const degrees = (value: unknown) => (Number(value) / 1_000_000).toFixed(5);
      const called = out.name === undefined ? "" : `, ${String(out.name)}`;
      return `${name} is at ${degrees(out.latitude_microdeg)}, ${degrees(out.longitude_microdeg)}${called} (${out.source === "set-by-owner" ? "set by its owner" : `by ${String(out.source)}${out.accuracy_m === undefined ? "" : `, to ${String(out.accuracy_m)} m`}`}, rounded to within ${String(out.rounded_m)} m).`;
    }
    case "notify.show":
      return `The notification is on ${name}.`;
    case "speech.say":
      return `${name} said it.`;
    case "url.open":
      return `${name} opened ${String(out.url)}.`;
    case "screen.list": {
      const screens = (out.screens ?? []) as { id: string; label: string; primary: boolean }[];
      if (screens.length === 0) return `${name} has no screen.`;
      return `Screens of ${name}:\n${screens.map(({ id, label, primary }) => `  ${id}  ${label}${primary ? ", primary" : ""}`).join("\n")}`;
    }
    case "screen.snap":
      return `Screen ${String(out.screen)} of ${name}, taken ${clock(out.taken_at_ms)} (${String(out.width_px)}×${String(out.height_px)}, ${size(stream?.bytes ?? 0)}).${files}`;
    default: {
      const told = Object.keys(out).length > 0 ? JSON.stringify(out).slice(0, CHAT_CHARS) : "done.";
      return `${cap} of ${name}: ${told}${files}`;
    }
  }
}

/** A sentence begins with a capital, but the name of a device stays as it is. */
export function problem(
  failure: Failure,
  { name = "", cap = "CAP" } = {},
): NonNullable<ChatMessage["error"]> {
  const named = name !== "" && failure.message.startsWith(name);
  const message = named
    ? failure.message
    : failure.message.charAt(0).toUpperCase() + failure.message.slice(1);
  return {
    code: failure.code,
    message,
    remedy: inChat(remedies[failure.code]).replace("CAP", cap),
  };
}

/** Remedies speak of the command line; a chat has words of its own for the same. */
const inChat = (remedy: string): string =>
  remedy
    .replace("`kith lock --lift`", "/unlock")
    .replace("`kith safe off`", "/safe off")
    .replaceAll(/`kith (devices|approvals|grants|audit|why)([^`]*)`/g, "/$1$2");

export function ended(told: Outcome, final: boolean): ChatMessage {
  if (told.state === "done") return { text: done(told), final, result: told };
  const failure = told.failure ?? {
    code: "internal",
    message: "it ended without a reason",
    effect: "unknown",
  };
  const error = problem(failure, told);
  const doubt =
    told.state === "unknown" ? `It may or may not have happened (${short(told.call)}). ` : "";
  return {
    text: `${doubt}${error.message}. ${error.remedy}`,
    final,
    error,
    ...(told.device ? { result: told } : {}),
  };
}

/** It is permitted and waits for its device. */
export const waits = (call: string, name: string, until: number, locked = false): ChatMessage => ({
  text: `${name} is ${locked ? "locked" : "away"}. It will be done as soon as ${name} is ${locked ? "unlocked" : "back"}, until ${new Date(until).toLocaleString("sv").slice(0, 16)}; /cancel ${short(call)} takes it back.`,
  final: false,
});

export function choose(told: Outcome): ChatMessage {
  const choices = told.choices ?? [];
  return {
    text: `Which one?\n${choices.map(({ name }, at) => `  ${at + 1}  ${name}`).join("\n")}\nAnswer with the number or the name; the same words will mean it from now on in this chat.`,
    final: true,
    error: {
      code: "device-ambiguous",
      message: `Several devices fit: ${choices.map(({ name }) => name).join(", ")}`,
      remedy: remedies["device-ambiguous"],
    },
  };
}
