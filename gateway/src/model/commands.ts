/**
 * The offline grammar: slash commands and the plain sentences a person would type for them.
 * Always on, needs no key, costs nothing. Same words, same answer: no clock, no chance, no
 * look at the devices. It would rather not understand than do something else.
 */
import { KithError } from "@kith/shared/errors";
import { type Answer, type Model, type Turn, queueModes } from "./model.ts";

interface Command {
  readonly form: string;
  readonly what: string;
  readonly parse: (rest: string) => Answer;
}

const say = (text: string): Answer => ({ do: "say", text });
const operate = (op: string, args: Record<string, unknown> = {}): Answer => ({
  do: "operate",
  op,
  args,
});
const call = (cap: string, device: string, args: Record<string, unknown> = {}): Answer => ({
  do: "call",
  cap,
  device,
  args,
});

/** What a person types for one command or sentence; the longest are paths of files. */
const COMMAND_CHARS = 2_048;
/** Above this nothing is taken for a plain sentence: no pattern ever meets a long text. */
const SENTENCE_CHARS = 240;

// A map: `constructor` is a word like any other, and no property of it.
const FACINGS: ReadonlyMap<string, string> = new Map([
  ["front", "front"],
  ["selfie", "front"],
  ["back", "back"],
  ["rear", "back"],
]);

/** `[device] [front|back]`, in any order. */
function photo(rest: string): Answer {
  const words = rest.split(/\s+/).filter(Boolean);
  const facing = words.map((word) => FACINGS.get(word.toLowerCase())).find(Boolean);
  const device = words.filter((word) => !FACINGS.has(word.toLowerCase())).join(" ");
  // “the front camera of my phone's”: what is left of a phrase names no device by itself.
  return call(
    "camera.snap",
    device.replace(/^(?:the|my|a|an|our|its)$/i, "").replace(/[’']s$/i, ""),
    facing ? { facing } : {},
  );
}

const DURATION = /^(once|turn|15\s*m(?:in(?:utes?)?)?|1\s*h(?:our)?|today)$/i;
const duration = (word: string): string | undefined => {
  if (!DURATION.test(word)) return undefined;
  const low = word.toLowerCase();
  return low.startsWith("15") ? "15m" : low.startsWith("1") ? "1h" : low;
};

/** As questions show it: six letters and digits of Crockford's. */
const SHORT_ID = /^[0-9A-HJKMNP-TV-Z]{6}$/;

/** `[once|turn|15m|1h|today] [id]`, in any order. */
function allow(rest: string): Answer {
  const words = rest.split(/\s+/).filter(Boolean);
  const wishes = words.map(duration).filter((wish) => wish !== undefined);
  const ids = words.filter((word) => !duration(word));
  // A time, and not an id that looks like one: 487HRS is both, and ids are shown in capitals.
  if (ids.some((word) => time(word) !== undefined && !SHORT_ID.test(word)))
    return say("Permission is given for once, this turn, 15m, 1h or today: /allow once.");
  if (ids.length > 1 || wishes.length > 1)
    return say(
      "Say /allow once, /allow turn, /allow 15m, /allow 1h or /allow today, with the id when several questions are open.",
    );
  return operate("allow", { for: wishes[0] ?? "once", ...(ids[0] ? { id: ids[0] } : {}) });
}

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const SOONEST_MS = 10_000;
const LATEST_MS = 30 * UNITS.d!;

/** `10m`, `2 hours`; undefined where it is no time. */
function time(text: string): number | undefined {
  const [, number, unit = ""] =
    /^(\d{1,4})\s*(s|m|h|d)(?:ec|in|r|ay|our|econd|inute)?s?$/i.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * (UNITS[unit.toLowerCase()] ?? 0);
}

/** `1h /photo laptop`: what a device does may be put off, and nothing that decides. */
function later(rest: string): Answer {
  if (rest === "" || rest === "list") return { do: "put-off" };
  const [, number] = /^cancel\s+(\d{1,2})$/i.exec(rest) ?? [];
  if (number !== undefined) return { do: "put-off", drop: Number(number) };
  const [, wait = "", text = ""] = /^(\d{1,4}\s*[a-z]+)\s+([\s\S]+)$/i.exec(rest) ?? [];
  const afterMs = time(wait);
  if (afterMs === undefined) return say("Say it as in /later 1h /photo laptop.");
  if (afterMs < SOONEST_MS || afterMs > LATEST_MS)
    return say("It can be put off by 10 seconds at least and 30 days at most.");
  if (read(text).do !== "call")
    return say("Only what a device does can be put off, such as /later 1h /photo laptop.");
  return { do: "later", afterMs, text };
}

const WHEN_THERE =
  /^(?<what>.+?),? (?:when|once|as soon as) (?:(?:it|they)(?:[’']s| is| are| comes| come| gets| get) )?(?:online|back|back online|there|awake|connected|(?<lock>unlocked))(?: (?:within|in the next) (?<wait>\d{1,3} ?[a-z]+))?[.!?]*$/iu;
const DELIVER_MS = 86_400_000;
const MOST_DELIVER_MS = 7 * 86_400_000;

/** “… when it is back”: the same call, and it may wait for its device. */
function whenThere(words: string): Answer | undefined {
  const { what = "", lock, wait } = WHEN_THERE.exec(words)?.groups ?? {};
  if (what === "") return undefined;
  const answer = read(what);
  if (answer.do !== "call") return undefined;
  const deliverMs = wait === undefined ? DELIVER_MS : (time(wait) ?? 0);
  if (deliverMs < SOONEST_MS || deliverMs > MOST_DELIVER_MS)
    return say(
      "It can wait for a device for 7 days at most, as in: /photo laptop when online within 2h",
    );
  return { ...answer, deliverMs, ...(lock !== undefined && { unlocked: true }) };
}

const MOST_FILM_MS = 60_000;

/** `[device] [5s]`. */
function film(cap: string, rest: string): Answer {
  const [, device = "", wait] =
    /^(.*?)\s*\b(\d{1,3}\s*(?:s|sec|seconds?|m|min))?$/i.exec(rest) ?? [];
  const ms = wait === undefined ? undefined : (time(wait) ?? 0);
  if (ms !== undefined && (ms < 1_000 || ms > MOST_FILM_MS))
    return say("It lasts 1 to 60 seconds, as in /clip laptop 5s.");
  return call(cap, device, ms === undefined ? {} : { seconds: ms / 1_000 });
}

/** `laptop x.lamp.set {"on":true}`. */
function use(rest: string): Answer {
  const [, device = "", cap = "", json = "{}"] =
    /^(.+?)\s+(x\.\S+)(?:\s+(\{[\s\S]*\}))?$/.exec(rest) ?? [];
  const args = cap === "" ? undefined : object(json);
  return args
    ? call(cap, device, args)
    : say('Say it as in /use laptop x.lamp.set {"on":true}; /devices lists what there is.');
}

function object(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

const COPY =
  "Say /copy with a device, a path in its shared folder, and the device that gets it, as in /copy laptop notes.txt phone.";

/** `laptop notes.txt phone [path]`; a path with spaces stands in quotes. */
function copy(rest: string): Answer {
  const words = [...rest.matchAll(/"([^"]+)"|(\S+)/g)].map(
    ([, quoted, bare]) => quoted ?? bare ?? "",
  );
  const [from = "", path = "", to = "", into = path.split("/").at(-1) ?? ""] = words;
  if (to === "" || into === "" || words.length > 4) return say(COPY);
  const onward = { cap: "files.write", device: to, args: { path: into } };
  return { do: "call", cap: "files.read", device: from, args: { path }, onward };
}

const MEMORY =
  "Say /memory add <text>, /memory search <words>, /memory show [file], /memory trust <id> or /memory forget <words or id>.";

/** `search dentist`; `forget … --yes` does it, without it is only shown. */
function memory(rest: string): Answer {
  const [, verb = "", words = ""] = /^(\S+)(?:\s+([\s\S]+))?$/.exec(rest || "show") ?? [];
  if (verb.toLowerCase() === "show")
    return operate("memory.show", words === "" ? {} : { file: words });
  if (words === "") return say(MEMORY);
  // A phone makes one long dash of two.
  const [, what = "", yes] = /^(.*?)(\s+(?:--|[–—])yes)?$/is.exec(words) ?? [];
  switch (verb.toLowerCase()) {
    case "add":
      return operate("memory.add", { text: words.replaceAll(/\s+/g, " ") });
    case "search":
      return operate("memory.search", { words });
    case "trust":
      return operate("memory.trust", { ids: words.split(/\s+/) });
    case "forget":
      return operate("memory.forget", { what, ...(yes !== undefined && { yes: true }) });
    default:
      return say(MEMORY);
  }
}

const id = (rest: string) => (rest ? { id: rest } : {});

const commands: Readonly<Record<string, Command>> = {
  help: { form: "/help", what: "what can be said here", parse: () => say(help()) },
  photo: { form: "/photo [device|all] [front|back]", what: "take a photo", parse: photo },
  remind: {
    form: "/remind <when> <text>",
    what: "be reminded: in 20m, tomorrow at 9, every monday at 7:30",
    parse: (rest) =>
      rest
        ? operate("reminders.add", { when: rest })
        : say("Say it as in /remind tomorrow at 9 call Anna."),
  },
  reminders: {
    form: "/reminders [cancel <number>]",
    what: "what you will be reminded of",
    parse: (rest) => {
      const [, which] = /^cancel\s+(\S+)$/i.exec(rest) ?? [];
      return which ? operate("reminders.cancel", { id: which }) : operate("reminders.list");
    },
  },
  later: {
    form: "/later 10m|1h|2d <command>",
    what: "do it then; /later lists, /later cancel <number> takes back",
    parse: later,
  },
  cancel: {
    form: "/cancel <id>",
    what: "take back what waits for a device",
    parse: (rest) =>
      rest ? operate("calls.cancel", { id: rest }) : say("Say /cancel with its id."),
  },
  cameras: {
    form: "/cameras [device]",
    what: "list its cameras",
    parse: (rest) => call("camera.list", rest),
  },
  info: {
    form: "/info [device]",
    what: "what the device is",
    parse: (rest) => call("device.info", rest),
  },
  status: {
    form: "/status [device]",
    what: "how the gateway, or a device, is doing",
    parse: (rest) => (rest ? call("device.status", rest) : operate("status")),
  },
  files: {
    form: "/files <device> [folder], /files get <device> <path>",
    what: "list a shared folder, or fetch a file from it",
    parse: (rest) => {
      const match = /^get\s+(\S+)\s+(.+)$/i.exec(rest);
      if (match) return call("files.read", match[1] ?? "", { path: match[2] ?? "" });
      const [, device = "", path] = /^(\S+)(?:\s+(.+))?$/.exec(rest) ?? [];
      return /^(?:get)?$/i.test(device)
        ? say(
            "Say /files <device>, or /files get <device> <path>; a path is inside the shared folder.",
          )
        : call("files.list", device, path === undefined ? {} : { path });
    },
  },
  copy: {
    form: "/copy <device> <path> <device> [path]",
    what: "copy a file of one device to another",
    parse: copy,
  },
  clip: {
    form: "/clip [device] [5s]",
    what: "film with its camera, without sound",
    parse: (rest) => film("camera.clip", rest),
  },
  record: {
    form: "/record [device] [5s]",
    what: "film what its screen shows",
    parse: (rest) => film("screen.record", rest),
  },
  listen: {
    form: "/listen [device] [5s]",
    what: "record sound with its microphone",
    parse: (rest) => film("audio.record", rest),
  },
  screen: {
    form: "/screen [device]",
    what: "take a picture of its screen",
    parse: (rest) => call("screen.snap", rest),
  },
  clipboard: {
    form: "/clipboard [device]",
    what: "read its clipboard",
    parse: (rest) => call("clipboard.read", rest),
  },
  where: {
    form: "/where [device]",
    what: "where it is, to within 8 km",
    parse: (rest) => call("location.get", rest),
  },
  tell: {
    form: "/tell <device> <text>",
    what: "show a notification there",
    parse: (rest) => {
      const [, device = "", title = ""] = /^(\S+)\s+(.{1,200})$/s.exec(rest) ?? [];
      return title
        ? call("notify.show", device, { title: title.replaceAll(/\s+/g, " ") })
        : say("Say /tell with a device and at most 200 characters.");
    },
  },
  use: {
    form: '/use <device> x.<name> [{"on":true}]',
    what: "a capability of your own, with its arguments as JSON",
    parse: use,
  },
  devices: {
    form: "/devices",
    what: "your devices and what they offer",
    parse: () => operate("devices.list"),
  },
  pair: {
    form: "/pair [open [<address>]]",
    what: "let a new device in; open an address that others can reach",
    parse: (rest) => {
      const [word, address] = rest.split(/\s+/);
      if (!word) return operate("pair.offer");
      if (word === "open") return operate("pair.open", address ? { address } : {});
      return say("Say /pair, or /pair open with an address of the gateway's machine.");
    },
  },
  approve: {
    form: "/approve <code>",
    what: "let in the device that shows this code",
    parse: (rest) =>
      rest
        ? operate("pair.approve", { code: rest })
        : say("Say /approve with the code that the device shows."),
  },
  allow: {
    form: "/allow once|turn|15m|1h|today [id|all]",
    what: "permit what was asked",
    parse: allow,
  },
  deny: {
    form: "/deny [id]",
    what: "refuse what was asked",
    parse: (rest) => operate("deny", id(rest)),
  },
  approvals: {
    form: "/approvals",
    what: "questions that wait for your answer",
    parse: () => operate("approvals.list"),
  },
  grants: {
    form: "/grants",
    what: "permissions that are in force",
    parse: () => operate("grants.list"),
  },
  revoke: {
    form: "/revoke <device>",
    what: "end a device's pairing at once",
    parse: (rest) =>
      rest
        ? operate("devices.revoke", { device: rest })
        : say("Say /revoke with the name of the device."),
  },
  audit: {
    form: "/audit",
    what: "what was done and decided lately",
    parse: () => operate("audit.list", { limit: 15 }),
  },
  why: {
    form: "/why <id>",
    what: "the story of a call, device or question",
    parse: (rest) => (rest ? operate("why", { id: rest }) : say("Say /why with an id.")),
  },
  memory: {
    form: "/memory [add|search|show|trust|forget] ...",
    what: "what I remember: add a line, find, read, vouch for one, remove",
    parse: memory,
  },
  safe: {
    form: "/safe off",
    what: "send calls again after several crashes",
    parse: (rest) =>
      rest === "off" ? operate("safe.off") : say("Say /safe off to end safe mode."),
  },
  skills: {
    form: "/skills",
    what: "the assistant's how-tos",
    parse: () => operate("skills.list"),
  },
  usage: {
    form: "/usage",
    what: "what was used today, and the limits",
    parse: () => operate("usage.list"),
  },
  stop: {
    form: "/stop",
    what: "end what is under way in this chat",
    parse: () => ({ do: "stop" }),
  },
  new: {
    form: "/new",
    what: "the model forgets what was said here",
    parse: () => ({ do: "forget", what: "all" }),
  },
  clean: {
    form: "/clean",
    what: "the model forgets here what others may have written",
    parse: () => ({ do: "forget", what: "labelled" }),
  },
  queue: {
    form: "/queue steer|followup|collect|interrupt",
    what: "what becomes of words that are said while the model works",
    parse: (rest) => {
      const mode = queueModes.find((one) => one === rest.toLowerCase());
      return mode
        ? { do: "queue", mode }
        : say(
            "Say /queue steer (it hears it with its next step), followup (after its answer, one by one), collect (after its answer, together) or interrupt (now, instead).",
          );
    },
  },
  lock: {
    form: "/lock",
    what: "turn everything off (/unlock lifts it)",
    parse: () => operate("lock"),
  },
  unlock: {
    form: "/unlock",
    what: "lift the lock",
    // Locking more than was meant is safe; unlocking more is not.
    parse: (rest) =>
      rest
        ? say("There is one lock, for everything. Say /unlock alone to lift it.")
        : operate("lock", { lift: true }),
  },
};

function help(): string {
  const width = Math.max(...Object.values(commands).map(({ form }) => form.length));
  return [
    "Say it in plain words, such as “grab a photo from my laptop camera”, or use a command:",
    ...Object.values(commands).map(({ form, what }) => `  ${form.padEnd(width)}  ${what}`),
  ].join("\n");
}

const PLEASE = "(?:(?:please|can you|could you|would you),? )*";
const DEVICE = "(?: of (?<subject>.+?))?(?: (?:from|on|with|at|using|through) (?<device>.+?))?";
const END = "(?:,? (?:please|now|thanks|thank you))*[.!?]*$";
const NOUN = "(?:photo|picture|pic|snapshot|image|shot)";
const PICTURE = `(?: (?:quick|new))?(?: (?:(?<facing>front|back|rear|selfie) )?${NOUN}| (?<selfie>selfie))`;

/** Plain sentences, each the same tool call as its command. */
const sentences: readonly {
  readonly match: RegExp;
  readonly to: (groups: Readonly<Record<string, string | undefined>>) => Answer;
}[] = [
  {
    // “Show me the picture” means one that is there already, so it is none of these.
    match: new RegExp(
      `^${PLEASE}(?:(?:grab|take|snap|shoot|make)(?: me)?(?: (?:an?|the|another|one))?|(?:get|send|show|give)(?: me)? (?:an?|another|one))${PICTURE}${DEVICE}${END}`,
      "iu",
    ),
    to: ({ subject = "", device = subject, facing, selfie }) =>
      // A cat is no device, and nobody here can point a camera at it.
      device === subject && subject !== "" && !/\b(?:web)?cam(?:era)?\b/iu.test(subject)
        ? say(
            "I take pictures with the cameras of your devices, whatever is in front of them. Say which device, as in “take a photo from my laptop”.",
          )
        : photo([cameraOf(device), facing ?? selfie ?? ""].join(" ")),
  },
  {
    match: new RegExp(
      `^${PLEASE}(?:copy|send|move over|put) (?:the file )?(?<path>\\S*\\.\\S+) (?:from|of|on) (?<from>.+?) (?:to|onto|on) (?<to>.+?)${END}`,
      "iu",
    ),
    to: ({ path = "", from = "", to = "" }) => {
      const onward = {
        cap: "files.write",
        device: to.trim(),
        args: { path: path.split("/").at(-1) ?? "" },
      };
      return { do: "call", cap: "files.read", device: from.trim(), args: { path }, onward };
    },
  },
  {
    match: new RegExp(
      `^${PLEASE}(?:take|grab|get|make|send|show)(?: me)? (?:a |the )?(?:screen ?shot|picture of the screen)${DEVICE}${END}`,
      "iu",
    ),
    to: ({ subject = "", device = subject }) => call("screen.snap", device.trim()),
  },
  {
    match:
      /^(?:list|show|which|what)(?: me)? (?:the |are the )?cameras(?: (?:of|on|from|does) (?<device>.+?)(?: have)?)?[.!?]*$/iu,
    to: ({ device }) => call("camera.list", device ?? ""),
  },
  {
    match:
      /^(?:how is|how[’']s) (?!(?:it|this|that|everything|everyone|life|things|the weather)\b)(?<device>.+?)(?: doing)?[.!?]*$/iu,
    to: ({ device }) => call("device.status", device ?? ""),
  },
  {
    match:
      /^(?:(?:get|show|tell)(?: me)? )?(?:the )?(?:status|battery|load) (?:of|from|on) (?<device>.+?)[.!?]*$/iu,
    to: ({ device }) => call("device.status", device ?? ""),
  },
  {
    match:
      /^(?:(?:show|list)(?: me)? )?(?:my |the )?devices[.!?]*$|^(?:what|which) devices (?:do i have|are there|are online)[.!?]*$/iu,
    to: () => operate("devices.list"),
  },
  {
    // “Add a reminder” opens no door.
    match:
      /^(?:pair|add) (?:(?:a|an|another|my|the|new) )*(?:device|phone|laptop|computer|desktop|pc|server|tablet|raspberry pi|node)[.!?]*$/iu,
    to: () => operate("pair.offer"),
  },
  { match: /^(?:what can (?:you|i) (?:do|say)|help)[.!?]*$/iu, to: () => say(help()) },
  { match: /^lock(?: everything)?[.!?]*$/iu, to: () => operate("lock") },
];

/** “my laptop camera”, “the camera of my laptop”: the device is what is left. */
function cameraOf(words: string | undefined): string {
  return (words ?? "")
    .replace(
      /^(?:the\s+)?(?:(?<facing>front|back|rear)\s+)?(?:web)?cam(?:era)?\s+(?:of|on|in)\s+/iu,
      "$1 ",
    )
    .replace(/[’']s\s+(?:web)?cam(?:era)?$/iu, "")
    .replace(/\s+(?:web)?cam(?:era)?$/iu, "")
    .replace(/^(?:web)?cam(?:era)?$/iu, "")
    .replace(/^(?:the|a|any|its|my)\s+(?:web)?cam(?:era)?$/iu, "")
    .trim();
}

/** The gateway's own methods decide, or tell what only its owner should know: devices, grants, audit. */
export function parse({ text, owner, direct }: Turn): Answer {
  if (direct) return say("That was for the language model, and none hears it here.");
  const answer = read(text.trim());
  if (answer.do === "operate" && !owner)
    return say("Only an owner can say that, in a private chat.");
  return answer;
}

function read(text: string): Answer {
  if (text.length > (text.startsWith("/") ? COMMAND_CHARS : SENTENCE_CHARS))
    return text.startsWith("/")
      ? say("That is too long for a command. /help shows what there is.")
      : puzzled;
  const waiting = whenThere(text.replaceAll(/\s+/g, " "));
  if (waiting) return waiting;
  const slash = /^\/([a-z]+)(?:\s+([\s\S]*))?$/i.exec(text);
  if (slash) {
    const command = Object.hasOwn(commands, (slash[1] ?? "").toLowerCase())
      ? commands[(slash[1] ?? "").toLowerCase()]
      : undefined;
    return command
      ? command.parse((slash[2] ?? "").trim())
      : say(`There is no command /${(slash[1] ?? "").slice(0, 32)}. /help shows what there is.`);
  }
  const words = text.replaceAll(/\s+/g, " ");
  for (const { match, to } of sentences) {
    const found = match.exec(words);
    if (found) return to(found.groups ?? {});
  }
  return puzzled;
}

const puzzled: Answer = {
  do: "say",
  puzzled: true,
  text: "I did not understand that. I can take photos, list devices, tell how a device is doing and fetch files; /help shows how to say it.",
};

export const commandModel: Model = {
  name: "commands",
  answer: (turn) => Promise.resolve(parse(turn)),
  ask: () => Promise.reject(new KithError("internal", "there is no language model")),
};
