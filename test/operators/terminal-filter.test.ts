// oxlint-disable no-control-regex -- escape sequences are what is looked for
import { TerminalFilter } from "@kith/gateway/operators/terminal-filter";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

const bytes = (text: string) => Buffer.from(text, "latin1");
const shown = (...parts: readonly (string | Uint8Array)[]) => {
  const filter = new TerminalFilter();
  return parts.map((part) => filter.push(typeof part === "string" ? bytes(part) : part)).join("");
};

/** Each by name, so that whoever misses one here knows which. */
const FORBIDDEN: Readonly<Record<string, string>> = {
  "clipboard write (OSC 52)": "\x1b]52;c;ZXZpbA==\x07",
  "clipboard query": "\x1b]52;c;?\x1b\\",
  "clipboard through tmux": "\x1bPtmux;\x1b\x1b]52;c;ZXZpbA==\x07\x1b\\",
  "clipboard of kitty (OSC 5522)": "\x1b]5522;type=read\x1b\\",
  "title (OSC 0)": "\x1b]0;evil\x07",
  "title ended by a C1 ST": "\x1b]2;evil\xc2\x9c",
  "title of tmux": "\x1bkevil\x1b\\",
  "title report": "\x1b[21t",
  "title stack": "\x1b[22;0;0t",
  "window size report": "\x1b[18t",
  "window move": "\x1b[3;0;0t",
  "device attributes": "\x1b[c",
  "device attributes 2": "\x1b[>0c",
  "device attributes 3": "\x1b[=c",
  "old device attributes": "\x1bZ",
  "status report": "\x1b[5n",
  "cursor report": "\x1b[6n",
  "private status report": "\x1b[?6n",
  "terminal parameters": "\x1b[0x",
  "mode query": "\x1b[?1049$p",
  "version query": "\x1b[>q",
  "checksum of the screen": "\x1b[1;1;1;1;1;1*y",
  "presentation state": "\x1b[1$w",
  "keyboard query of kitty": "\x1b[?u",
  "colour query (OSC 11)": "\x1b]11;?\x07",
  "palette query": "\x1b]4;1;?\x07",
  "graphics query": "\x1b[?1;1;0S",
  "setting query (DECRQSS)": "\x1bP$qm\x1b\\",
  "termcap query": "\x1bP+q544e\x1b\\",
  sixel: "\x1bPq#0;2;0;0;0\x1b\\",
  "picture of kitty": "\x1b_Ga=q,i=1;AAAA\x1b\\",
  "picture of iTerm": "\x1b]1337;File=inline=1:AAAA\x07",
  "link (OSC 8)": "\x1b]8;;file:///etc/passwd\x1b\\\x1b]8;;\x1b\\",
  "notification (OSC 9)": "\x1b]9;evil\x07",
  "privacy message": "\x1b^evil\x1b\\",
  "start of string": "\x1bXevil\x1b\\",
  "answerback (ENQ)": "\x05",
  "stop output (XOFF)": "\x13",
  "end of UTF-8": "\x1b%@",
  "eight-bit controls": "\x1b G",
  "print the screen": "\x1b[0i",
  "print what comes": "\x1b[5i",
  "keyboard lock": "\x1b[2h",
  VT52: "\x1b[?2l",
  Tektronix: "\x1b[?38h",
  "focus reports": "\x1b[?1004h",
  "size reports": "\x1b[?2048h",
  "colour scheme reports": "\x1b[?2031h",
  "tracking that waits for an answer": "\x1b[1;1;1;9;9T",
  "keys of another kind": "\x1b[>4;2m",
  "as C1 in UTF-8": "\xc2\x9b6n\xc2\x9d52;c;ZXZpbA==\x07",
  "with controls inside": "\x1b[\x07\x006\x00n",
};

describe("nothing passes of", () => {
  test.for(Object.entries(FORBIDDEN))("%s", ([, sequence]) => {
    expect(shown(`a${sequence}b`)).toBe("ab");
    // Byte by byte, too.
    expect(shown("a", ...sequence, "b")).toBe("ab");
  });

  test("a sequence longer than any program writes, or a number of more digits", () => {
    expect(shown(`a\x1b[${"1;".repeat(100)}1mb`)).toBe("ab");
    expect(shown("a\x1b[999999999bb")).toBe("ab");
  });

  test("C1 controls as single bytes, which are no UTF-8, but their marks", () => {
    expect(shown("a\x9b6n\x9d0;t\x07b")).toBe("a\ufffd6n\ufffd0;t\x07b");
  });

  test("what is hidden in overlong UTF-8, in surrogates, or above the last character", () => {
    for (const evil of [
      "\xc0\x9b[6n",
      "\xe0\x80\x9b[6n",
      "\xf0\x80\x80\x9b[6n",
      "\xed\xa0\x9b",
      "\xf5\x80\x80\x80",
    ])
      expect(shown(evil)).not.toMatch(/[\x1b\x80-\x9f]/);
  });
});

describe("passes as it is:", () => {
  test.for([
    "echo hi\r\n\tünïcödé 漢字 😀\b\x07",
    "\x1b[1;31mred\x1b[0m \x1b[38;5;208m \x1b[38;2;1;2;3m \x1b[4:3m",
    "\x1b[?1049h\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[1;24r\x1b[?25l\x1b[?25h\x1b[?1049l",
    "\x1b[?1h\x1b=\x1b[?2004h\x1b[?1000;1006h\x1b[?2026h",
    "\x1b7\x1b8\x1bM\x1bD\x1b(0lqk\x1b(B\x0e\x0f\x1b)0",
    "\x1b[3@\x1b[2P\x1b[4L\x1b[5M\x1b[6X\x1b[7b\x1b[3g\x1b[2 q\x1b[!p\x1b[4h\x1b[4l\x1b[?J",
    "\x1bc\x1b#8",
  ])("%j", (text) => {
    expect(shown(Buffer.from(text))).toBe(text);
  });

  test("of several modes those that are harmless", () => {
    expect(shown("\x1b[?1049;2048;25h")).toBe("\x1b[?1049;25h");
  });

  test("a sequence written as C1, in seven bits", () => {
    expect(shown("\xc2\x9b1m\xc2\x8d")).toBe("\x1b[1m\x1bM");
  });
});

test("a string without an end hides four megabytes and no more", () => {
  const filter = new TerminalFilter();
  filter.push(bytes("\x1b]52;c;"));
  let text = "";
  for (let at = 0; at < 70; at++) text += filter.push(Buffer.alloc(65_536, "A"));
  expect(text.length).toBeGreaterThan(0);
  expect(text).toMatch(/^A+$/);
});

/** Bytes as a hostile device writes them: pieces of sequences, whole ones, text, noise. */
const pieces = fc.oneof(
  fc.constantFrom(...Object.values(FORBIDDEN)).map(bytes),
  fc
    .constantFrom(
      ..."\x1b[]P_^X\\k%?>$;:0123456789cnthlm \x07\x18\x9b\x9d\xc2\xe2",
      "\x1b[",
      "\x1b]",
    )
    .map(bytes),
  fc.uint8Array({ maxLength: 12 }).map((raw) => Buffer.from(raw)),
  fc.string({ unit: "grapheme", maxLength: 6 }).map((text) => Buffer.from(text)),
);
const stream = fc.array(pieces, { maxLength: 40 }).map((parts) => Buffer.concat(parts));
const cuts = fc.array(fc.nat(400), { maxLength: 12 });

function chunks(whole: Uint8Array, at: readonly number[]): Uint8Array[] {
  const edges = [0, ...at.map((cut) => Math.min(cut, whole.length)), whole.length].sort(
    (a, b) => a - b,
  );
  return edges.slice(1).map((edge, before) => whole.subarray(edges[before], edge));
}

const TOKEN =
  /\x1b\[([<=>?]?)([0-9:;]*)([ -/]*)([@-~])|\x1b([ -/]*[0-Z\\^-~])|[\x07-\x0f]|[^\x00-\x1f\x7f-\x9f]/gu;

/** What is wrong with an output, read by another parser than the filter's own. */
function wrong(output: string): string[] {
  const found: string[] = [];
  let end = 0;
  for (const token of output.matchAll(TOKEN)) {
    const [text, prefix = "", numbers = "", middle = "", final, escape] = token;
    if (token.index !== end) found.push(`noise before ${JSON.stringify(text)}`);
    end = token.index + text.length;
    if (escape !== undefined && /^(?:[PX^_kZ\\%]|%.| .|[NO\]])/.test(escape))
      found.push(JSON.stringify(text));
    if (final === undefined) continue;
    const reports = "cntxyiwv".includes(final) || (final === "u" && prefix !== "");
    const mode = prefix === "?" && "hl".includes(final) ? numbers.split(";") : [];
    const ok =
      !reports &&
      !"<=>".includes(prefix || "-") &&
      (middle === "" || (middle === " " && final === "q") || (middle === "!" && final === "p")) &&
      (prefix === "" || "hlJK".includes(final)) &&
      !mode.some((one) => ["2", "38", "1004", "2031", "2048", ""].includes(one));
    if (!ok) found.push(JSON.stringify(text));
  }
  if (end !== output.length)
    found.push(`an end that is not whole: ${JSON.stringify(output.slice(end))}`);
  return found;
}

test("the other parser sees what is wrong", () => {
  for (const bad of [
    "\x1b[6n",
    "\x1b[c",
    "\x1b]0;t\x07",
    "\x1bP",
    "a\x1b",
    "\x1b[1",
    "\x05",
    "\u009b",
    "\x1b[?1004h",
  ])
    expect(wrong(bad)).not.toEqual([]);
});

test("nothing forbidden survives, however the bytes are cut, and no output ends within a sequence", () => {
  fc.assert(
    fc.property(stream, cuts, (whole, at) => {
      const filter = new TerminalFilter();
      let output = "";
      for (const chunk of chunks(whole, at)) {
        const part = filter.push(chunk);
        expect(wrong(part)).toEqual([]);
        output += part;
      }
      expect(output).toBe(shown(whole));
    }),
    { numRuns: 2_000 },
  );
});

test("a filter that begins where the last one had decided loses nothing and repeats nothing", () => {
  fc.assert(
    fc.property(stream, fc.nat(400), (whole, cut) => {
      const first = new TerminalFilter();
      const before = first.push(whole.subarray(0, cut));
      const at = Math.min(cut, whole.length) - first.held;
      expect(before + shown(whole.subarray(at))).toBe(shown(whole));
    }),
    { numRuns: 1_000 },
  );
});
