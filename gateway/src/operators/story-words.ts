/** The words of `kith why`: rows of the audit trail and events, each in a line that people can read. */
import type { Event } from "../runtime/effect.ts";
import type { AuditRow } from "../runtime/store.ts";
import { short } from "../sessions/words.ts";

type Data = Readonly<Record<string, unknown>>;

/** Rules of decide.ts that say too little by their names. */
const RULES: Readonly<Record<string, string>> = {
  "owner-asked": "the rule that what no permission covers is asked about",
  "words-of-others-read":
    "the rule that no standing permission counts for a model that read what others may have written",
};

const SAID: Readonly<Record<string, (data: Data) => string>> = {
  "approval.asked": ({ rule }) =>
    `the owner was asked${rule === undefined ? "" : `, by ${RULES[String(rule)] ?? String(rule)}`}`,
  "approval.approved": ({ by, for: span }) => `${String(by)} said yes (${String(span)})`,
  "approval.denied": ({ by }) => `${String(by)} said no`,
  "approval.expired": () => "nobody answered in 15 minutes",
  "approval.withdrawn": () => "the question was withdrawn: the call had ended",
  "grant.made": ({ for: span, requester }) =>
    `a permission was made for ${String(requester)} (${String(span)})`,
  "call.ready": ({ rule }) => `it may run by ${String(rule)}; it waits for its turn at the device`,
  "call.sent": ({ rule }) => `it may run by ${String(rule)}; sent to the device`,
  "call.done": () => "the device did it; the result is stored",
  "call.failed": ({ code, effect }) =>
    `it failed (${String(code)}; in the world: ${String(effect)})`,
  "call.denied": ({ code }) => `it was refused (${String(code)})`,
  "call.refused": ({ code, cap, by, rule }) =>
    `${String(by)} asked for ${String(cap)}: refused (${String(code)})${rule === undefined ? "" : `, by ${String(rule)}`}`,
  "call.expired": ({ code }) => `it waited too long (${String(code)})`,
  "call.cancelled": ({ code }) => `it was stopped (${String(code)})`,
  "call.replaced": ({ by }) => `the device had lost it; tried again as ${String(by)}`,
  "call.unknown": () => "it may or may not have happened",
  "device.connected": ({ epoch, tailnet }) =>
    `the device connected (link ${String(epoch)})${tailnet === undefined ? "" : `, by the tailnet as ${inTailnet(tailnet as Data)}`}`,
  "device.tailnet": ({ tailnet }) => `the tailnet says: ${inTailnet(tailnet as Data)}`,
  "pairing.opened": ({ address, by }) =>
    `${String(by)} let devices in by ${String(address)}, from then on`,
  "device.disconnected": ({ why }) => `the device went away: ${String(why)}`,
  "tool.refused": ({ tool, why }) => `the model wanted ${String(tool)}: ${String(why)}`,
  "model.answered": ({ model, calls, input, output, pictures }) =>
    `${String(model)} answered, with ${String(calls)} calls (${String(input)} tokens in, ${String(output)} out, ${String(pictures)} pictures seen)`,
  "message.dead": ({ event, error }) =>
    `${String(event)} was put aside after three failures (${String(error)}): \`kith dead\``,
};

const inTailnet = ({ name, login, tags, may }: Data): string => {
  const whose = [login, ...(tags as string[])].filter(Boolean).join(", ");
  const permits = may && `; its policy permits ${(may as string[]).join(", ") || "nothing"}`;
  return `${String(name)}${whose && ` (${whose})`}${permits ?? ""}`;
};

/** `about`: whose story it is. Rows of a call in a device's story say which call. */
export function rowWords({ what, data }: AuditRow, about: string): string {
  const known = SAID[what];
  const call = data.call ?? data.approval;
  if (known) {
    const which =
      typeof call === "string" && call !== about
        ? ` (${[data.cap, short(call)].filter(Boolean).join(", ")})`
        : "";
    return `${known(data)}${which}`;
  }
  const rest = Object.entries(data)
    .filter(([, value]) => value !== about)
    .map(([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${what.replace(".", " ")}: ${rest.join(", ")}`;
}

/** What of an event says most, in this order; found in it, or one level below. */
const TELLING = ["do", "op", "cap", "name", "state", "code", "error", "why", "for", "by", "text"];
const MOST_HINTS = 5;
const HINT_CHARS = 60;

/** ` (call, camera.snap)`, or nothing. Journals hold texts of people: a few words of each are enough. */
export function hints(event: Event): string {
  const parts = [event, ...Object.values(event).filter(isObject)] as Data[];
  const found = TELLING.flatMap((key) => {
    const value = parts.map((part) => part[key]).find((one) => typeof one === "string");
    if (typeof value !== "string" || value === "") return [];
    const words = value.length > HINT_CHARS ? `${value.slice(0, HINT_CHARS)}…` : value;
    return [
      key === "text" ? `“${words.replaceAll("\n", " ")}”` : key === "by" ? `by ${words}` : words,
    ];
  });
  return found.length > 0 ? ` (${found.slice(0, MOST_HINTS).join(", ")})` : "";
}

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null;

/** Ids have 26 characters; their ends tell them apart, and `kith why` takes those. */
export const shortIds = (text: string): string =>
  text.replaceAll(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g, (id) => `…${short(id)}`);
