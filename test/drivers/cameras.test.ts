/** Choosing a camera, and the test pattern that never stands in for one. */
import { cameras, cameraSources } from "@kith/node-agent/drivers/camera/cameras";
import { jpegSize } from "@kith/node-agent/drivers/picture-size";
import type { Camera, CameraSource } from "@kith/node-agent/drivers/camera/source";
import { testPattern } from "@kith/node-agent/drivers/camera/test-pattern";
import { cameraList, cameraSnap } from "@kith/shared/capabilities/camera";
import { KithError } from "@kith/shared/errors";
import { decode } from "jpeg-js";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { bytesOf, codeOf, lend } from "./support.ts";

const signal = new AbortController().signal;

/** Cameras that give a test pattern under their own names and note when they are used. */
function fake(log: string[], ...facings: Camera["facing"][]): CameraSource {
  const pattern = testPattern();
  const found = facings.map((facing, i) => ({
    id: `cam${i}`,
    label: `Cam ${i}`,
    facing,
    at: `/dev/${i}`,
  }));
  return {
    list: () => Promise.resolve(found),
    probe: () =>
      Promise.resolve({
        state: "ready",
        devices: found.map(({ id, label, facing }) => ({ id, label, facing })),
      }),
    snap(camera, maxEdge, stop) {
      log.push(`frame of ${camera.id}`);
      return pattern.snap(camera, maxEdge, stop);
    },
  };
}

const broken = (code: "ffmpeg-missing" | "driver"): CameraSource => ({
  list: () => Promise.reject(new KithError(code, "cannot look")),
  probe: () => Promise.resolve({ state: "unavailable", reason: "cannot look" }),
  snap: () => Promise.reject(new KithError(code, "cannot look")),
});

describe("choosing", () => {
  test.each([
    [{ facing: "any" }, "cam0"],
    [{ facing: "front" }, "cam2"],
    [{ facing: "back" }, "cam1"],
    [{ facing: "back", camera: "cam2" }, "cam2"],
  ] as const)("%j takes %s", async (args, id) => {
    const { snap } = cameras({ sources: [fake([], "external", "back", "front")] });
    expect(await snap.run({ ...args, max_edge_px: 64 }, lend())).toMatchObject({ camera: id });
  });

  test("a camera of unknown direction serves for either, one that looks the other way never", async () => {
    const ask = { facing: "front", max_edge_px: 64 } as const;
    const some = cameras({ sources: [fake([], "back", "external")] });
    expect(await some.snap.run(ask, lend())).toMatchObject({ camera: "cam1" });
    const wrong = cameras({ sources: [fake([], "back")] });
    expect(await codeOf(wrong.snap.run(ask, lend()))).toBe("no-camera");
  });

  test.each([
    ["an unknown id", [fake([], "front")], "cam9"],
    ["no camera at all", [fake([])], undefined],
    ["no source at all", [], undefined],
  ])("%s means no-camera, and nothing is noticed or taken", async (_what, sources, camera) => {
    const tools = lend();
    const run = cameras({ sources }).snap.run(
      { facing: "any", max_edge_px: 64, ...(camera && { camera }) },
      tools,
    );
    expect(await codeOf(run)).toBe("no-camera");
    expect(tools.said).toEqual([]);
  });

  test("the notice is awaited before the first frame", async () => {
    const tools = lend();
    const shown = Promise.withResolvers<void>();
    const slow = {
      ...tools,
      notice: (what: string) => (tools.said.push(`notice: ${what}`), shown.promise),
    };
    const running = cameras({ sources: [fake(tools.said, "front")] }).snap.run(
      { facing: "any", max_edge_px: 64 },
      slow,
    );
    await expect.poll(() => tools.said).toEqual(["notice: photo: Cam 0"]);
    shown.resolve();
    await running;
    expect(tools.said).toEqual([
      "notice: photo: Cam 0",
      "frame of cam0",
      "stream: image image/jpeg",
    ]);
  });

  test("a notice that cannot be shown means no photo", async () => {
    const tools = lend();
    const mute = { ...tools, notice: () => Promise.reject(new KithError("driver", "no screen")) };
    expect(
      await codeOf(
        cameras({ sources: [fake(tools.said, "front")] }).snap.run(
          { facing: "any", max_edge_px: 64 },
          mute,
        ),
      ),
    ).toBe("driver");
    expect(tools.said).toEqual([]);
  });

  test("a source that cannot look hides no camera of another, and is heard when it is alone", async () => {
    const both = cameras({ sources: [broken("ffmpeg-missing"), fake([], "front")] });
    expect(v.parse(cameraList.out, await both.list.run({}, lend())).cameras).toMatchObject([
      { id: "cam0" },
    ]);
    expect(await both.snap.probe()).toMatchObject({ state: "ready", devices: [{ id: "cam0" }] });
    const alone = cameras({ sources: [broken("ffmpeg-missing")] });
    expect(await codeOf(alone.list.run({}, lend()))).toBe("ffmpeg-missing");
    expect(await alone.list.probe()).toEqual({ state: "unavailable", reason: "cannot look" });
  });

  test("what leaves the device names no path of it", async () => {
    const { cameras: found } = await cameras({ sources: [fake([], "front")] }).list.run({}, lend());
    expect(found).toEqual([{ id: "cam0", label: "Cam 0", facing: "front" }]);
  });
});

describe("naming cameras", () => {
  const ids = async (names: string[]) =>
    (
      await cameras({ sources: cameraSources(names, fake([], "front", "back")) }).list.run(
        {},
        lend(),
      )
    ).cameras.map(({ id }) => id);

  test("nothing named means the real ones, and never the test pattern", async () => {
    expect(await ids([])).toEqual(["cam0", "cam1"]);
    const empty = cameras({ sources: cameraSources([], fake([])) });
    expect(await codeOf(empty.snap.run({ facing: "any", max_edge_px: 64 }, lend()))).toBe(
      "no-camera",
    );
  });

  test("the test pattern, once named, is alone; others come when they are named too", async () => {
    expect(await ids(["test-pattern"])).toEqual(["test-pattern"]);
    expect(await ids(["test-pattern", "cam1"])).toEqual(["cam1", "test-pattern"]);
    expect(await ids(["cam0"])).toEqual(["cam0"]);
  });

  test("a named camera that is not there is missed in the probe", async () => {
    const { snap } = cameras({ sources: cameraSources(["cam7"], fake([], "front")) });
    expect(await snap.probe()).toMatchObject({
      state: "unavailable",
      reason: "no camera named cam7 found",
    });
  });
});

describe("the test pattern", () => {
  test.each([
    [1_600, 1_600, 1_200],
    [4_000, 4_000, 3_000],
    [4_096, 4_000, 3_000],
    [641, 641, 481],
    [64, 64, 48],
  ])("at most %i px long is %i by %i", async (edge, width, height) => {
    const tools = lend();
    const { snap } = cameras({ sources: [testPattern()] });
    const out = v.parse(
      cameraSnap.out,
      await snap.run({ facing: "any", max_edge_px: edge }, tools),
    );
    expect(out).toMatchObject({ camera: "test-pattern", width_px: width, height_px: height });
    const picture = decode(bytesOf(tools), { maxMemoryUsageInMB: 1_024 });
    expect(picture).toMatchObject({ width, height });
    // The first bar is light grey, the last one blue.
    expect([...picture.data.subarray(0, 3)].every((part) => Math.abs(part - 0xbf) < 8)).toBe(true);
    expect(picture.data[(width - 2) * 4 + 2]).toBeGreaterThan(150);
  });

  test("never gives two equal pictures, even with the clock standing still", async () => {
    const clock = {
      now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678),
      mono: () => 0,
      after: () => () => {},
    };
    const rng = { float: () => 0, bytes: (n: number) => new Uint8Array(n) };
    const still = testPattern(clock, rng);
    const [camera] = await still.list();
    const shots = await Promise.all([1, 2, 3].map(() => still.snap(camera!, 640, signal)));
    expect(new Set(shots.map(({ bytes }) => Buffer.from(bytes).toString("base64"))).size).toBe(3);
    expect(shots[0]!.takenAtMs).toBe(clock.now());
    // Not only in the comment: the pixels differ too.
    const pixels = shots.map(({ bytes }) => Buffer.from(decode(bytes).data).toString("base64"));
    expect(new Set(pixels).size).toBe(3);
    expect(Buffer.from(shots[1]!.bytes).toString("latin1")).toContain(
      "2026-01-02T03:04:05.678Z TEST PATTERN #2 00000000",
    );
  });

  test("moves with time", async () => {
    let now = 0;
    const clock = { now: () => now, mono: () => 0, after: () => () => {} };
    const [camera] = await testPattern(clock).list();
    const ball = async () => {
      const { data, width, height } = decode(
        (await testPattern(clock).snap(camera!, 400, signal)).bytes,
      );
      const row = Math.round(height * 0.67) * width;
      return Array.from({ length: width }, (_, x) => data[(row + x) * 4]!).findIndex(
        (red) => red > 180,
      );
    };
    const first = await ball();
    now = 2_000;
    expect((await ball()) - first).toBeGreaterThan(150);
  });
});

describe("the size of a JPEG", () => {
  const head = "ffd8" + "ffe00010" + "00".repeat(14); // SOI, APP0 with its length
  const frame = "ffc0" + "0011" + "08" + "0120" + "0280" + "03" + "00".repeat(9); // 288 high, 640 wide
  const size = (hex: string) => jpegSize(Buffer.from(hex, "hex"));

  test("is read from its frame header", () => {
    expect(size(`${head}${frame}ffd9`)).toEqual({ width: 640, height: 288 });
  });

  test.each([
    ["nothing", ""],
    ["two bytes", "ffd8"],
    ["a PNG", "89504e470d0a1a0a0000000d49484452"],
    ["an end without a frame", `${head}ffd9`],
    ["a missing end", `${head}${frame}`],
    ["a scan before a frame", `${head}ffda0008${"00".repeat(6)}${frame}ffd9`],
    ["a segment of length 0", `${head}ffe10000${frame}ffd9`],
    ["a segment beyond the end", `${head}ffe1ffff${frame}ffd9`],
    ["no height", `${head}${frame.replace("0120", "0000")}ffd9`],
    ["bytes between segments", `${head}00${frame}ffd9`],
    ["a thousand segments", `ffd8${"ffe10002".repeat(1_000)}${frame}ffd9`],
  ])("is unknown for %s", (_what, hex) => {
    expect(size(hex)).toBeUndefined();
  });
});
