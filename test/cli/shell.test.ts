// oxlint-disable no-control-regex -- escape sequences are what is looked for
import { describe, expect, test } from "vitest";
import { keys, modes } from "../../gateway/bin/shell.mjs";

/** What is sent of what is typed, and what is asked of us. */
function typed(...parts: string[]) {
  const read = keys();
  return parts.map((part) => {
    const { bytes, asked } = read(Buffer.from(part));
    return `${Buffer.from(bytes).toString()}${asked ? `<${asked}>` : ""}`;
  });
}

describe("after Enter, a tilde", () => {
  test("and d detach, at the beginning too, in one piece or in three", () => {
    expect(typed("~d")).toEqual(["<detach>"]);
    expect(typed("ls\r~d")).toEqual(["ls\r<detach>"]);
    expect(typed("ls", "\r", "~", "d")).toEqual(["ls", "\r", "", "<detach>"]);
  });

  test("and a question mark help", () => {
    expect(typed("\r~?", "~d")).toEqual(["\r<help>", "<detach>"]);
  });

  test("twice is one that is sent", () => {
    expect(typed("\r~~d")).toEqual(["\r~d"]);
  });

  test("and anything else is sent as it is", () => {
    expect(typed("\r~/bin\r~", "a~d")).toEqual(["\r~/bin\r", "~a~d"]);
    expect(typed("\r~\r~d")).toEqual(["\r~\r<detach>"]);
  });
});

test("elsewhere a tilde is a tilde", () => {
  expect(typed("cd ~d\r", "x~d")).toEqual(["cd ~d\r", "x~d"]);
});

test("modes that a program left on are taken back, and only those", () => {
  const seen = modes();
  seen.see("\x1b[?1049h\x1b[?25l\x1b[?1000;1006h text \x1b[?2004h");
  seen.see("\x1b[?2004l\x1b[?7l");
  const back = seen.undo();
  expect(back).toMatch(/^(?:\x1b\[\?(?:1049|1000|1006)l){3}/);
  expect(back).not.toContain("2004");
  expect(back).toContain("\x1b[?25h");
  expect(back).toContain("\x1b[?7h");
  expect(modes().undo()).not.toContain("l\x1b");
});
