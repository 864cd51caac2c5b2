import { cameraList, cameraSnap } from "@kith/shared/capabilities/camera";
import type { Capability } from "@kith/shared/capabilities/capability";
import { filesRead } from "@kith/shared/capabilities/files";
import { shellRun } from "@kith/shared/capabilities/shell";
import type { Result, StreamRef } from "@kith/shared/protocol/call";
import { check } from "@kith/gateway/invocations/results";
import { expect, test } from "vitest";

const out = { taken_at_ms: 1, camera: "cam", width_px: 4, height_px: 4 };
const image: StreamRef = {
  stream: "S",
  role: "image",
  type: "image/jpeg",
  size: 10,
  sha256: new Uint8Array(32),
};
const here = { find: () => "/media/x" };
const nowhere = { find: () => undefined };

const verdict = (
  result: Partial<Result>,
  {
    capability = cameraSnap as unknown as Capability,
    media = here as { find(): string | undefined },
  } = {},
) => {
  const told = check(
    capability,
    { t: "result", call: "C", out, streams: [image], ran_ms: 1, ...result },
    media,
  );
  return told.is === "broken" ? told.failure.code : told.is;
};

test("what the capability promises is taken", () => {
  expect(
    check(
      cameraSnap as unknown as Capability,
      { t: "result", call: "C", out, streams: [image], ran_ms: 1 },
      here,
    ),
  ).toEqual({
    ...{ is: "whole", out },
    streams: [
      { role: "image", type: "image/jpeg", bytes: 10, sha256: "00".repeat(32), path: "/media/x" },
    ],
  });
});

test("content that is on its way is waited for", () => {
  expect(verdict({}, { media: nowhere })).toBe("partial");
});

test.for<[string, Partial<Result>, string]>([
  ["a field too few", { out: { ...out, camera: undefined } }, "bad-result"],
  ["a field too many", { out: { ...out, path: "/etc" } }, "bad-result"],
  ["a width of 0", { out: { ...out, width_px: 0 } }, "bad-result"],
  ["the largest width", { out: { ...out, width_px: 65_535 } }, "whole"],
  ["one more", { out: { ...out, width_px: 65_536 } }, "bad-result"],
  ["a camera of 64 bytes", { out: { ...out, camera: "x".repeat(64) } }, "whole"],
  ["of 65", { out: { ...out, camera: "x".repeat(65) } }, "bad-result"],
  ["a terminal sequence", { out: { ...out, camera: "\u001b[2J" } }, "bad-result"],
  ["a name that runs backwards", { out: { ...out, camera: "a\u202eb" } }, "bad-result"],
  ["no stream", { streams: [] }, "bad-result"],
  ["two of one role", { streams: [image, image] }, "bad-result"],
  ["a role that it has not", { streams: [{ ...image, role: "audio" }] }, "bad-result"],
  ["a role that every object has", { streams: [{ ...image, role: "constructor" }] }, "bad-result"],
  ["a role of the prototype", { streams: [{ ...image, role: "__proto__" }] }, "bad-result"],
  ["another type", { streams: [{ ...image, type: "image/svg+xml" }] }, "bad-result"],
  ["the largest picture", { streams: [{ ...image, size: 32 * 1_048_576 }] }, "whole"],
  ["a byte more", { streams: [{ ...image, size: 32 * 1_048_576 + 1 }] }, "too-big"],
])("%s", ([, result, expected]) => {
  expect(verdict(result)).toBe(expected);
});

test("a capability without streams takes none; one of any type takes any", () => {
  const list = { capability: cameraList as unknown as Capability };
  expect([
    verdict({ out: { cameras: [] }, streams: [] }, list),
    verdict({ out: { cameras: [] } }, list),
  ]).toEqual(["whole", "bad-result"]);
  const cameras = (length: number) =>
    Array.from({ length }, () => ({ id: "a", label: "", facing: "front" }));
  expect(verdict({ out: { cameras: cameras(16) }, streams: [] }, list)).toBe("whole");
  expect(verdict({ out: { cameras: cameras(17) }, streams: [] }, list)).toBe("bad-result");
  const content = { ...image, role: "content", type: "application/x-anything" };
  expect(
    verdict(
      { out: { name: "a", size: 1, modified_at_ms: 1 }, streams: [content] },
      { capability: filesRead as unknown as Capability },
    ),
  ).toBe("whole");
});

test("a command that wrote nothing, or to one of its two, gives a whole result", () => {
  const shell = { capability: shellRun as unknown as Capability };
  const none = { stdout: "", stdout_bytes: 0, stdout_truncated: false, stdout_lost: 0 };
  const nor = { stderr: "", stderr_bytes: 0, stderr_truncated: false, stderr_lost: 0 };
  const out = { sandbox: "workspace", end: "exit", exit_code: 0, ms: 1, ...none, ...nor };
  const stderr = { ...image, role: "stderr", type: "application/octet-stream" };
  const size = 8 * 1_048_576;
  expect([
    verdict({ out, streams: [] }, shell),
    verdict({ out, streams: [{ ...stderr, size }] }, shell),
    verdict({ out, streams: [{ ...stderr, size: size + 1 }] }, shell),
    verdict({ out, streams: [{ ...stderr, role: "stdin" }] }, shell),
  ]).toEqual(["whole", "whole", "too-big", "bad-result"]);
});
