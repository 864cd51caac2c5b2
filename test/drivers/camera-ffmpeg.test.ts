/** The ffmpeg cameras as far as a machine without a camera can tell: a synthetic source, stand-ins. */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cameras } from "@kith/node-agent/drivers/camera/cameras";
import { failureOf } from "@kith/node-agent/drivers/camera/ffmpeg";
import { cameraClip, cameraSnap } from "@kith/shared/capabilities/camera";
import { decode } from "jpeg-js";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import {
  alive,
  bytesOf,
  codeOf,
  films,
  ownTemporary,
  folder,
  lend,
  machine,
  probed,
  script,
} from "./support.ts";

const posix = process.platform !== "win32";
const ffmpeg = (() => {
  try {
    execFileSync("ffmpeg", ["-version"], { stdio: "ignore" });
    return true;
  } catch {
    console.log("skipped: the tests with a real ffmpeg, because none is installed here");
    return false;
  }
})();

/** The real driver and the real ffmpeg, with a drawn picture where the camera would be. */
async function photo(source: string, maxEdge: number) {
  await using home = await folder();
  const real = await machine(home, "ffmpeg", () => [["-f", "lavfi", "-i", source]]);
  const tools = lend();
  const out = await cameras({ sources: [real] }).snap.run(
    { facing: "any", max_edge_px: maxEdge },
    tools,
  );
  return { out: v.parse(cameraSnap.out, out), bytes: bytesOf(tools), tools };
}

describe.runIf(ffmpeg && posix)("a film by ffmpeg", () => {
  const clip = async (signal?: AbortSignal, seconds = 1) => {
    await using home = await folder();
    const source = "testsrc2=size=321x241:rate=10";
    const real = await machine(home, "ffmpeg", () => [["-re", "-f", "lavfi", "-i", source]]);
    const tools = lend(signal);
    const { clip: driver } = cameras({ sources: [real] });
    const out = await driver.run({ facing: "any", seconds, max_edge_px: 320 }, tools);
    return { out: v.parse(cameraClip.out, out), tools };
  };

  test("has its length and even sides, no sound, and nothing of it stays here", async () => {
    await using _ = await ownTemporary();
    const { out, tools } = await clip();
    expect(out).toMatchObject({ camera: "video0", seconds: 1 });
    expect(tools.said).toEqual(["notice: film: Integrated Camera", "stream: video video/mp4"]);
    const { streams } = await probed(tools);
    expect(streams).toEqual([{ width: 320, height: 240, codec_type: "video", nb_frames: "10" }]);
    expect(await films()).toEqual([]);
  });

  test("that is stopped leaves nothing behind", async () => {
    await using _ = await ownTemporary();
    expect(await codeOf(clip(AbortSignal.timeout(300), 30))).toBe("timeout");
    expect(await films()).toEqual([]);
  });
});

describe.runIf(ffmpeg && posix)("a photo by ffmpeg", () => {
  test("is a real JPEG in the size of the camera", async () => {
    const { out, bytes, tools } = await photo("testsrc2=size=1280x720:rate=30", 1_600);
    expect(out).toMatchObject({ camera: "video0", width_px: 1_280, height_px: 720 });
    expect(decode(bytes)).toMatchObject({ width: 1_280, height: 720 });
    expect(tools.said).toEqual(["notice: photo: Integrated Camera", "stream: image image/jpeg"]);
  });

  test.each([
    ["1280x720", 640, 640, 360],
    ["720x1280", 640, 360, 640],
    ["320x240", 4_096, 320, 240],
    ["1920x1080", 64, 64, 36],
    ["161x121", 1_600, 161, 121],
  ])(
    "of %s at most %i px long keeps its shape and never grows",
    async (size, edge, width, height) => {
      const { out } = await photo(`testsrc=size=${size}:rate=30`, edge);
      expect(out).toMatchObject({ width_px: width, height_px: height });
    },
  );

  test("carries no metadata and no comment", async () => {
    const { bytes } = await photo("testsrc2=size=320x240:rate=30", 320);
    // APP1 to APP15 and COM; APP0 is JFIF's own header.
    expect(Buffer.from(bytes).subarray(0, 600).toString("latin1")).not.toMatch(
      /\xff[\xe1-\xef\xfe]|Exif|Lavc/,
    );
  });

  test("is the tenth frame, because the first are dark", async () => {
    // Frames 0 to 8 are black, from the ninth on they are white.
    const { bytes } = await photo(
      "color=black:size=64x64:rate=30,geq=lum='if(gte(N,9),255,0)':cb=128:cr=128",
      64,
    );
    expect(decode(bytes).data[0]).toBeGreaterThan(250);
  });

  test("of a camera that stops before the tenth frame is a failure and not an empty file", async () => {
    expect(await codeOf(photo("testsrc2=size=320x240:rate=30:duration=0.1", 320))).toBe("driver");
  });

  test("of a camera that is not there says so", async () => {
    await using home = await folder();
    const gone = await machine(home, "ffmpeg", () => [
      ["-f", "v4l2", "-i", join(home.path, "dev/video7")],
    ]);
    expect(
      await codeOf(
        cameras({ sources: [gone] }).snap.run({ facing: "any", max_edge_px: 64 }, lend()),
      ),
    ).toBe("no-camera");
  });
});

/** A photo by a program that does something else than ffmpeg would. */
async function standIn(body: string, signal?: AbortSignal) {
  await using home = await folder();
  const source = await machine(home, await script(home, body));
  return await cameras({ sources: [source] }).snap.run(
    { facing: "any", max_edge_px: 640 },
    lend(signal),
  );
}

describe.runIf(posix)("when ffmpeg fails", () => {
  test.each([
    ["[v4l2 @ 0x1] ioctl(VIDIOC_STREAMON): Device or resource busy", "camera-busy"],
    [
      "[dshow @ 0x1] Could not run graph (sometimes caused by a device already in use by other application)",
      "camera-busy",
    ],
    ["[v4l2 @ 0x1] Cannot open video device /dev/video0: Permission denied", "os-permission"],
    [
      "[AVFoundation indev @ 0x1] Failed to create AV capture input device: Cannot use FaceTime HD Camera",
      "os-permission",
    ],
    ["[v4l2 @ 0x1] Cannot open video device /dev/video0: No such file or directory", "no-camera"],
    ["[v4l2 @ 0x1] Cannot open video device /dev/video0: No such device", "no-camera"],
    [
      "[dshow @ 0x1] Could not find video device with name [x] among source devices of type video.",
      "no-camera",
    ],
    ["[AVFoundation indev @ 0x1] Video device not found", "no-camera"],
    ["[v4l2 @ 0x1] ioctl(VIDIOC_G_INPUT): Inappropriate ioctl for device", "driver"],
    ["", "driver"],
  ])("with %j the code is %s", async (words, code) => {
    expect(await codeOf(standIn(`echo '${words}' >&2; exit 1`))).toBe(code);
  });

  test("its last words are passed on without control characters and cut short", () => {
    const { message } = failureOf(
      `first\n[mjpeg @ 0x1] [x @ 2] odd \u001b[31m${"\u202e"}${"x".repeat(500)}\n`,
    );
    expect(message).toMatch(/^ffmpeg gave no picture: odd \[31mx+$/);
    expect(message.length).toBeLessThan(160);
  });

  test("a lack of permission comes with what to do", async () => {
    await expect(standIn("echo 'x: Permission denied' >&2; exit 1")).rejects.toThrow(
      /usermod|Settings/,
    );
  });

  test("a program that is not installed is named with the line that installs it", async () => {
    await using home = await folder();
    const source = await machine(home, join(home.path, "no-ffmpeg-here"));
    const { snap } = cameras({ sources: [source] });
    expect(await snap.probe()).toMatchObject({
      state: "unavailable",
      reason: expect.stringMatching(/ffmpeg was not found; .*(install|add|-S)/) as string,
      devices: [{ id: "video0", label: "Integrated Camera" }],
    });
    expect(await codeOf(snap.run({ facing: "any", max_edge_px: 64 }, lend()))).toBe(
      "ffmpeg-missing",
    );
  });

  test.each([
    ["text", "echo hello"],
    ["half a JPEG", "printf '\\377\\330\\377\\340'"],
    ["noise", "head -c 100000 /dev/urandom"],
    ["nothing", "exit 0"],
  ])("%s instead of a picture is refused", async (_what, body) => {
    expect(await codeOf(standIn(body))).toBe("driver");
  });

  test("an endless answer is cut off at 32 MiB", async () => {
    expect(await codeOf(standIn("cat /dev/zero"))).toBe("too-big");
  });

  test("endless complaints do not fill the memory and do not hide the last one", async () => {
    const loud =
      "i=0; while [ $i -lt 3000 ]; do echo 'a long complaint of no use to anybody at all' >&2; i=$((i+1)); done; echo 'Device or resource busy' >&2; exit 1";
    expect(await codeOf(standIn(loud))).toBe("camera-busy");
  });

  test("a camera that cannot do motion JPEG is asked again for what it can", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    const source = await machine(
      home,
      await script(
        home,
        `echo "$*" >> ${log}
      case "$*" in *mjpeg\\ -i*) echo 'Cannot find a proper format for codec' >&2; exit 1;; esac
      echo 'Device or resource busy' >&2; exit 1`,
      ),
    );
    const [camera] = await source.list();
    expect(await codeOf(source.snap(camera!, 1_280, new AbortController().signal))).toBe(
      "camera-busy",
    );
    const calls = (await readFile(log, "utf8")).trim().split("\n");
    expect(calls).toHaveLength(2);
    expect(calls[0]).toContain("-f v4l2 -video_size 1280x720 -input_format mjpeg -i ");
    expect(calls[1]).not.toContain("-input_format");
  });
});

describe.runIf(process.platform === "linux")("a running ffmpeg", () => {
  /** One that hangs with a child of its own, and the process ids of both. */
  async function hanging(home: Awaited<ReturnType<typeof folder>>, stop: AbortController) {
    const pids = join(home.path, "pids");
    const body = `trap '' TERM INT HUP; sleep 1000 & echo $$ $! > ${pids}.new; mv ${pids}.new ${pids}; wait`;
    const source = await machine(home, await script(home, body));
    const [camera] = await source.list();
    const running = codeOf(source.snap(camera!, 640, stop.signal));
    await expect
      .poll(() => readFile(pids, "utf8").catch(() => ""), { timeout: 5_000 })
      .not.toBe("");
    const both = (await readFile(pids, "utf8")).trim().split(" ").map(Number);
    return { running, both };
  }

  test("ends with all it started when the call is cancelled", async () => {
    await using home = await folder();
    const stop = new AbortController();
    const { running, both } = await hanging(home, stop);
    expect(await Promise.all(both.map(alive))).toEqual([true, true]);
    stop.abort();
    expect(await running).toBe("cancelled");
    await expect.poll(() => Promise.all(both.map(alive))).toEqual([false, false]);
  });

  test("ends with `timeout` when a deadline stopped it", async () => {
    await using home = await folder();
    const stop = new AbortController();
    const { running } = await hanging(home, stop);
    stop.abort(new DOMException("too late", "TimeoutError"));
    expect(await running).toBe("timeout");
  });

  test("leaves nothing behind that it started itself", async () => {
    await using home = await folder();
    const pid = join(home.path, "pid");
    // The child keeps stdout open: without its end the call would never settle.
    const source = await machine(home, await script(home, `sleep 1000 & echo $! > ${pid}; exit 1`));
    const [camera] = await source.list();
    expect(await codeOf(source.snap(camera!, 64, new AbortController().signal))).toBe("driver");
    const orphan = Number(await readFile(pid, "utf8"));
    await expect.poll(() => alive(orphan)).toBe(false);
  });

  test("is not started at all when the call was cancelled before", async () => {
    await using home = await folder();
    const trace = join(home.path, "trace");
    const source = await machine(home, await script(home, `touch ${trace}`));
    const [camera] = await source.list();
    expect(await codeOf(source.snap(camera!, 64, AbortSignal.abort()))).toBe("cancelled");
    await expect(readFile(trace)).rejects.toThrow("ENOENT");
  });

  test("sees only the fixed names of our environment", async () => {
    await using home = await folder();
    const seen = join(home.path, "seen");
    const source = await machine(
      home,
      await script(home, `tr '\\0' '\\n' < /proc/$$/environ > ${seen}; exit 1`),
    );
    process.env["LD_PRELOAD_PLANTED"] = process.env["FFREPORT"] = "file=/tmp/planted";
    const [camera] = await source.list();
    await codeOf(source.snap(camera!, 64, new AbortController().signal));
    delete process.env["LD_PRELOAD_PLANTED"];
    delete process.env["FFREPORT"];
    const names = (await readFile(seen, "utf8"))
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]!);
    const allowed = ["PATH", "HOME", "LANG", "TERM", "TMPDIR", "LC_ALL"];
    expect(names.filter((name) => !allowed.includes(name))).toEqual([]);
  });
});
