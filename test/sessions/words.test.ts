/** What the owner is asked, and what is said of a result, for each capability that has words of its own. */
import { ended, question } from "@kith/gateway/sessions/words";
import { expect, test } from "vitest";

const asked = (cap: string, args: Record<string, unknown>): string => {
  const { text } = question({ call: "01ABCDEF", name: "desk", device: "key", cap, args });
  return /^May I (.*) of desk\? {2}\(/.exec(text)?.[1] ?? text;
};

test.each<[string, Record<string, unknown>, string]>([
  ["screen.snap", {}, "take a picture of the screen"],
  ["screen.snap", { screen: "HDMI-1" }, "take a picture of screen HDMI-1"],
  ["clipboard.read", {}, "read the clipboard"],
  ["clipboard.write", { text: "a\n  b" }, "put “a b” on the clipboard"],
  ["notify.show", { title: "Tea", body: "" }, "show the notification “Tea”"],
  ["notify.show", { title: "Tea", body: "now" }, "show the notification “Tea” with “now”"],
  ["speech.say", { text: "Tea is ready" }, "say “Tea is ready” aloud"],
  [
    "url.open",
    { url: "https://a.example/?q" },
    "open the page https://a.example/?q in the browser",
  ],
  ["location.get", {}, "learn the place (city)"],
  ["location.get", { precision: "exact" }, "learn the place (exact)"],
])("%s with %j is asked as what it does", (cap, args, what) => {
  expect(asked(cap, args)).toBe(what);
});

test("of a long text the beginning, the end and the length are asked about", () => {
  const what = asked("clipboard.write", { text: `begin ${"x".repeat(20_000)} end` });
  expect(what).toMatch(/^put “begin x+ … x+ end” \(20010 characters\) on the clipboard$/);
  expect(what.length).toBeLessThan(700);
});

const told = (cap: string, out: Record<string, unknown>): string =>
  ended({ call: "c", state: "done", device: "key", name: "desk", cap, out }, true).text;

test.each<[string, Record<string, unknown>, string]>([
  [
    "screen.list",
    {
      screens: [
        { id: "eDP-1", label: "eDP-1", primary: true },
        { id: "all", label: "all screens", primary: false },
      ],
    },
    "Screens of desk:\n  eDP-1  eDP-1, primary\n  all  all screens",
  ],
  ["screen.list", { screens: [] }, "desk has no screen."],
  ["clipboard.read", { size: 3, preview: "tea" }, "Clipboard of desk (3 bytes): tea"],
  ["clipboard.read", { size: 0, preview: "" }, "Clipboard of desk (0 bytes): no text"],
  ["clipboard.write", { size: 3 }, "The text is on the clipboard of desk."],
  ["notify.show", {}, "The notification is on desk."],
  ["speech.say", {}, "desk said it."],
  ["url.open", { url: "https://a.example/" }, "desk opened https://a.example/."],
  [
    "location.get",
    {
      ...{ latitude_microdeg: 48_100_000, longitude_microdeg: -11_600_000, rounded_m: 8_000 },
      source: "set-by-owner",
    },
    "desk is at 48.10000, -11.60000 (set by its owner, rounded to within 8000 m).",
  ],
  [
    "location.get",
    {
      ...{ latitude_microdeg: 0, longitude_microdeg: 0, rounded_m: 80 },
      ...{ source: "geoclue", accuracy_m: 25 },
    },
    "desk is at 0.00000, 0.00000 (by geoclue, to 25 m, rounded to within 80 m).",
  ],
])("a result of %s with %j is told in words", (cap, out, text) => {
  expect(told(cap, out)).toBe(text);
});
