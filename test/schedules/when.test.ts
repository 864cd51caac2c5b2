/** When: what people say, and what the calendar of a time zone makes of it. */
import { inWords, nextRun, readWhen } from "@kith/gateway/schedules/when";
import { describe, expect, test } from "vitest";

const ZONE = "Europe/Berlin";
/** A Tuesday, 10:30 in Berlin. */
const NOW = Date.parse("2026-12-01T09:30:00Z");
const iso = (at: number | undefined) => at && new Date(at).toISOString().slice(0, 16);
const first = (words: string) => {
  const { when, rest } = readWhen(words, NOW, ZONE);
  return [iso(nextRun(when, NOW, ZONE)), rest];
};

describe("once", () => {
  test.for<[string, string]>([
    ["in 20m tea", "2026-12-01T09:50"],
    ["20m tea", "2026-12-01T09:50"],
    ["in 2 hours tea", "2026-12-01T11:30"],
    ["in 1 week tea", "2026-12-08T09:30"],
    ["at 18:30 tea", "2026-12-01T17:30"],
    ["18:30 tea", "2026-12-01T17:30"],
    ["at 7pm tea", "2026-12-01T18:00"],
    ["at 12 am tea", "2026-12-01T23:00"],
    ["at 9 tea", "2026-12-02T08:00"],
    ["today at 18 tea", "2026-12-01T17:00"],
    ["tomorrow at 9 tea", "2026-12-02T08:00"],
    ["tomorrow 11:45 tea", "2026-12-02T10:45"],
    ["Tomorrow at 9am: tea", "2026-12-02T08:00"],
    ["monday at 7 tea", "2026-12-07T06:00"],
    ["on Tuesday 10:31 tea", "2026-12-01T09:31"],
    ["next tue at 9 tea", "2026-12-08T08:00"],
    ["2026-12-24 18:00 tea", "2026-12-24T17:00"],
    ["2026-07-01T8:05 tea", ""],
  ])("%s", ([words, at]) => {
    if (at === "") expect(() => first(words)).toThrow("it is over");
    else expect(first(words)).toEqual([at, "tea"]);
  });

  test("and never again", () => {
    const { when } = readWhen("tomorrow at 9 tea", NOW, ZONE);
    expect(nextRun(when, Date.parse("2026-12-02T08:00:00Z"), ZONE)).toBeUndefined();
  });
});

describe("again and again", () => {
  test.for<[string, readonly string[]]>([
    ["every 2h tea", ["2026-12-01T11:30", "2026-12-01T13:30"]],
    ["every hour tea", ["2026-12-01T10:30", "2026-12-01T11:30"]],
    ["every day at 8 tea", ["2026-12-02T07:00", "2026-12-03T07:00"]],
    ["daily at 8:15 tea", ["2026-12-02T07:15", "2026-12-03T07:15"]],
    ["weekdays at 8 tea", ["2026-12-02T07:00", "2026-12-03T07:00"]],
    ["every monday at 7:30 tea", ["2026-12-07T06:30", "2026-12-14T06:30"]],
    ["mondays at 7:30 tea", ["2026-12-07T06:30", "2026-12-14T06:30"]],
    ["every sat 22:00 tea", ["2026-12-05T21:00", "2026-12-12T21:00"]],
    ["cron 0 8 * * 1-5 tea", ["2026-12-02T07:00", "2026-12-03T07:00"]],
    ["cron 0 12 29 2 * tea", ["2028-02-29T11:00", "2032-02-29T11:00"]],
  ])("%s", ([words, times]) => {
    const { when, rest } = readWhen(words, NOW, ZONE);
    let at = NOW;
    const found = times.map(() => iso((at = nextRun(when, at, ZONE) ?? 0)));
    expect([found, rest]).toEqual([times, "tea"]);
  });
});

test.for([
  "",
  "tea",
  "soon tea",
  "whenever you like",
  "in 30s tea",
  "at 25:00 tea",
  "at 9:61 tea",
  "at 13pm tea",
  "at 0am tea",
  "tomorrow tea",
  "monday tea",
  "2026-13-40 10:00 tea",
  "2020-01-01 10:00 tea",
  "2040-01-01 10:00 tea",
  "cron * * * tea",
  "cron 99 8 * * * tea",
  "every 0m tea",
  "in 9999w tea",
  "__proto__ tea",
  "x".repeat(5_000),
])("“%s” is refused in words", (words) => {
  expect(() => readWhen(words, NOW, ZONE)).toThrow(
    expect.objectContaining({ code: "bad-args" }) as never,
  );
});

describe("days on which the clock is changed", () => {
  const times = (cron: string, zone: string, from: string) => {
    let at = Date.parse(from);
    return [1, 2, 3].map(() => iso((at = nextRun({ kind: "cron", cron }, at, zone) ?? 0)));
  };

  test.for<[string, string, string, string, readonly string[]]>([
    [
      "a missing hour",
      "30 2 * * *",
      "Europe/Berlin",
      "2026-03-28T00:00:00Z",
      ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],
    ],
    [
      "an hour that comes twice",
      "30 2 * * *",
      "Europe/Berlin",
      "2026-10-24T00:00:00Z",
      ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"],
    ],
    [
      "New York",
      "30 2 * * *",
      "America/New_York",
      "2026-03-07T00:00:00Z",
      ["2026-03-07T07:30", "2026-03-08T07:00", "2026-03-09T06:30"],
    ],
    [
      "half an hour",
      "15 2 * * *",
      "Australia/Lord_Howe",
      "2026-10-02T16:00:00Z",
      ["2026-10-03T15:30", "2026-10-04T15:15", "2026-10-05T15:15"],
    ],
  ])("%s", ([, cron, zone, from, expected]) => {
    expect(times(cron, zone, from)).toEqual(expected);
  });
});

test("a time in words", () => {
  const words = (text: string) => inWords(Date.parse(text), NOW, ZONE);
  expect(words("2026-12-01T17:30:00Z")).toBe("today, Tue 1 Dec, 18:30");
  expect(words("2026-12-02T08:30:00Z")).toBe("tomorrow, Wed 2 Dec, 09:30");
  expect(words("2027-01-04T06:00:00Z")).toBe("Mon 4 Jan 2027, 07:00");
});
