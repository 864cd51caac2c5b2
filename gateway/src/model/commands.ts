/**
 * The offline grammar: slash commands and the plain sentences a person would type for them.
 * Always on, needs no key, costs nothing. Same words, same answer: no clock, no chance, no
 * look at the devices.
 */
import type { Answer, Model, Turn } from "./model.ts";

interface Command {
  readonly form: string;
  readonly what: string;
  /** Decides something: only for an owner in a private chat. */
  readonly owner?: true;
  readonly parse: (rest: string) => Answer;
}

const say = (text: string): Answer => ({ do: "say", text });
const operate = (op: string, args: Record<string, unknown> = {}): Answer => ({ do: "operate", op, args });
const call = (cap: string, device: string, args: Record<string, unknown> = {}): Answer => ({ do: "call", cap, device, args });

const FACINGS: Readonly<Record<string, string>> = { front: "front", selfie: "front", back: "back", rear: "back" };

/** `[device] [front|back]`, in any order. */
function photo(rest: string): Answer {
  const words = rest.split(/\s+/).filter(Boolean);
  const facing = words.map((word) => FACINGS[word.toLowerCase()]).find(Boolean);
  const device = words.filter((word) => !FACINGS[word.toLowerCase()]).join(" ");
  return call("camera.snap", device, facing ? { facing } : {});
}

const DURATION = /^(once|15\s*m(?:in(?:utes?)?)?|1\s*h(?:our)?|today)$/i;
const duration = (word: string): string | undefined => {
  if (!DURATION.test(word)) return undefined;
  const low = word.toLowerCase();
  return low.startsWith("15") ? "15m" : low.startsWith("1") ? "1h" : low;
};

/** `[once|15m|1h|today] [id]`, in any order. */
function allow(rest: string): Answer {
  const words = rest.split(/\s+/).filter(Boolean);
  const wish = words.map(duration).find(Boolean) ?? "once";
  const ids = words.filter((word) => !duration(word));
  if (ids.length > 1) return say("Say /allow once, /allow 15m, /allow 1h or /allow today, with the id when several questions are open.");
  return operate("allow", { for: wish, ...(ids[0] ? { id: ids[0] } : {}) });
}

const id = (rest: string) => (rest ? { id: rest } : {});

const commands: Readonly<Record<string, Command>> = {
  help: { form: "/help", what: "what can be said here", parse: () => say(help()) },
  photo: { form: "/photo [device] [front|back]", what: "take a photo", parse: photo },
  cameras: { form: "/cameras [device]", what: "list its cameras", parse: (rest) => call("camera.list", rest) },
  info: { form: "/info [device]", what: "what the device is", parse: (rest) => call("device.info", rest) },
  status: {
    form: "/status [device]",
    what: "how the gateway, or a device, is doing",
    parse: (rest) => (rest ? call("device.status", rest) : operate("status")),
  },
  files: {
    form: "/files get <device> <path>",
    what: "fetch a file from a shared folder",
    parse: (rest) => {
      const match = /^get\s+(\S+)\s+(.+)$/i.exec(rest);
      return match ? call("files.read", match[1] ?? "", { path: match[2] ?? "" }) : say("Say /files get <device> <path>, with the path inside a shared folder.");
    },
  },
  devices: { form: "/devices", what: "your devices and what they offer", parse: () => operate("devices.list") },
  pair: { form: "/pair", what: "open pairing for a new device", owner: true, parse: () => operate("pair.listen") },
  approve: {
    form: "/approve <code>",
    what: "let in the device that shows this code",
    owner: true,
    parse: (rest) => (rest ? operate("pair.approve", { code: rest }) : say("Say /approve with the code that the device shows.")),
  },
  allow: { form: "/allow once|15m|1h|today [id]", what: "permit what was asked", owner: true, parse: allow },
  deny: { form: "/deny [id]", what: "refuse what was asked", owner: true, parse: (rest) => operate("deny", id(rest)) },
  approvals: { form: "/approvals", what: "questions that wait for your answer", parse: () => operate("approvals.list") },
  grants: { form: "/grants", what: "permissions that are in force", parse: () => operate("grants.list") },
  revoke: {
    form: "/revoke <device>",
    what: "end a device's pairing at once",
    owner: true,
    parse: (rest) => (rest ? operate("devices.revoke", { device: rest }) : say("Say /revoke with the name of the device.")),
  },
  audit: { form: "/audit", what: "what was done and decided lately", parse: () => operate("audit.list", { limit: 15 }) },
  why: { form: "/why <id>", what: "the story of a call, device or question", parse: (rest) => (rest ? operate("why", { id: rest }) : say("Say /why with an id.")) },
  lock: { form: "/lock", what: "turn everything off (/unlock lifts it)", owner: true, parse: () => operate("lock") },
  unlock: { form: "/unlock", what: "lift the lock", owner: true, parse: () => operate("lock", { lift: true }) },
};

function help(): string {
  const width = Math.max(...Object.values(commands).map(({ form }) => form.length));
  return [
    "Say it in plain words, such as “grab a photo from my laptop camera”, or use a command:",
    ...Object.values(commands).map(({ form, what }) => `  ${form.padEnd(width)}  ${what}`),
  ].join("\n");
}

const VERB = "(?:(?:please|can you|could you|would you)\\s+)*(?:grab|take|get|send|show|snap|shoot|make|give)(?:\\s+me)?";
const DEVICE = "(?:(?:from|on|of|with|at|using|through)\\s+(?<device>.+?))?";
const END = "(?:\\s+(?:please|now))*[.!?]*$";
const sentence = (middle: string) => new RegExp(`^${VERB}\\s+${middle}\\s*${DEVICE}${END}`, "iu");

/** Plain sentences, each the same tool call as its command. */
const sentences: readonly { readonly match: RegExp; readonly to: (groups: Readonly<Record<string, string | undefined>>) => Answer }[] = [
  {
    match: sentence("(?:an?|the|another|one)?\\s*(?:quick|new)?\\s*(?<facing>front|back|rear|selfie)?\\s*(?:photo|picture|pic|snapshot|selfie|image|shot)"),
    to: ({ device, facing }) => photo([cameraOf(device), facing ?? ""].join(" ")),
  },
  {
    match: /^(?:list|show|which|what)(?:\s+me)?\s+(?:the\s+|are\s+the\s+)?cameras\s*(?:(?:of|on|from|does)\s+(?<device>.+?)(?:\s+have)?)?[.!?]*$/iu,
    to: ({ device }) => call("camera.list", device ?? ""),
  },
  {
    match: /^(?:how\s+is|how's)\s+(?<device>.+?)(?:\s+doing)?[.!?]*$/iu,
    to: ({ device }) => call("device.status", device ?? ""),
  },
  {
    match: /^(?:(?:get|show|tell)(?:\s+me)?\s+)?(?:the\s+)?(?:status|battery|load)\s+(?:of|from|on)\s+(?<device>.+?)[.!?]*$/iu,
    to: ({ device }) => call("device.status", device ?? ""),
  },
  {
    match: /^(?:(?:show|list)(?:\s+me)?\s+)?(?:my\s+|the\s+)?devices[.!?]*$|^(?:what|which)\s+devices\s+(?:do\s+i\s+have|are\s+there|are\s+online)[.!?]*$/iu,
    to: () => operate("devices.list"),
  },
  { match: /^(?:pair|add)\s+(?:a|an|another|my|new)\b.*$/iu, to: () => operate("pair.listen") },
  { match: /^(?:what\s+can\s+(?:you|i)\s+(?:do|say)|help)[.!?]*$/iu, to: () => say(help()) },
  { match: /^lock(?:\s+everything)?[.!?]*$/iu, to: () => operate("lock") },
];

/** “my laptop camera”, “the camera of my laptop”: the device is what is left. */
function cameraOf(words: string | undefined): string {
  return (words ?? "")
    .replace(/^(?:the\s+)?(?:(?<facing>front|back|rear)\s+)?(?:web)?cam(?:era)?\s+(?:of|on|in)\s+/iu, "$1 ")
    .replace(/[’']s\s+(?:web)?cam(?:era)?$/iu, "")
    .replace(/\s+(?:web)?cam(?:era)?$/iu, "")
    .replace(/^(?:web)?cam(?:era)?$/iu, "")
    .replace(/^(?:the|a|any|its|my)\s+(?:web)?cam(?:era)?$/iu, "")
    .trim();
}

const OWNER_OPS = new Set(["pair.listen", "pair.approve", "allow", "deny", "lock", "devices.revoke"]);

export function parse({ text, owner }: Turn): Answer {
  const answer = read(text.trim());
  if (answer.do === "operate" && OWNER_OPS.has(answer.op) && !owner) return say("Only an owner can say that, in a private chat.");
  return answer;
}

function read(text: string): Answer {
  const slash = /^\/([a-z]+)(?:\s+([\s\S]*))?$/i.exec(text);
  if (slash) {
    const command = Object.hasOwn(commands, (slash[1] ?? "").toLowerCase()) ? commands[(slash[1] ?? "").toLowerCase()] : undefined;
    return command ? command.parse((slash[2] ?? "").trim()) : say(`There is no command /${(slash[1] ?? "").slice(0, 32)}. /help shows what there is.`);
  }
  for (const { match, to } of sentences) {
    const found = match.exec(text);
    if (found) return to(found.groups ?? {});
  }
  return say("I did not understand that. I can take photos, list devices, tell how a device is doing and fetch files; /help shows how to say it.");
}

export const commandModel: Model = {
  name: "commands",
  answer: (turn) => Promise.resolve(parse(turn)),
};
