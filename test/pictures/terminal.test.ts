import { describe, expect, test } from "vitest";
import { decodePicture } from "@kith/gateway/pictures/decode";
import { renderForTerminal, type Terminal } from "@kith/gateway/pictures/terminal";
import { folder, node, png } from "./samples.ts";

/** Plain JavaScript, which the compiler does not read. */
const client = new URL("../../gateway/bin/terminal.mjs", import.meta.url);
const { describeTerminal } = (await import(client.href)) as {
  describeTerminal: (env: object, stdout: object) => unknown;
};

const window = { columns: 80, rows: 24, protocol: "blocks", color: "truecolor" } as const;

async function rendered(content: Uint8Array, terminal: Terminal): Promise<string> {
  await using files = await folder();
  return await renderForTerminal(await files.put("a.png", content), terminal, { node });
}

/** Escape shown as `^` and bell as `~`, so that a failure can be read. */
const shown = (text: string) => text.replaceAll("\x1b", "^").replaceAll("\x07", "~");

/** Four lines of four: black to blue along each, more red further down. */
const known = png(4, 4, (x, y) => [y * 80, 0, x * 80]);
const noise = (width: number, height: number) =>
  png(width, height, (x, y) => [(x * 97 + y * 31) & 255, (x * y) & 255, (x * 13 + y * 7) & 255]);

describe("half-blocks", () => {
  test("show a known picture of 4 x 4 pixels in two lines of four cells", async () => {
    expect(shown(await rendered(known, window))).toBe(
      "^[38;2;0;0;0;48;2;80;0;0m▀^[38;2;0;0;80;48;2;80;0;80m▀" +
        "^[38;2;0;0;160;48;2;80;0;160m▀^[38;2;0;0;240;48;2;80;0;240m▀^[0m\n" +
        "^[38;2;160;0;0;48;2;240;0;0m▀^[38;2;160;0;80;48;2;240;0;80m▀" +
        "^[38;2;160;0;160;48;2;240;0;160m▀^[38;2;160;0;240;48;2;240;0;240m▀^[0m\n",
    );
  });

  test("name a colour once for neighbours and leave the last odd line open below", async () => {
    const red = png(3, 3, () => [255, 0, 0]);
    expect(shown(await rendered(red, window))).toBe(
      "^[38;2;255;0;0;48;2;255;0;0m▀▀▀^[0m\n^[38;2;255;0;0m▀▀▀^[0m\n",
    );
  });

  test("take the nearest of 256 colours", async () => {
    const colors = [
      [255, 0, 0],
      [130, 130, 130],
      [95, 135, 175],
      [0, 0, 0],
    ];
    const four = png(4, 1, (x) => colors[x] ?? []);
    expect(shown(await rendered(four, { ...window, color: "256" }))).toBe(
      "^[38;5;196m▀^[38;5;244m▀^[38;5;67m▀^[38;5;16m▀^[0m\n",
    );
  });

  test.each([
    [{ columns: 40, rows: 50 }, 40, 20],
    [{ columns: 500, rows: 500 }, 60, 30],
    [{ columns: 80, rows: 12 }, 20, 10],
    [{ columns: Number.NaN, rows: -3 }, 2, 1],
  ])("fit a square into %o", async (size, columns, rows) => {
    const lines = (await rendered(noise(200, 200), { ...window, ...size })).trimEnd().split("\n");
    expect(lines).toHaveLength(rows);
    for (const line of lines) expect(line.split("▀")).toHaveLength(columns + 1);
  });
});

describe("kitty's protocol", () => {
  test("carries a PNG in chunks of 4096 and asks for no answer", async () => {
    const text = shown(await rendered(noise(200, 100), { ...window, protocol: "kitty" }));
    expect(text).toMatch(/^(\^_G[a-zA-Z0-9=,]+;[A-Za-z0-9+/=]+\^\\)+\n$/);
    const frames = [...text.matchAll(/\^_G([^;]+);([^^]+)\^\\/g)];
    const [first = "", ...others] = frames.map(([, keys = ""]) => keys);
    expect(first).toBe("a=T,f=100,q=2,c=20,r=5,m=1");
    expect(others.length).toBeGreaterThan(1);
    expect(others.pop()).toBe("q=2,m=0");
    expect(new Set(others)).toEqual(new Set(["q=2,m=1"]));

    const chunks = frames.map(([, , data = ""]) => data);
    for (const chunk of chunks.slice(0, -1)) expect(chunk).toHaveLength(4096);
    await using files = await folder();
    const file = await files.put("b.png", Buffer.from(chunks.join(""), "base64"));
    const picture = await decodePicture(file, { as: "rgb", width: 999, height: 999 }, { node });
    expect(picture).toMatchObject({ width: 200, height: 100 });
  });

  test("needs one chunk for a small picture", async () => {
    const text = await rendered(known, { ...window, protocol: "kitty" });
    expect(shown(text)).toMatch(/^\^_Ga=T,f=100,q=2,c=1,r=1,m=0;[A-Za-z0-9+/=]+\^\\\n$/);
  });
});

test("iTerm's protocol carries a JPEG and its size", async () => {
  const text = shown(await rendered(noise(200, 100), { ...window, protocol: "iterm" }));
  const parts = /^\^\]1337;File=inline=1;size=(\d+);width=20;height=auto:([A-Za-z0-9+/=]+)~\n$/;
  const [, size, data = ""] = parts.exec(text) ?? [];
  const bytes = Buffer.from(data, "base64");
  expect(bytes).toHaveLength(Number(size));
  expect(bytes.subarray(0, 3).toString("hex")).toBe("ffd8ff");
});

test("nothing that the file says reaches the terminal", async () => {
  const hostile = Buffer.concat([known, Buffer.from("\x1b]52;c;ZXZpbA==\x07")]);
  for (const protocol of ["blocks", "kitty", "iterm"] as const)
    expect(await rendered(hostile, { ...window, protocol })).not.toContain("]52;");
});

describe("a terminal is taken for", () => {
  const screen = { isTTY: true, columns: 120, rows: 40 };
  test.each([
    [{ TERM: "xterm-kitty" }, "kitty", "truecolor"],
    [{ TERM: "xterm-256color", KITTY_WINDOW_ID: "1" }, "kitty", "truecolor"],
    [{ TERM: "xterm-ghostty" }, "kitty", "truecolor"],
    [{ TERM_PROGRAM: "iTerm.app" }, "iterm", "truecolor"],
    [{ TERM_PROGRAM: "WezTerm" }, "iterm", "truecolor"],
    [{ TERM: "xterm-256color", COLORTERM: "truecolor" }, "blocks", "truecolor"],
    [{ TERM: "xterm-256color" }, "blocks", "256"],
    [{ TERM: "tmux-256color", KITTY_WINDOW_ID: "1" }, "blocks", "256"],
    [{ TERM: "xterm-kitty", TMUX: "/tmp/tmux-0/default,1,0" }, "blocks", "256"],
    [{ TERM: "screen", TERM_PROGRAM: "iTerm.app", STY: "1.x" }, "blocks", "256"],
  ])("what its environment says: %o", (env, protocol, color) => {
    expect(describeTerminal(env, screen)).toEqual({ columns: 120, rows: 40, protocol, color });
  });

  test("one without pictures when it is none, is dumb, or colours are not wanted", () => {
    expect(describeTerminal({ TERM: "xterm-kitty" }, { columns: 80, rows: 24 })).toBeUndefined();
    expect(describeTerminal({ TERM: "dumb" }, screen)).toBeUndefined();
    expect(describeTerminal({ TERM: "xterm-kitty", NO_COLOR: "1" }, screen)).toBeUndefined();
  });

  test("one of 80 x 24 when it does not tell its size", () => {
    expect(describeTerminal({}, { isTTY: true })).toMatchObject({ columns: 80, rows: 24 });
  });
});
