/** Pictures made by hand, so that the tests do not trust the library under test. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

/** The pinned Node: the one that runs vitest may be too old to strip types. */
export const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url));

/** A PNG without compression tricks; `pixel` gives red, green, blue. */
export function png(
  width: number,
  height: number,
  pixel: (x: number, y: number) => readonly number[],
): Buffer {
  const row = (y: number) => [0, ...Array.from({ length: width }, (_, x) => pixel(x, y)).flat()];
  const rows = Buffer.from(Array.from({ length: height }, (_, y) => row(y)).flat());
  return pngOf(width, height, 2, deflateSync(rows));
}

/** 256 megapixels in 31 kB, one bit each. */
export const bomb = () => pngOf(16_000, 16_000, 0, deflateSync(Buffer.alloc(2001 * 16_000)), 1);

function pngOf(width: number, height: number, type: number, data: Buffer, depth = 8): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([depth, type], 8);
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", data), chunk("IEND")]);
}

function chunk(type: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const frame = Buffer.alloc(body.length + 8);
  frame.writeUInt32BE(data.length, 0);
  frame.set(body, 4);
  frame.writeUInt32BE(crc32(body), body.length + 4);
  return frame;
}

/** One pixel each, and valid: only the missing loader refuses them. */
export const foreign = {
  svg: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'),
  gif: Buffer.from(
    "47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b",
    "hex",
  ),
  tiff: Buffer.from(
    "49492a0008000000" + // little-endian, the directory at 8
      "0800" + // eight entries: width, height, bits, compression, black is 0, strip, rows, bytes
      "000103000100000001000000" +
      "010103000100000001000000" +
      "020103000100000008000000" +
      "030103000100000001000000" +
      "060103000100000001000000" +
      "110104000100000008000000" +
      "160103000100000001000000" +
      "170104000100000001000000" +
      "00000000",
    "hex",
  ),
};

/** An Exif block that says: turn me by 90 degrees. Goes right behind a JPEG's first two bytes. */
export const turned = Buffer.from(
  "ffe10022" + // APP1, 34 bytes
    "457869660000" + // Exif
    "4d4d002a00000008" + // big-endian, the directory at 8
    "0001" + // one entry
    "011200030000000100060000" + // orientation 6
    "00000000",
  "hex",
);

/** A folder that goes away with the test; `put` returns the new file's path. */
export async function folder() {
  const path = await mkdtemp(join(tmpdir(), "kith-pictures-"));
  return {
    async put(name: string, content: string | Uint8Array): Promise<string> {
      await writeFile(join(path, name), content);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}
