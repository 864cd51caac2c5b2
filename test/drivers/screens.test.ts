/** Pictures of a screen: a real X11 display, stand-ins for the rest. */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pngSize } from "@kith/node-agent/drivers/picture-size";
import { captureInput, parseDisplays } from "@kith/node-agent/drivers/screen/screencapture";
import { screens, screenSource } from "@kith/node-agent/drivers/screen/screens";
import { parseXdpyinfo, parseXrandr } from "@kith/node-agent/drivers/screen/x11";
import { desktop } from "@kith/node-agent/platform";
import { screenList, screenRecord, screenSnap } from "@kith/shared/capabilities/screen";
import { decode } from "jpeg-js";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { alive, bytesOf, codeOf, films, ownTemporary, folder, lend, probed } from "./support.ts";
import { installed, xvfb } from "./xvfb.ts";

const posix = process.platform !== "win32";
const x11 = posix && installed(["Xvfb"], "the tests with a real X11 display");
const grabs = x11 && installed(["ffmpeg"], "the tests that take a real screen");
const paints = grabs && installed(["display"], "the test that paints the screen (ImageMagick)");

const jpeg = { format: "jpeg", max_edge_px: 1_920 } as const;
const png = { format: "png", max_edge_px: 1_920 } as const;

describe.runIf(grabs)("a screen of X11", () => {
  test("is taken as a PNG in its own size, after the notice", async () => {
    await using display = await xvfb("640x400");
    const tools = lend();
    const { snap } = screens(screenSource(display.session));
    const out = v.parse(screenSnap.out, await snap.run(png, tools));
    expect(out).toMatchObject({ width_px: 640, height_px: 400 });
    expect(pngSize(bytesOf(tools))).toEqual({ width: 640, height: 400 });
    expect(tools.said).toEqual([
      expect.stringMatching(/^notice: screen: /) as string,
      "stream: image image/png",
    ]);
  });

  test.each([
    [1_920, 640, 400],
    [320, 320, 200],
  ])("at most %i px long is %i×%i", async (max_edge_px, width_px, height_px) => {
    await using display = await xvfb("640x400");
    const tools = lend();
    const { snap } = screens(screenSource(display.session));
    expect(await snap.run({ format: "jpeg", max_edge_px }, tools)).toMatchObject({
      width_px,
      height_px,
    });
    expect(decode(bytesOf(tools))).toMatchObject({ width: width_px, height: height_px });
  });

  test("is ready and lists itself", async () => {
    await using display = await xvfb("640x400");
    const { list, snap } = screens(screenSource(display.session));
    const { screens: found } = v.parse(screenList.out, await list.run({}, lend()));
    expect(found.filter(({ primary }) => primary)).toHaveLength(1);
    expect(await snap.probe()).toMatchObject({ state: "ready", devices: [{ id: found[0]!.id }] });
  });

  test("of another name is refused without a notice", async () => {
    await using display = await xvfb();
    const tools = lend();
    const { snap } = screens(screenSource(display.session));
    expect(await codeOf(snap.run({ ...jpeg, screen: "no-such" }, tools))).toBe("bad-args");
    expect(tools.said).toEqual([]);
  });

  test("is not taken when the notice cannot be shown", async () => {
    await using display = await xvfb();
    const tools = lend();
    const { snap } = screens(screenSource(display.session));
    const mute = { ...tools, notice: () => Promise.reject(new Error("nobody reads")) };
    await expect(snap.run(jpeg, mute)).rejects.toThrow("nobody reads");
    expect(tools.contents).toEqual([]);
  });
});

test.runIf(grabs)("a film of a screen has its length, and nothing of it stays here", async () => {
  await using display = await xvfb("641x401");
  const tools = lend();
  const { record } = screens(screenSource(display.session));
  expect(await record.probe()).toMatchObject({ state: "ready" });
  await using _ = await ownTemporary();
  const wanted = { seconds: 2, max_edge_px: 320 };
  expect(v.parse(screenRecord.out, await record.run(wanted, tools))).toMatchObject({ seconds: 2 });
  expect(tools.said).toEqual([
    expect.stringMatching(/^notice: film of the screen: /) as string,
    "stream: video video/mp4",
  ]);
  expect(await films()).toEqual([]);
  const { streams } = await probed(tools);
  expect(streams).toMatchObject([{ width: 320, height: 200, codec_type: "video" }]);
  // Ten a second, as many as the machine had time for.
  const frames = Number((streams as { nb_frames: string }[])[0]?.nb_frames);
  expect(frames).toBeGreaterThan(2);
  expect(frames).toBeLessThan(25);
});

test.runIf(paints)("a picture shows what is on the screen", async () => {
  await using display = await xvfb("320x200");
  const colour = ["-window", "root", "-size", "320x200", "xc:rgb(200,30,90)"];
  // Its exit code is no zero even when it painted; the picture tells.
  spawnSync("display", ["-display", display.name, ...colour], { stdio: "ignore" });
  const tools = lend();
  await screens(screenSource(display.session)).snap.run(jpeg, tools);
  const { data } = decode(bytesOf(tools));
  const middle = (100 * 320 + 160) * 4;
  for (const [at, value] of [200, 30, 90].entries())
    expect(Math.abs((data[middle + at] ?? 0) - value)).toBeLessThan(6);
});

test.runIf(x11)("without ffmpeg the probe names the line that installs it", async () => {
  await using display = await xvfb();
  const session = { ...display.session, env: { ...display.session.env, PATH: "/no/such/folder" } };
  const { snap } = screens(screenSource(session));
  expect(await snap.probe()).toMatchObject({
    state: "unavailable",
    reason: expect.stringMatching(/^ffmpeg was not found; .*(install|add|-S)/) as string,
  });
  expect(await codeOf(snap.run(jpeg, lend()))).toBe("ffmpeg-missing");
});

describe("a session where no screen can be taken says so:", () => {
  test.each([
    [{}, "linux", /^no display: .*desktop/],
    [{ DISPLAY: ":59999" }, "linux", /^the display :59999 does not answer; /],
    [{ DISPLAY: "nonsense" }, "linux", /^the display nonsense does not answer; /],
    [{ DISPLAY: ":0", WAYLAND_DISPLAY: "wayland-0" }, "linux", /Wayland session.*X11 session$/],
    [{ PATH: "/no/such/folder" }, "darwin", /^screencapture was not found/],
    [{ PATH: "/no/such/folder" }, "win32", /^ffmpeg was not found; /],
  ] as const)("%j on %s", async (env, system, reason) => {
    const { list, snap } = screens(screenSource(desktop(env, system)));
    for (const driver of [list, snap])
      expect(await driver.probe()).toEqual({
        state: "unavailable",
        reason: expect.stringMatching(reason) as string,
      });
    expect(["not-ready", "ffmpeg-missing"]).toContain(await codeOf(snap.run(jpeg, lend())));
  });
});

/** A PNG of one pixel. */
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

describe.runIf(posix)("on macOS", () => {
  const told = {
    SPDisplaysDataType: [
      {
        spdisplays_ndrvs: [
          { _name: "Beamer", _spdisplays_pixels: "1024 x 768" },
          {
            _name: "Color LCD",
            _spdisplays_pixels: "2880 x 1800",
            spdisplays_main: "spdisplays_yes",
          },
        ],
      },
      {},
    ],
  };

  test("the main screen is the first", () => {
    expect(parseDisplays(JSON.stringify(told))).toEqual([
      {
        ...{ id: "screen1", label: "Color LCD", primary: true, at: "1" },
        ...{ width_px: 2_880, height_px: 1_800 },
      },
      {
        ...{ id: "screen2", label: "Beamer", primary: false, at: "2" },
        ...{ width_px: 1_024, height_px: 768 },
      },
    ]);
  });

  test("another answer than the expected is a failure", () => {
    for (const text of ["", "[]", '{"SPDisplaysDataType":1}'])
      expect(() => parseDisplays(text)).toThrow("cannot be listed");
  });

  /** A Mac whose programs are scripts. */
  async function mac(home: Awaited<ReturnType<typeof folder>>, capture: string) {
    await home.file("system_profiler", `#!/bin/sh\necho '${JSON.stringify(told)}'\n`, 0o755);
    await home.file("screencapture", `#!/bin/sh\n${capture}\n`, 0o755);
    await home.file("sips", "#!/bin/sh\nexit 1\n", 0o755);
    const path = `${home.path}:${process.env["PATH"] ?? ""}`;
    return screens(screenSource(desktop({ PATH: path, HOME: home.path }, "darwin")));
  }

  test("a screen is taken by its number, and no file is left", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    const body = `echo "$*" > ${log}; for f; do :; done; echo ${PIXEL} | base64 -d > "$f"`;
    const { snap } = await mac(home, body);
    const tools = lend();
    expect(await snap.run({ ...png, screen: "screen2" }, tools)).toMatchObject({
      ...{ screen: "screen2", width_px: 1, height_px: 1 },
    });
    expect(tools.said[0]).toBe("notice: screen: Beamer");
    const [, file = ""] = /^-x -t png -D 2 (.*)\n$/.exec(await readFile(log, "utf8")) ?? [];
    await expect(readFile(file)).rejects.toThrow("ENOENT");
  });

  test("is filmed by the number that ffmpeg gives its screen", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    const list = [
      "[AVFoundation indev @ 0x7f] AVFoundation video devices:",
      "[AVFoundation indev @ 0x7f] [0] FaceTime HD Camera",
      "[AVFoundation indev @ 0x7f] [1] Capture screen 0",
      "[AVFoundation indev @ 0x7f] [2] Capture screen 1",
      "[AVFoundation indev @ 0x7f] AVFoundation audio devices:",
    ].join("\n");
    await home.file("list", list);
    const body = `case "$*" in *list_devices*) cat ${home.path}/list >&2; exit 1;; esac; echo "$*" > ${log}; for f; do :; done; echo film > "$f"`;
    await home.file("ffmpeg", `#!/bin/sh\n${body}\n`, 0o755);
    const { record } = await mac(home, "exit 1");
    const tools = lend();
    const film = { screen: "screen2", seconds: 3, max_edge_px: 640 };
    expect(await record.run(film, tools)).toMatchObject({ screen: "screen2", seconds: 3 });
    expect(await readFile(log, "utf8")).toMatch(/-f avfoundation .*-i 2:none .*-t 3 /);
    expect(tools.said).toEqual(["notice: film of the screen: Beamer", "stream: video video/mp4"]);
    const [content] = tools.contents;
    if (content && "file" in content) await content.file.close();
    expect(captureInput(list, 2)).toBeUndefined();
  });

  test("no picture means no permission", async () => {
    await using home = await folder();
    const { snap } = await mac(home, "exit 0");
    expect(await codeOf(snap.run(png, lend()))).toBe("os-permission");
  });
});

describe.runIf(posix)("by a stand-in for ffmpeg", () => {
  async function standIn(home: Awaited<ReturnType<typeof folder>>, body: string) {
    await home.file("ffmpeg", `#!/bin/sh\n${body}\n`, 0o755);
    const path = `${home.path}:${process.env["PATH"] ?? ""}`;
    return screens(screenSource(desktop({ PATH: path }, "win32"))).snap;
  }

  test("a failure comes with ffmpeg's last words, tamed", async () => {
    await using home = await folder();
    const snap = await standIn(home, "printf '[x @ 1] odd \\033[2J thing\\n' >&2; exit 1");
    await expect(snap.run(jpeg, lend())).rejects.toThrow("ffmpeg gave no picture: odd [2J thing");
  });

  test("something else than a picture is refused", async () => {
    await using home = await folder();
    const snap = await standIn(home, "echo hello");
    expect(await codeOf(snap.run(jpeg, lend()))).toBe("driver");
    expect(await codeOf(snap.run(png, lend()))).toBe("driver");
  });

  test.runIf(process.platform === "linux")("it ends when the call is cancelled", async () => {
    await using home = await folder();
    const pid = join(home.path, "pid");
    const snap = await standIn(home, `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; sleep 1000`);
    const stop = new AbortController();
    const running = codeOf(snap.run(jpeg, lend(stop.signal)));
    await expect.poll(() => readFile(pid, "utf8").catch(() => ""), { timeout: 9_000 }).not.toBe("");
    stop.abort();
    expect(await running).toBe("cancelled");
    const gone = Number(await readFile(pid, "utf8"));
    await expect.poll(() => alive(gone)).toBe(false);
  });
});

describe("monitors of X11", () => {
  test("are read from xrandr", () => {
    const told = `Monitors: 2
 0: +*eDP-1 1920/344x1080/193+0+0  eDP-1
 1: +HDMI-1 2560/597x1440/336+1920+0  HDMI-1
`;
    expect(parseXrandr(told)).toEqual([
      {
        ...{ id: "eDP-1", label: "eDP-1", primary: true, at: "1920x1080+0+0" },
        ...{ width_px: 1_920, height_px: 1_080 },
      },
      {
        ...{ id: "HDMI-1", label: "HDMI-1", primary: false, at: "2560x1440+1920+0" },
        ...{ width_px: 2_560, height_px: 1_440 },
      },
    ]);
    expect(parseXrandr("Monitors: 0\n")).toEqual([]);
  });

  test("are read from xdpyinfo, with heads or without", () => {
    const whole = "screen #0:\n  dimensions:    1280x720 pixels (338x190 millimeters)\n";
    expect(parseXdpyinfo(whole)).toMatchObject([
      { id: "screen0", primary: true, width_px: 1_280, height_px: 720, at: "1280x720+0+0" },
    ]);
    const heads = `${whole}XINERAMA version 1.1 opcode: 140\n  head #0: 640x720 @ 0,0\n  head #1: 640x720 @ 640,0\n`;
    expect(parseXdpyinfo(heads).map(({ id, at }) => [id, at])).toEqual([
      ["screen0", "640x720+0+0"],
      ["screen1", "640x720+640+0"],
    ]);
    expect(parseXdpyinfo("nothing of use")).toEqual([]);
  });
});

test("the size of a PNG is read from whole ones only", () => {
  const whole = Buffer.from(PIXEL, "base64");
  expect(pngSize(whole)).toEqual({ width: 1, height: 1 });
  for (const broken of [whole.subarray(0, -1), whole.subarray(1), Buffer.alloc(0)])
    expect(pngSize(broken)).toBeUndefined();
});
