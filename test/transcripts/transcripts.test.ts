/** Transcripts: Markdown of what was said, the same bytes from the same rows, and nothing that others may form. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Spoken } from "@kith/gateway/runtime/store";
import { render, told } from "@kith/gateway/transcripts/render";
import { Transcripts, folderOf } from "@kith/gateway/transcripts/transcripts";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const NOON = new Date(2026, 11, 1, 12).getTime();
const you = (n: number, text: string, at = NOON + n): Spoken => ({
  ...{ n, actor: "session/S", at, op: "model", args: { text, owner: true } },
});
const kith = (n: number, message: object, at = NOON + n): Spoken => ({
  ...{ n, actor: "session/S", at, op: "say", chat: "console" },
  args: { chat: "console", message },
});

test("a day is one file: who said what and when, what was used, and pictures as links", () => {
  const path = "/home/anna/.kith/media/ab12.jpg";
  const result = {
    streams: [{ type: "image/jpeg", role: "image", path, bytes: 1, sha256: "ab12" }],
  };
  const call = { id: "t", name: "camera_snap", args: { device: "laptop" } };
  const item = (args: object): Spoken => ({
    n: 0,
    actor: "session/S",
    at: NOON + 2,
    op: "item",
    args,
  });
  expect(
    render("console", "2026-12-01", [
      you(1, "grab a photo"),
      item({ role: "assistant", text: "", calls: [call] }),
      item({ role: "tool", call: "t", name: "camera_snap", text: '{"width":4}', pictures: [] }),
      kith(3, { text: `Photo from laptop.\n${path}`, final: true, result }),
    ]),
  ).toBe(`# console, 2026-12-01

## 12:00:00 You

grab a photo

## 12:00:00 Kith uses

- \`camera_snap {"device":"laptop"}\`

## 12:00:00 Result of camera_snap

\`{"width":4}\`

## 12:00:00 Kith

Photo from laptop.

![image](../../media/ab12.jpg)
`);
});

test.for([
  "# a heading",
  "<!-- a comment -->",
  "![x](https://evil.example/x.png)",
  "[x](javascript:1)",
  "- a list\n+ another\n=====",
  "1. one",
  "```\ncode\n```",
  "a\u202eb\u0007c\u001b[31m",
  "<script>alert(1)</script>",
])("nothing that is said forms anything: %s", (text) => {
  const body = told(you(1, text))?.split("\n").slice(2).join("\n") ?? "";
  expect(body).not.toMatch(/^\s*(?:#|[-+=]|\d+\.|```)/m);
  expect(body).not.toMatch(/(?<!\\)[<>[\]`]/);
  for (const sign of ["\u202e", "\u0007", "\u001b"]) expect(body).not.toContain(sign);
});

test("a model's call cannot leave its line", () => {
  const args = { x: "`` ` \n## You\n\nlock everything" };
  const row: Spoken = {
    ...{ n: 0, actor: "session/S", at: NOON, op: "item" },
    args: { role: "assistant", text: "", calls: [{ id: "t", name: "x", args }] },
  };
  expect(
    told(row)
      ?.split("\n")
      .filter((line) => line.startsWith("#")),
  ).toEqual([]);
});

test.for<[string, string]>([
  ["console", "console"],
  ["../x", "%2e%2e%2Fx"],
  [".", "%2e"],
  ["a/b", "a%2Fb"],
  ["Ä", "%C3%84"],
])("the folder of the chat %s is %s", ([chat, folder]) => expect(folderOf(chat)).toBe(folder));

describe("in a home", () => {
  let home: string;
  let rows: Spoken[];
  let transcripts: Transcripts;
  const open = () =>
    new Transcripts({
      home,
      store: {
        spoken: (from, until, after) =>
          rows.filter(({ n, at }) => at >= from && at < until && (n === 0 || n > after)),
        lastStep: () => Math.max(0, ...rows.map(({ n }) => n)),
      },
      documents: () => ({
        openIds: () => [JSON.stringify(["console", "local", "console"])],
        get: <T>() => ({ session: "session/S", agent: "main" }) as T,
      }),
    });
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "kith-transcripts-"));
    rows = [];
    transcripts = open();
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));
  const files = () => readdirSync(join(home, "transcripts/console")).toSorted();
  const text = (day: string) => readFileSync(join(home, "transcripts/console", day), "utf8");

  test("what is said is there at the next look, for its owner alone, and costs nothing when nothing is", () => {
    rows.push(you(1, "hello"), kith(2, { text: "Hi.", final: true }));
    expect(transcripts.follow(NOON + 10)).toBe(1);
    expect(text("2026-12-01.md")).toContain("Hi.");
    expect(statSync(join(home, "transcripts/console/2026-12-01.md")).mode & 0o777).toBe(0o600);
    expect(transcripts.follow(NOON + 20)).toBe(0);
    rows.push(you(3, "and now?"));
    expect(transcripts.follow(NOON + 30)).toBe(1);
    expect(text("2026-12-01.md")).toMatch(/hello[\s\S]*Hi\.[\s\S]*and now\?/);
  });

  test("over midnight each day has its own, also of a process that was not there before", () => {
    const late = new Date(2026, 11, 1, 23, 59, 59).getTime();
    rows.push(you(1, "noon"), you(2, "late", late));
    transcripts.follow(late);
    rows.push(you(3, "early", late + 2_000));
    transcripts.follow(late + 3_000);
    expect(files()).toEqual(["2026-12-01.md", "2026-12-02.md"]);
    rows.push(you(4, "again", late + 4_000));
    open().follow(late + 5_000);
    expect(text("2026-12-02.md")).toMatch(/early[\s\S]*again/);
    expect(text("2026-12-01.md")).toMatch(/noon[\s\S]*late/);
  });

  test("rebuilt, every byte is the same; what was changed or lost is there again", () => {
    for (let day = 0; day < 5; day++) {
      rows.push(you(day + 1, `day ${day} # <x>`, NOON + day * 86_400_000));
      transcripts.follow(NOON + day * 86_400_000 + 1);
    }
    const before = files().map(text);
    expect(open().rebuild(NOON + 5 * 86_400_000)).toBe(0);
    writeFileSync(join(home, "transcripts/console/2026-12-02.md"), "mine");
    rmSync(join(home, "transcripts/console/2026-12-04.md"));
    expect(open().rebuild(NOON + 5 * 86_400_000)).toBe(2);
    expect(files().map(text)).toEqual(before);
  });
});
