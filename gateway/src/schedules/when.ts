/**
 * What people say about when: once, every so often, or by the calendar of a time zone. Days on which the
 * clock is changed are croner's: what falls into the missing hour is at its end, what comes twice is once.
 */
import { KithError } from "@kith/shared/errors";
import { Cron } from "croner";

export type When =
  | { readonly kind: "at"; readonly at: number }
  | { readonly kind: "every"; readonly ms: number; readonly since: number }
  | { readonly kind: "cron"; readonly cron: string };

const SOONEST_MS = 60_000;
const LATEST_MS = 5 * 366 * 86_400_000;
const MINUTE_MS = 60_000;

/** The first moment after `after` (Unix ms); undefined: never again. */
export function nextRun(when: When, after: number, zone: string): number | undefined {
  if (when.kind === "at") return when.at > after ? when.at : undefined;
  if (when.kind === "every")
    return when.since + (Math.floor((after - when.since) / when.ms) + 1) * when.ms;
  return cronNext(when.cron, after, zone);
}

function cronNext(cron: string, after: number, zone: string): number | undefined {
  const next = new Cron(cron, { timezone: zone, paused: true }).nextRun(new Date(after));
  return next?.getTime();
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ["m", MINUTE_MS],
  ["h", 60 * MINUTE_MS],
  ["d", 1_440 * MINUTE_MS],
  ["w", 10_080 * MINUTE_MS],
]);
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const DAY = "(sun|mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?)(?:day)?s?";
const TIME = "(?:at )?(\\d{1,2})(?::(\\d{2}))?(?: ?(am|pm))?";
const SPAN = "(\\d{1,4})? ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)";

/** Each with what stands behind it. */
const forms: readonly {
  readonly match: RegExp;
  readonly read: (groups: readonly string[], now: number, zone: string) => When | undefined;
}[] = [
  {
    match: new RegExp(`^(?:in )?${SPAN}\\b`, "i"),
    read: ([count = "1", unit = ""], now) => ({ kind: "at", at: now + span(count, unit) }),
  },
  {
    match: new RegExp(`^(?:every day|daily) ${TIME}\\b`, "i"),
    read: (time) => daily(time, "*"),
  },
  {
    match: new RegExp(`^(?:every weekday|on weekdays|weekdays) ${TIME}\\b`, "i"),
    read: (time) => daily(time, "1-5"),
  },
  {
    match: new RegExp(`^every ${SPAN}\\b`, "i"),
    read: ([count = "1", unit = ""], now) =>
      span(count, unit) > 0 ? { kind: "every", ms: span(count, unit), since: now } : undefined,
  },
  {
    match: new RegExp(`^(?:every |(?:on )?(?=\\w+days ))${DAY} ${TIME}\\b`, "i"),
    read: ([day = "", ...time]) => daily(time, dayOf(day)),
  },
  {
    match: new RegExp(`^(?:on |next )?${DAY} ${TIME}\\b`, "i"),
    read: ([day = "", ...time], now, zone) => once(daily(time, dayOf(day)), now, zone),
  },
  {
    match: new RegExp(`^tomorrow ${TIME}\\b`, "i"),
    read: (time, now, zone) => {
      const form = daily(time, "*");
      const first = once(form, now, zone);
      // Later today is not tomorrow.
      return first && date(first.at, zone) === date(now, zone) ? once(form, first.at, zone) : first;
    },
  },
  {
    match: /^(\d{4}-\d{2}-\d{2})[ T](\d{1,2}):(\d{2})\b/,
    read: ([day = "", hour = "", minute = ""], now, zone) =>
      once({ kind: "cron", cron: `${day}T${hour.padStart(2, "0")}:${minute}:00` }, now, zone),
  },
  {
    match: /^cron ((?:[\d*,/LW#?-]+ ){4}[\d*,/LW#?-]+)(?=\s|$)/i,
    read: ([cron = ""]) => ({ kind: "cron", cron }),
  },
  {
    match: new RegExp(
      `^(?:today )?(?:at (\\d{1,2})(?::(\\d{2}))?(?: ?(am|pm))?|(\\d{1,2}):(\\d{2}))\\b`,
      "i",
    ),
    read: ([hour, minute, half, bare, more], now, zone) =>
      once(daily([hour ?? bare ?? "", minute ?? more ?? "", half ?? ""], "*"), now, zone),
  },
];

const span = (count: string, unit: string): number =>
  Number(count) * (UNITS.get(unit.charAt(0).toLowerCase()) ?? 0);
const dayOf = (day: string): string =>
  String(DAYS.findIndex((name) => day.toLowerCase().startsWith(name)));
const date = (at: number, zone: string): string =>
  new Date(at).toLocaleDateString("sv", { timeZone: zone });

function daily(
  [hour = "", minute = "", half = ""]: readonly string[],
  days: string,
): When | undefined {
  const late = half.toLowerCase() === "pm" ? 12 : 0;
  const h = half === "" ? Number(hour) : (Number(hour) % 12) + late;
  const m = Number(minute || "0");
  if (h > 23 || m > 59 || (half !== "" && (Number(hour) < 1 || Number(hour) > 12)))
    return undefined;
  return { kind: "cron", cron: `${m} ${h} * * ${days}` };
}

function once(
  form: When | undefined,
  now: number,
  zone: string,
): { kind: "at"; at: number } | undefined {
  const at = form && nextRun(form, now, zone);
  return at === undefined ? undefined : { kind: "at", at };
}

/**
 * The time at the beginning of these words, and the words behind it.
 * @throws KithError bad-args: no time, one that is over, too soon, too far, or too often
 */
export function readWhen(words: string, now: number, zone: string): { when: When; rest: string } {
  const text = words.trim().replaceAll(/\s+/g, " ");
  for (const { match, read } of forms) {
    const found = match.exec(text);
    if (!found) continue;
    const rest = text
      .slice(found[0].length)
      .replace(/^[:,]? ?(?:to |that )?/i, "")
      .trim();
    let when: When | undefined;
    try {
      when = read(found.slice(1), now, zone);
      if (when) checked(when, now, zone);
    } catch (error) {
      if (error instanceof KithError) throw error;
      when = undefined; // croner's own words are for programmers
    }
    if (!when) throw new KithError("bad-args", `“${found[0]}” is no time, or it is over`);
    return { when, rest };
  }
  throw new KithError(
    "bad-args",
    "say when first: in 20m, at 18:30, tomorrow at 9, monday at 7, 2026-12-24 18:00, every 2h, every day at 8, every monday at 7:30, or cron 0 8 * * 1-5",
  );
}

/** @throws KithError bad-args */
function checked(when: When, now: number, zone: string): void {
  const first = nextRun(when, now, zone);
  if (first === undefined) throw new KithError("bad-args", "that never comes");
  if (first - now > LATEST_MS) throw new KithError("bad-args", "that is more than five years away");
  if (when.kind === "at" && first - now < SOONEST_MS)
    throw new KithError("bad-args", "that is less than a minute away");
  const second = nextRun(when, first, zone);
  if (second !== undefined && second - first < SOONEST_MS)
    throw new KithError("bad-args", "that is more often than once a minute");
}

/** “tomorrow, Wed 2 Dec, 09:30”. */
export function inWords(at: number, now: number, zone: string): string {
  const days = [0, 1].map((n) => date(now + n * 1_440 * MINUTE_MS, zone)).indexOf(date(at, zone));
  const near = ["today, ", "tomorrow, "][days] ?? "";
  const day = new Date(at).toLocaleDateString("en-GB", {
    ...{ weekday: "short", day: "numeric", month: "short", timeZone: zone },
    ...(date(at, zone).slice(0, 4) !== date(now, zone).slice(0, 4) && { year: "numeric" as const }),
  });
  const time = new Date(at).toLocaleTimeString("en-GB", {
    ...{ hour: "2-digit", minute: "2-digit", timeZone: zone },
  });
  return `${near}${day.replace(",", "")}, ${time}`;
}
