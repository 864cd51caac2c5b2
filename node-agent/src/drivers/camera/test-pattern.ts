/**
 * A camera for machines without one, and for tests. It never stands in for a real camera:
 * it is there only when somebody named it. Every picture says what it is and when it was
 * drawn, and no two are equal.
 *
 *   seven colour bars │ grey steps │ a ball that crosses in 4 s │ time, number, nonce
 */
import { type Clock, type Rng, systemClock, systemRng } from "@kith/shared/clock";
import { encode } from "jpeg-js";
import { type Camera, type CameraSource, listed } from "./source.ts";

export const TEST_PATTERN = "test-pattern";

const camera: Camera = { id: TEST_PATTERN, label: "Test pattern", facing: "unknown", at: "" };

export function testPattern(clock: Clock = systemClock, rng: Rng = systemRng): CameraSource {
  let taken = 0;
  return {
    list: () => Promise.resolve([camera]),
    probe: () => Promise.resolve({ state: "ready", devices: [listed(camera)] }),
    async snap(_camera, maxEdge, signal) {
      signal.throwIfAborted();
      const takenAtMs = clock.now();
      const time = new Date(takenAtMs).toISOString();
      const note = `TEST PATTERN #${++taken} ${Buffer.from(rng.bytes(4)).toString("hex").toUpperCase()}`;
      // 12 megapixels at most: larger ones only cost memory.
      const width = Math.min(maxEdge, 4_000);
      const height = Math.round((width * 3) / 4);
      const data = draw(width, height, takenAtMs, [time, note]);
      // A comment in the file too: a tiny picture has no room for readable text.
      const bytes = encode({ width, height, data, comments: [`${time} ${note}`] }, 80).data;
      return { bytes, takenAtMs };
    },
  };
}

/** Pixels as one 32-bit number each, so that a row is filled and copied as a block. */
const pixel = (rgb: number) =>
  (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;

const bars = [0xbfbfbf, 0xbfbf00, 0x00bfbf, 0x00bf00, 0xbf00bf, 0xbf0000, 0x0000bf];
const greys = Array.from({ length: 11 }, (_, step) => 0x010101 * Math.round(step * 25.5));
const [PAPER, TRACK, BALL, INK, FAINT] = [0x101418, 0x1e252b, 0xffb000, 0xffffff, 0x9fb3c8];

function draw(
  width: number,
  height: number,
  ms: number,
  lines: readonly [string, string],
): Uint8Array {
  const picture = new Uint32Array(width * height);
  const y = (share: number) => Math.round(share * height);

  /** A band of equal columns: one row is painted, the others are copies of it. */
  const band = (top: number, bottom: number, colours: readonly number[]) => {
    const start = top * width;
    for (const [i, colour] of colours.entries()) {
      const edge = (n: number) => start + Math.round((n * width) / colours.length);
      picture.fill(pixel(colour), edge(i), edge(i + 1));
    }
    for (let row = top + 1; row < bottom; row++)
      picture.copyWithin(row * width, start, start + width);
  };
  /** A horizontal stroke, cut at the picture's edges. */
  const stroke = (x: number, row: number, length: number, colour: number) => {
    if (row < 0 || row >= height || x >= width) return;
    picture.fill(colour, row * width + Math.max(0, x), row * width + Math.min(width, x + length));
  };
  /** A centred line of text at most `share` of the width wide; returns the row below it. */
  const write = (text: string, top: number, share: number, rgb: number) => {
    const dot = Math.max(1, Math.floor((width * share) / (text.length * 6)));
    const left = Math.max(0, (width - (text.length * 6 - 1) * dot) >> 1);
    for (const [i, char] of [...text].entries())
      for (const [row, bits] of [...(font.get(char) ?? "")].entries())
        for (let column = 0; column < 5; column++) {
          if (!(Number.parseInt(bits, 32) & (16 >> column))) continue;
          for (let k = 0; k < dot; k++)
            stroke(left + (i * 6 + column) * dot, top + row * dot + k, dot, pixel(rgb));
        }
    return top + 7 * dot;
  };

  band(0, y(0.56), bars);
  band(y(0.56), y(0.62), greys);
  band(y(0.62), y(0.72), [TRACK]);
  band(y(0.72), height, [PAPER]);

  const radius = Math.round(height * 0.04);
  const middle = Math.round(radius + ((ms % 4_000) / 4_000) * (width - 2 * radius));
  for (let dy = -radius; dy <= radius; dy++) {
    const half = Math.round(Math.sqrt(radius ** 2 - dy ** 2));
    stroke(middle - half, y(0.67) + dy, 2 * half, pixel(BALL));
  }

  const below = write(lines[0], y(0.77), 0.92, INK);
  write(lines[1], below + y(0.04), 0.7, FAINT);
  return new Uint8Array(picture.buffer);
}

/** Five by seven dots: the character, then seven rows, each one base-32 digit of five bits. */
const font = new Map(
  (
    "0ehjlphe 14c4444e 2eh1248v 3v2421he 426aiv22 5vgu11he 668guhhe 7v124888 8ehhehhe 9ehhf12c " +
    "Aehhvhhh Buhhuhhu Cehggghe Dsihhhis Evgguggv Fvgguggg Nhhpljhh Puhhuggg Ruhhukih Sfgge11u " +
    "Tv444444 Zv1248gv #aavavaa :0cc0cc0 -000v000 .00000cc"
  )
    .split(" ")
    .map((glyph) => [glyph[0], glyph.slice(1)]),
);
