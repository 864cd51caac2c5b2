/** The clipboard: a real one of X11, stand-ins for the rest. */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { clipboard } from "@kith/node-agent/drivers/clipboard/clipboard";
import { desktop } from "@kith/node-agent/platform";
import { clipboardRead, clipboardWrite } from "@kith/shared/capabilities/clipboard";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { bytesOf, codeOf, folder, lend } from "./support.ts";
import { installed, xvfb } from "./xvfb.ts";

const posix = process.platform !== "win32";
const x11 = posix && installed(["Xvfb", "xclip"], "the tests with a real clipboard");

type Clipboard = ReturnType<typeof clipboard>;

async function read({ read: driver }: Clipboard) {
  const tools = lend();
  const out = v.parse(clipboardRead.out, await driver.run({}, tools));
  return { out, said: tools.said, text: Buffer.from(bytesOf(tools)).toString("utf8") };
}

const write = ({ write: driver }: Clipboard, text: string, tools = lend()) =>
  driver.run(v.parse(clipboardWrite.args, { text }), tools);

describe.runIf(x11)("the clipboard of X11", () => {
  test("gives back what was put there, as it was", async () => {
    await using display = await xvfb();
    const here = clipboard(display.session);
    for (const text of ["-o", "two\nlines\t$(id) `x` 'q'", "Grüße 😀", "x".repeat(32_000)]) {
      expect(await write(here, text)).toEqual({ size: Buffer.byteLength(text) });
      const { out, text: found } = await read(here);
      expect(found).toBe(text);
      expect(out.size).toBe(Buffer.byteLength(text));
    }
  });

  test("is read and written after a notice each", async () => {
    await using display = await xvfb();
    const here = clipboard(display.session);
    const tools = lend();
    await write(here, "a\n\n  b", tools);
    expect(tools.said).toEqual(["notice: clipboard: a new text"]);
    const { out, said } = await read(here);
    expect(out.preview).toBe("a b");
    expect(said).toEqual(["notice: clipboard: read", "stream: text text/plain"]);
    const mute = { ...lend(), notice: () => Promise.reject(new Error("nobody reads")) };
    await expect(here.read.run({}, mute)).rejects.toThrow("nobody reads");
    await expect(here.write.run({ text: "new" }, mute)).rejects.toThrow("nobody reads");
    expect((await read(here)).text).toBe("a\n\n  b");
  });

  test("without a text is empty", async () => {
    await using display = await xvfb();
    const here = clipboard(display.session);
    expect(await here.read.probe()).toEqual({ state: "ready" });
    expect(await read(here)).toMatchObject({ out: { size: 0, preview: "" }, text: "" });
  });

  test("with a text of others above 64 KiB is refused", async () => {
    await using display = await xvfb();
    const here = clipboard(display.session);
    const put = (size: number) =>
      execFileSync("xclip", ["-selection", "clipboard", "-i"], {
        input: "y".repeat(size),
        stdio: ["pipe", "ignore", "ignore"],
        env: display.session.env,
      });
    put(65_536);
    expect((await read(here)).out.size).toBe(65_536);
    put(65_537);
    expect(await codeOf(here.read.run({}, lend()))).toBe("too-big");
  });

  test("of a display that ended says so", async () => {
    const display = await xvfb();
    const here = clipboard(display.session);
    await display[Symbol.asyncDispose]();
    expect(await here.read.probe()).toMatchObject({
      state: "unavailable",
      reason: expect.stringContaining("does not answer") as string,
    });
    expect(await codeOf(write(here, "x"))).toBe("not-ready");
  });
});

test.each([
  [{}, "linux", /^no display: /],
  [{ WAYLAND_DISPLAY: "w", PATH: "/none" }, "linux", /^wl-copy was not found; .*wl-clipboard/],
  [{ PATH: "/none" }, "darwin", /^pbcopy was not found$/],
  [{ PATH: "/none" }, "win32", /^powershell.exe was not found$/],
] as const)("in %j on %s it says why it cannot be used", async (env, system, reason) => {
  const here = clipboard(desktop(env, system));
  for (const driver of [here.read, here.write])
    expect(await driver.probe()).toEqual({
      state: "unavailable",
      reason: expect.stringMatching(reason) as string,
    });
  expect(await codeOf(here.read.run({}, lend()))).toBe("not-ready");
});

describe.runIf(posix)("by stand-ins", () => {
  const place = (home: { path: string }) => ({
    PATH: `${home.path}:${process.env["PATH"] ?? ""}`,
  });

  test("Wayland and macOS give and take the text by stdin and stdout", async () => {
    await using home = await folder();
    const store = join(home.path, "store");
    for (const name of ["wl-copy", "pbcopy"])
      await home.file(name, `#!/bin/sh\necho "$*" > ${store}.args; cat > ${store}\n`, 0o755);
    for (const name of ["wl-paste", "pbpaste"])
      await home.file(name, `#!/bin/sh\ncat ${store}\n`, 0o755);
    for (const session of [
      desktop({ ...place(home), WAYLAND_DISPLAY: "w" }, "linux"),
      desktop(place(home), "darwin"),
    ]) {
      const here = clipboard(session);
      await write(here, `--help ${session.os}`);
      expect((await read(here)).text).toBe(`--help ${session.os}`);
      expect(await readFile(`${store}.args`, "utf8")).not.toContain("help");
    }
  });

  test("Wayland without a text is empty", async () => {
    await using home = await folder();
    await home.file("wl-copy", "#!/bin/sh\n", 0o755);
    await home.file("wl-paste", "#!/bin/sh\necho Nothing is copied >&2; exit 1\n", 0o755);
    const here = clipboard(desktop({ ...place(home), WAYLAND_DISPLAY: "w" }, "linux"));
    expect((await read(here)).text).toBe("");
  });

  test("PowerShell gets a fixed script, and the text as ASCII on stdin", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    const body = `for last; do :; done; echo "$last" | base64 -d > ${log}.script; cat > ${log}; echo R3LDvMOfZQ==`;
    await home.file("powershell.exe", `#!/bin/sh\n${body}\n`, 0o755);
    const here = clipboard(desktop(place(home), "win32"));
    await write(here, "'; Remove-Item é \"");
    const script = (await readFile(`${log}.script`)).toString("utf16le");
    expect(script).toContain("Set-Clipboard -Value $in.text");
    expect(script).not.toContain("Remove-Item");
    const sent = await readFile(log, "utf8");
    expect(sent).toMatch(/^[ -~]*$/);
    expect(JSON.parse(sent)).toEqual({ text: "'; Remove-Item é \"" });
    expect((await read(here)).text).toBe("Grüße");
  });

  test("a program that fails is a failure", async () => {
    await using home = await folder();
    for (const name of ["pbcopy", "pbpaste"])
      await home.file(name, "#!/bin/sh\necho no >&2; exit 1\n", 0o755);
    const here = clipboard(desktop(place(home), "darwin"));
    expect(await codeOf(here.read.run({}, lend()))).toBe("driver");
    expect(await codeOf(write(here, "x"))).toBe("driver");
  });
});

test("what is invisible, too long or nothing cannot be put there", () => {
  const takes = (text: string) => v.is(clipboardWrite.args, { text });
  expect(["a\nb\tc", "x".repeat(32_000)].filter((text) => !takes(text))).toEqual([]);
  const bad = ["", "x".repeat(32_001), "a\u001b[201~b", "a\u202eb", "a\u200bb", "a\r\nb"];
  expect(bad.filter(takes)).toEqual([]);
});
